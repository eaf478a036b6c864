import { expect, test } from 'vitest'
import { BroadsoftRig } from '../../test/support/broadsoft-rig.ts'
import type { Instance } from '../../test/support/broadsoft-rig.ts'
import { untilHolds } from '../../test/support/until.ts'
import { toSubscriberId } from '../core/ids.ts'

const USER_1 = 'user1@example.net'
const SLOW = 40_000

/** What takes its time to be proven takes up to ten seconds. */
const until = (assertion: () => unknown) => untilHolds(assertion, 15_000)

const untilConfirmed = ({ adapter }: Instance) =>
  until(() => {
    expect(adapter.isReady()).toBe(true)
    expect(adapter.subscriptions()).toMatchObject({ stale: 0, failed: [] })
  })

const rolesOf = ({ adapter }: Instance) => adapter.channels().map(({ role, state }) => `${role} ${state}`)
const prioritiesOf = async (rig: BroadsoftRig) =>
  (await rig.channels()).map(({ priority }) => priority).toSorted((a, b) => a - b)

/** Which there are, and until when: renewing one would show. */
const subscriptionsOf = async (rig: BroadsoftRig) =>
  (await rig.subscriptions()).map(({ subscription_id: id, expires_at: expiresAt }) => [id, expiresAt])

/** An owner that has confirmed everybody, and a standby whose channel is open. */
async function startPair(rig: BroadsoftRig) {
  const first = await rig.startAdapter()
  await untilConfirmed(first)
  const second = await rig.startAdapter()
  await until(() => expect(rolesOf(second)).toEqual(['standby open']))
  await untilConfirmed(second)
  return { first, second }
}

// Each has a network and instances of its own, and mostly waits: they run at the same time.
test.concurrent('a second instance stands by with a channel of the same set, asks for nothing and gets nothing', async () => {
  await using rig = await BroadsoftRig.start()
  const { first, second } = await startPair(rig)
  expect(rolesOf(first)).toEqual(['owner open'])
  expect(await prioritiesOf(rig)).toEqual([1, 2])
  await rig.ring(USER_1)
  await until(() => expect(first.sink.statesOf(USER_1)).toEqual(['ringing']))
  expect(second.sink.delivered).toEqual([])
  expect(second.sink.stale).toEqual([])
  expect(await second.metric('callhalf_subscription_requests_total')).toBe(0)
  expect(await second.metric('callhalf_channels_open', { role: 'standby' })).toBe(1)
  expect(await first.metric('callhalf_channels_open', { role: 'owner' })).toBe(1)
})

test.concurrent('a third instance has no channel and is ready', async () => {
  await using rig = await BroadsoftRig.start()
  await startPair(rig)
  const third = await rig.startAdapter()
  await untilConfirmed(third)
  expect(third.adapter.channels()).toMatchObject([{ role: 'none', state: 'standby', reason: 'lease_held_elsewhere' }])
  expect(await prioritiesOf(rig)).toEqual([1, 2])
  expect(third.sink.stale).toEqual([])
})

test.concurrent('a resynchronisation on an instance without a channel reads the calls under a lease of its own', async () => {
  await using rig = await BroadsoftRig.start()
  await startPair(rig)
  const third = await rig.startAdapter()
  await untilConfirmed(third)
  const callId = await rig.ring(USER_1)
  third.adapter.resynchronise([toSubscriberId(USER_1)], 'watchdog')
  await until(() => expect(third.sink.snapshotsOf(USER_1).length).toBe(1))
  expect(third.sink.delivered[0]?.fence.lease).toBe('reads')
  expect(third.sink.snapshotsOf(USER_1)[0]?.body.calls.map((call) => call.callId)).toEqual([callId])
  await until(() => expect(rig.leases.holds('reads')).toBe(false))
})

test.concurrent(
  'when the owner stops, its events go to the standby, which takes over and asks for no snapshot',
  { timeout: SLOW },
  async () => {
    await using rig = await BroadsoftRig.start()
    const { first, second } = await startPair(rig)
    // Long enough for it to have seen the keeper alive.
    await until(() => expect(second.adapter.subscriptions().active).toBe(2))
    const subscriptions = await subscriptionsOf(rig)
    const snapshots = (await rig.ledger('CallSubscriptionEvent')).length
    await first.adapter.stop(AbortSignal.timeout(5_000))
    rig.instances.drop('instance-1')
    await rig.ring(USER_1)
    await until(() => expect(second.sink.statesOf(USER_1)).toEqual(['ringing']))
    await until(() => expect(rolesOf(second)).toEqual(['owner open']))
    await until(() => expect(rig.leases.holds('subscriptions')).toBe(true))
    await until(async () => expect(await prioritiesOf(rig)).toEqual([1]))
    await rig.ring(USER_1)
    await until(() => expect(second.sink.statesOf(USER_1)).toEqual(['ringing', 'ringing']))
    expect(await subscriptionsOf(rig)).toEqual(subscriptions)
    expect((await rig.ledger('CallSubscriptionEvent')).length).toBe(snapshots)
    expect(second.sink.stale).toEqual([])
    expect(second.adapter.subscriptions()).toMatchObject({ active: 2, stale: 0 })
    expect((await rig.ledger()).every(({ expired_reason: reason }) => reason === null)).toBe(true)
  },
)

test.concurrent(
  'the channel of an owner that hangs is deleted by the one that took its lease, and its events come again there',
  { timeout: SLOW },
  async () => {
    await using rig = await BroadsoftRig.start({ settings: { ackTimeoutMs: 60_000 } })
    const { first, second } = await startPair(rig)
    const { promise: hanging } = Promise.withResolvers<void>()
    first.sink.beforeStore = () => hanging
    await rig.ring(USER_1)
    const owner = (await rig.channels()).find(({ priority }) => priority === 1)
    // Its lease has lapsed, and it does not know.
    rig.leases.orphan(`channel:${first.adapter.channels()[0]?.node}`)
    rig.instances.drop('instance-1')
    await until(() => expect(rolesOf(second)).toEqual(['owner open']))
    await until(() => expect(second.sink.statesOf(USER_1)).toEqual(['ringing']))
    await until(async () =>
      expect((await rig.channels()).map(({ channel_id: id }) => id)).not.toContain(owner?.channel_id),
    )
    expect((await rig.ledger('CallReceivedEvent')).map(({ ack_status: status }) => status)).toEqual([200])
  },
)

test.concurrent(
  'a newcomer that comes first in line takes over without a moment without a channel, an event lost or a snapshot',
  { timeout: SLOW },
  async () => {
    await using rig = await BroadsoftRig.start({ users: 20 })
    const { first, second } = await startPair(rig)
    const subscriptions = await subscriptionsOf(rig)
    const snapshots = (await rig.ledger('CallSubscriptionEvent')).length
    const third = await rig.startAdapter({}, { place: 0 })
    // A newcomer disturbs nobody.
    await rig.ring(USER_1)
    await untilConfirmed(third)
    expect(rolesOf(third)).toEqual(['none standby'])
    rig.instances.steadyMs = 10_000
    let rings = 1
    let fewest = 9
    await until(async () => {
      await rig.ring(`user${1 + (rings % 20)}@example.net`)
      rings += 1
      fewest = Math.min(fewest, (await rig.channels()).length)
      expect([rolesOf(third), rolesOf(first), rolesOf(second)]).toEqual([
        ['owner open'],
        ['standby open'],
        ['none standby'],
      ])
    })
    expect(fewest).toBeGreaterThanOrEqual(1)
    const ringing = () =>
      new Set(
        [first, second, third]
          .flatMap(({ sink }) => sink.delivered)
          .flatMap(({ observation: { body } }) =>
            body.type === 'calls' ? body.calls.map(({ callId }) => callId) : [],
          ),
      ).size
    await until(() => expect(ringing()).toBe(rings))
    expect(await subscriptionsOf(rig)).toEqual(subscriptions)
    expect((await rig.ledger('CallSubscriptionEvent')).length).toBe(snapshots)
    expect((await rig.ledger()).every(({ expired_reason: reason }) => reason === null)).toBe(true)
    expect(first.sink.stale.length + second.sink.stale.length + third.sink.stale.length).toBe(1)
    expect(await first.metric('callhalf_channel_role_changes_total', { role: 'owner', change: 'handed_over' })).toBe(1)
  },
)

test.concurrent(
  'when two instances own a node each, an event is stored once, and a loss is seen to once',
  { timeout: SLOW },
  async () => {
    await using rig = await BroadsoftRig.start({ xsps: 2, users: 10 })
    const node2 = new URL(rig.simulator.xspUrls[1] ?? '').host
    rig.instances.order = (ids, key) => (key.endsWith(node2) ? ids.toReversed() : ids)
    const first = await rig.startAdapter()
    await untilConfirmed(first)
    rig.instances.steadyMs = 10_000
    const second = await rig.startAdapter()
    await until(() => expect(rolesOf(first)).toEqual(['owner open', 'standby open']))
    await until(() => expect(rolesOf(second)).toEqual(['standby open', 'owner open']))
    expect(await prioritiesOf(rig)).toEqual([1, 1, 2, 2])
    const stored = () =>
      [first, second]
        .flatMap(({ sink }) => sink.delivered)
        .filter(({ observation }) => observation.body.type === 'calls')
    for (let user = 1; user <= 10; user += 1) await rig.ring(`user${user}@example.net`)
    await until(() => expect(stored().length).toBe(10))
    const snapshots = (await rig.ledger('CallSubscriptionEvent')).length
    const lost = (await rig.channels()).find(({ xsp_index: index, priority }) => index === 1 && priority === 1)
    await rig.control('POST', `/channels/${lost?.channel_id}/drop`)
    // Told by the one that lost it, done by the keeper.
    await until(() => expect(second.sink.stale.length).toBe(1))
    await until(async () => expect((await rig.ledger('CallSubscriptionEvent')).length).toBe(snapshots + 10))
    await until(() => expect([first, second].map(({ adapter }) => adapter.subscriptions().stale)).toEqual([0, 0]))
    expect((await rig.subscriptions()).length).toBe(10)
    expect(await second.metric('callhalf_snapshot_reads_total')).toBe(0)
  },
)
