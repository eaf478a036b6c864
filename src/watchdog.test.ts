import { expect, test } from 'vitest'
import { toCallId, toNetworkId, toSubscriberId, type NetworkId, type Shard, ShardSchema } from './core/ids.ts'
import * as v from 'valibot'
import type { CallState } from './core/call.ts'
import type { WatchedCall } from './core/call-store.ts'
import { silentLogger } from './core/logger.ts'
import { Watchdog } from './watchdog.ts'

const SECOND = 1_000
const HOUR = 3_600 * SECOND
const shard: Shard = v.parse(ShardSchema, 'main')
const networkId = toNetworkId('network-1')

/** A watchdog over calls that the test sets, at times that the test sets. */
class Scene {
  now = 0
  calls: WatchedCall[] = []
  readonly asked: (readonly [number, readonly string[]])[] = []
  readonly released: string[] = []
  failing: NetworkId | undefined
  readonly networks: NetworkId[] = [networkId]
  readonly watchdog: Watchdog

  constructor(dwell = { ringingMs: 90 * SECOND, answeredMs: 4 * HOUR }) {
    this.watchdog = new Watchdog({
      store: {
        // One call per page, to prove that every page is read.
        scanLive: (network, cursor) => {
          if (network.networkId === this.failing) return Promise.reject(new Error('down'))
          const at = Number(cursor)
          const next = at + 1 < this.calls.length ? String(at + 1) : '0'
          return Promise.resolve({ cursor: next, calls: this.calls.slice(at, at + 1) })
        },
      },
      directory: { network: (id) => ({ networkId: id, shard }) },
      networks: () => this.networks,
      control: {
        resynchronise: (_network, subscriberIds, reason) => {
          if (reason === 'dwell') this.asked.push([this.now, subscriberIds ?? []])
        },
      },
      releaser: {
        release: ({ callId, cause, unconfirmedSince }) => {
          this.released.push(`${callId} ${cause} ${unconfirmedSince}`)
          return Promise.resolve(true)
        },
      },
      dwell,
      clock: { now: () => this.now, monotonic: () => this.now, wait: () => Promise.reject(new Error('not used')) },
      log: silentLogger,
    })
  }

  /** Scans every ten seconds until `end`; `confirm` answers each question at once. */
  async watch(end: number, confirm: boolean): Promise<void> {
    for (; this.now <= end; this.now += 10 * SECOND) {
      const before = this.asked.length
      await this.watchdog.scan(new AbortController().signal)
      if (!confirm || this.asked.length === before) continue
      this.calls = this.calls.map((call) => ({ ...call, record: { ...call.record, confirmedAt: this.now } }))
    }
  }
}

const aCall = (state: CallState, name = 'anna'): WatchedCall => ({
  subscriberId: toSubscriberId(name),
  record: {
    call: {
      callId: toCallId(`callhalf-${name}:0`),
      state,
      direction: 'incoming',
      remoteNumber: '+15550100',
      trackingId: '1:1',
      startedAt: 0,
    },
    upstream: { generation: 1, sequence: 1 },
    incarnation: 1,
    changedAt: 0,
    confirmedAt: 0,
  },
})

test.for([
  ['initiating', 60 * SECOND],
  ['ringing', 90 * SECOND],
  ['alerting', 90 * SECOND],
  ['detached', 600 * SECOND],
  ['active', 4 * HOUR],
  ['held', 4 * HOUR],
  ['remote_held', 4 * HOUR],
] as const)('a call that is %s is asked about after %i ms and not before', async ([state, allowed]) => {
  const scene = new Scene()
  scene.calls = [aCall(state)]
  await scene.watch(allowed - 1, true)
  expect(scene.asked).toEqual([])
  await scene.watch(allowed, true)
  expect(scene.asked).toEqual([[allowed, ['anna']]])
})

test.for([
  ['initiating', 20 * SECOND],
  ['ringing', 20 * SECOND],
  ['alerting', 20 * SECOND],
  ['detached', 50 * SECOND],
  ['active', 50 * SECOND],
  ['held', 50 * SECOND],
  ['remote_held', 50 * SECOND],
] as const)('with shorter limits a call that is %s is asked about after %i ms', async ([state, allowed]) => {
  const scene = new Scene({ ringingMs: 20 * SECOND, answeredMs: 50 * SECOND })
  scene.calls = [aCall(state)]
  await scene.watch(allowed - 1, true)
  expect(scene.asked).toEqual([])
  await scene.watch(allowed, true)
  expect(scene.asked).toEqual([[allowed, ['anna']]])
})

test('a call that is confirmed each time may stay twice as long until the next look', async () => {
  const scene = new Scene()
  scene.calls = [aCall('ringing')]
  await scene.watch(1_000 * SECOND, true)
  expect(scene.asked.map(([at]) => at / SECOND)).toEqual([90, 180, 360, 720])
})

test('a look that is not answered is repeated every minute', async () => {
  const scene = new Scene()
  scene.calls = [aCall('ringing')]
  await scene.watch(300 * SECOND, false)
  expect(scene.asked.map(([at]) => at / SECOND)).toEqual([90, 150, 210, 270])
})

test('a change of state begins the patience anew', async () => {
  const scene = new Scene()
  scene.calls = [aCall('ringing')]
  await scene.watch(100 * SECOND, true)
  const [call] = scene.calls
  scene.calls = call === undefined ? [] : [{ ...call, record: { ...call.record, changedAt: 100 * SECOND } }]
  await scene.watch(250 * SECOND, true)
  expect(scene.asked.map(([at]) => at / SECOND)).toEqual([90, 190])
})

test('a call that nothing confirmed for a day is released as lost, from the last confirmation on', async () => {
  const scene = new Scene()
  scene.calls = [aCall('active')]
  scene.now = 24 * HOUR
  await scene.watchdog.scan(new AbortController().signal)
  expect(scene.released).toEqual([])
  expect(scene.asked).toEqual([[24 * HOUR, ['anna']]])
  scene.now += 60 * SECOND
  await scene.watchdog.scan(new AbortController().signal)
  expect(scene.released).toEqual(['callhalf-anna:0 lost 0'])
})

test('a call that lasts for days and is confirmed whenever it is asked about is never released', async () => {
  const scene = new Scene()
  scene.calls = [aCall('active')]
  await scene.watch(120 * HOUR, true)
  expect(scene.released).toEqual([])
})

test('at most 500 subscribers are asked about in one scan, the others in the next', async () => {
  const scene = new Scene()
  scene.calls = Array.from({ length: 530 }, (_, index) => aCall('ringing', `user-${index}`))
  scene.now = 90 * SECOND
  await scene.watch(100 * SECOND, false)
  expect(scene.asked.map(([, subscribers]) => subscribers.length)).toEqual([500, 30])
})

test('a network that cannot be scanned does not keep the others from it', async () => {
  const scene = new Scene()
  scene.failing = toNetworkId('network-0')
  scene.networks.unshift(scene.failing)
  scene.calls = [aCall('ringing')]
  scene.now = 90 * SECOND
  await scene.watchdog.scan(new AbortController().signal)
  expect(scene.asked).toHaveLength(1)
})
