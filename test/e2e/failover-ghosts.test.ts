import { Registry } from 'prom-client'
import * as v from 'valibot'
import { expect, onTestFinished, test } from 'vitest'
import { broadsoft } from '../../src/broadsoft/adapter.ts'
import { BroadsoftConfigSchema } from '../../src/broadsoft/config.ts'
import { BroadsoftMetrics } from '../../src/broadsoft/metrics.ts'
import { systemClock, type Clock } from '../../src/core/clock.ts'
import { toAppId, toSubscriberId, type AppRef } from '../../src/core/ids.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { Ingest } from '../../src/ingest.ts'
import { RedisCalls } from '../../src/state/calls.ts'
import { StoreConnection } from '../../src/state/connection.ts'
import { StateMetrics } from '../../src/state/metrics.ts'
import { Watchdog } from '../../src/watchdog.ts'
import { BroadsoftRig, NETWORK, PASSWORD } from '../support/broadsoft-rig.ts'
import { FixedDirectory } from '../support/fixed-directory.ts'
import { addTenant, startInstallation, type Installation, type Tenant } from '../support/installation.ts'
import { startTestRedis } from '../support/redis.ts'
import { until } from '../support/until.ts'

/** After an application server's failover BroadWorks says nothing of the calls that were lost with it. */

const CALLS = 50
const USERS = Array.from({ length: CALLS }, (_, index) => ({
  id: `user${index + 1}@example.net`,
  number: `+1555010${String(1_000 + index)}`,
}))
const GHOSTS_END_WITHIN_MS = 5_000

const idsOf = async ({ client, appId }: Tenant) =>
  ((await client.call('GET', `/apps/${appId}/calls`)).body as { call_id: string }[]).map(({ call_id: id }) => id)

/** Everybody has a call that rings or is answered, and the gateway knows of all. */
async function startBusy(): Promise<{ readonly installation: Installation; readonly tenant: Tenant }> {
  const installation = await startInstallation({ simulator: { settings: { noAnswerMs: 600_000 } } })
  onTestFinished(() => installation.stop())
  const tenant = await addTenant(installation, USERS)
  const { control } = installation
  for (const [index, { id }] of USERS.entries()) {
    const path = `/users/${encodeURIComponent(id)}/incoming-calls`
    const { body } = await control.call('POST', path, { from: '+15550199001' })
    const { call_id: callId } = body as { call_id: string }
    if (index % 2 === 0) await control.call('POST', `/calls/${encodeURIComponent(callId)}/local/answer`)
  }
  await until('all calls to be known', async () => ((await idsOf(tenant)).length === CALLS ? true : undefined))
  return { installation, tenant }
}

const untilNoneIsLeft = (tenant: Tenant) =>
  until(
    'all lost calls to be ended',
    async () => ((await idsOf(tenant)).length === 0 ? true : undefined),
    GHOSTS_END_WITHIN_MS,
  )

test('calls that a failover dropped are ended within 5 s after the network announces a resynchronisation', async () => {
  const { installation, tenant } = await startBusy()
  expect((await idsOf(tenant)).length).toBe(CALLS)
  await installation.control.call('POST', '/failover', { resync: true })
  await untilNoneIsLeft(tenant)
})

test('calls that a failover dropped are ended within 5 s after the subscriptions were made again', async () => {
  const { installation, tenant } = await startBusy()
  const { control } = installation
  await control.call('POST', '/failover', { resync: false })
  expect((await idsOf(tenant)).length).toBe(CALLS)
  const { body } = await control.call('GET', '/subscriptions')
  for (const { subscription_id: id } of (body as { subscriptions: { subscription_id: string }[] }).subscriptions) {
    await control.call('DELETE', `/subscriptions/${id}`)
  }
  await untilNoneIsLeft(tenant)
})

/** A clock that can be put forward; it waits a hundredth of the time. */
class SteppedClock implements Clock {
  #ahead = 0

  now(): number {
    return Date.now() + this.#ahead
  }

  monotonic(): number {
    return performance.now() + this.#ahead
  }

  wait(ms: number, signal: AbortSignal): Promise<void> {
    return systemClock.wait(ms / 100, signal)
  }

  putForward(ms: number): void {
    this.#ahead += ms
  }
}

test('without any sign, lost calls are ended once they have stayed in their state for too long, and no others', async () => {
  const redis = await startTestRedis()
  onTestFinished(() => redis.stop())
  const connection = new StoreConnection({ address: { socketPath: redis.socketPath }, log: silentLogger })
  await connection.start()
  onTestFinished(() => connection.stop())
  const rig = await BroadsoftRig.start({ users: 20, settings: { noAnswerMs: 86_400_000 } })
  onTestFinished(() => rig[Symbol.asyncDispose]())
  const users = rig.wanted.list()
  const app: AppRef = { appId: toAppId('app-1'), shard: NETWORK.shard }
  const directory = new FixedDirectory({
    networks: [NETWORK],
    assignments: users.map((subscriberId) => ({ app, network: NETWORK, subscriberId, subscriberNumber: '+15550100' })),
  })
  const clock = new SteppedClock()
  const { commit, general } = connection
  const metrics = new StateMetrics(new Registry())
  const calls = new RedisCalls({ commit, general, metrics, clock, random: Math.random })
  const ingest = new Ingest({ store: calls, directory, metrics, clock, log: silentLogger })
  const adapter = broadsoft(new BroadsoftMetrics(new Registry())).create({
    network: NETWORK,
    config: v.parse(BroadsoftConfigSchema, {
      xsp: [...rig.simulator.xspUrls],
      username: 'admin@example.net',
      password: PASSWORD,
    }),
    sink: ingest,
    wanted: rig.wanted,
    leases: rig.leases,
    generations: rig.generations,
    confirmations: rig.confirmations,
    instances: rig.instances.join('instance-1'),
    channelSetId: 'set-1',
    takesChannels: true,
    applicationId: 'app-1',
    log: silentLogger,
    clock: systemClock,
    random: Math.random,
  })
  await adapter.start()
  onTestFinished(() => adapter.stop(AbortSignal.timeout(1_000)))
  const asked: string[] = []
  let scans = 0
  const watchdog = new Watchdog({
    store: {
      scanLive: (network, cursor) => {
        scans += 1
        return calls.scanLive(network, cursor)
      },
    },
    directory,
    networks: () => [NETWORK.networkId],
    control: {
      resynchronise: (_networkId, subscriberIds, reason) => {
        asked.push(...(subscriberIds ?? []))
        adapter.resynchronise(subscriberIds, reason)
      },
    },
    releaser: ingest,
    dwell: { ringingMs: 90_000, answeredMs: 4 * 3_600_000 },
    clock,
    log: silentLogger,
  })
  await watchdog.start()
  onTestFinished(() => watchdog.stop())
  await until('the adapter', () => (adapter.isReady() ? true : undefined))

  const live = async () => (await calls.liveCalls(NETWORK, users)).map(({ call }) => call.state)
  for (const [index, userId] of users.entries()) {
    const callId = await rig.ring(userId)
    if (index < 5) await rig.control('POST', `/calls/${callId}/local/answer`)
  }
  await until('the calls', async () =>
    (await live()).filter((state) => state === 'active').length === 5 ? true : undefined,
  )
  const lasting = toSubscriberId('user20@example.net')
  await rig.control('POST', '/failover', { resync: false })
  await rig.ring(lasting)
  await until('the call that is there', async () => ((await live()).length === 21 ? true : undefined))

  clock.putForward(80_000)
  const scansBefore = scans
  await until('two looks', () => (scans >= scansBefore + 2 ? true : undefined))
  expect(asked).toEqual([])
  expect((await live()).length).toBe(21)

  clock.putForward(10_000)
  await until('the ringing ghosts to be ended', async () => {
    const states = await live()
    return states.filter((state) => state === 'ringing').length === 1 && states.length === 6 ? true : undefined
  })
  expect(asked).not.toContain('user1@example.net')

  clock.putForward(4 * 3_600_000)
  await until('the answered ghosts to be ended', async () => ((await live()).join() === 'ringing' ? true : undefined))
})
