import { Registry } from 'prom-client'
import { expect, test, vi } from 'vitest'
import { NETWORK } from '../../test/support/broadsoft-rig.ts'
import { LeaseBook } from '../../test/support/lease-book.ts'
import { RecordingSink } from '../../test/support/recording-sink.ts'
import { untilHolds } from '../../test/support/until.ts'
import { systemClock } from '../core/clock.ts'
import { GatewayError } from '../core/errors.ts'
import { toSubscriberId } from '../core/ids.ts'
import { silentLogger } from '../core/logger.ts'
import type { UpstreamPosition } from '../core/upstream-position.ts'
import { Coverage } from './coverage.ts'
import { BroadsoftMetrics } from './metrics.ts'
import { ReadLease } from './read-lease.ts'
import type { ResynchroniserOptions } from './resynchroniser.ts'
import { Resynchroniser } from './resynchroniser.ts'

const USER = toSubscriberId('user1@example.net')
const FENCE = { lease: 'subscriptions', token: 7 }

/** A resynchroniser that runs, with a sink whose newest positions are `positions`, the last one for ever. */
function startResynchroniser(
  positions: readonly (UpstreamPosition | undefined)[],
  change: Partial<ResynchroniserOptions> = {},
) {
  const sink = new RecordingSink()
  let asked = 0
  sink.newestUpstream = async () => positions[Math.min(asked++, positions.length - 1)]
  const coverage = new Coverage()
  coverage.want([USER])
  const readCalls = vi.fn<ResynchroniserOptions['readCalls']>(async () => [])
  const resynchroniser = new Resynchroniser({
    network: NETWORK,
    sink,
    coverage,
    requestSnapshot: () => false,
    readCalls,
    generationFor: async () => 2,
    lease: { acquire: async () => FENCE, release: async () => undefined },
    perSecond: 1000,
    clock: systemClock,
    random: () => 0,
    log: silentLogger,
    metrics: new BroadsoftMetrics(new Registry()),
    snapshotTimeoutMs: 20,
    ...change,
  })
  const stop = new AbortController()
  const running = resynchroniser.run(stop.signal)
  return {
    sink,
    coverage,
    readCalls,
    resynchroniser,
    upstreams: () => sink.delivered.map(({ observation }) => observation.upstream),
    [Symbol.asyncDispose]: async () => {
      stop.abort()
      await running
    },
  }
}

const at = (generation: number, sequence: number): UpstreamPosition => ({ generation, sequence })

test('a read is handed in under the newest position known before it', async () => {
  await using scene = startResynchroniser([at(2, 5)])
  scene.resynchroniser.request([USER], 'test')
  await untilHolds(() => expect(scene.upstreams()).toEqual([at(2, 5)]))
  expect(scene.sink.delivered[0]?.fence).toEqual(FENCE)
  await untilHolds(() => expect(scene.coverage.status()).toEqual({ wanted: 1, active: 1, stale: 0, failed: [] }))
})

test('without a known position, or with one of an older subscription, the read counts as the subscription’s beginning', async () => {
  await using unknown = startResynchroniser([undefined])
  unknown.resynchroniser.request([USER], 'test')
  await untilHolds(() => expect(unknown.upstreams()).toEqual([at(2, 0)]))
  await using older = startResynchroniser([at(1, 9)])
  older.resynchroniser.request([USER], 'test')
  await untilHolds(() => expect(older.upstreams()).toEqual([at(2, 0)]))
})

test('a read during which something happened is repeated', async () => {
  await using scene = startResynchroniser([at(2, 5), at(2, 6)])
  scene.resynchroniser.request([USER], 'test')
  await untilHolds(() => expect(scene.upstreams()).toEqual([at(2, 6)]))
  expect(scene.readCalls).toHaveBeenCalledTimes(2)
})

test('on a busy subscriber the third read is handed in under the position before it', async () => {
  await using scene = startResynchroniser([1, 2, 3, 4, 5, 6].map((sequence) => at(2, sequence)))
  scene.resynchroniser.request([USER], 'test')
  await untilHolds(() => expect(scene.upstreams()).toEqual([at(2, 5)]))
  expect(scene.readCalls).toHaveBeenCalledTimes(3)
})

test('requests that come together are one read', async () => {
  await using scene = startResynchroniser([at(2, 5)])
  for (let times = 0; times < 5; times += 1) scene.resynchroniser.request([USER], 'test')
  await untilHolds(() => expect(scene.upstreams().length).toBe(1))
  expect(scene.readCalls).toHaveBeenCalledTimes(1)
})

test('a snapshot event that does not come is made up for by a read', async () => {
  await using scene = startResynchroniser([at(2, 5)], { requestSnapshot: () => true })
  scene.resynchroniser.expectSnapshot(USER, systemClock.monotonic())
  await untilHolds(() => expect(scene.upstreams().length).toBe(1))
})

test('a snapshot event that overtook the reply is not waited for', async () => {
  await using scene = startResynchroniser([at(2, 5)], { requestSnapshot: () => true })
  const since = systemClock.monotonic()
  scene.resynchroniser.confirm(USER)
  scene.resynchroniser.expectSnapshot(USER, since)
  await systemClock.wait(60, new AbortController().signal)
  expect(scene.readCalls).not.toHaveBeenCalled()
})

test('a failed read is reported, repeated, and forgotten once it works', async () => {
  const readCalls = vi
    .fn<ResynchroniserOptions['readCalls']>()
    .mockRejectedValueOnce(new GatewayError('provider_unavailable'))
    .mockResolvedValue([])
  await using scene = startResynchroniser([at(2, 5)], { readCalls })
  scene.resynchroniser.request([USER], 'test', true)
  await untilHolds(() =>
    expect(scene.coverage.status().failed).toEqual([{ subscriberId: USER, code: 'provider_unavailable' }]),
  )
  await untilHolds(() => expect(scene.coverage.status()).toEqual({ wanted: 1, active: 1, stale: 0, failed: [] }))
})

/** Forty subscribers, and the network's lease for reads. */
function startWithLease() {
  const users = Array.from({ length: 40 }, (_, index) => toSubscriberId(`user${index + 1}@example.net`))
  const coverage = new Coverage()
  coverage.want(users)
  const leases = new LeaseBook()
  const common = { network: NETWORK, clock: systemClock, random: () => 0 }
  const lease = new ReadLease({ ...common, leases, heldFence: () => undefined })
  return { users, leases, scene: startResynchroniser([at(2, 5)], { coverage, lease }), coverage }
}

test('all reads that are due are made under one lease, which is given back after them', async () => {
  const { users, leases, scene, coverage } = startWithLease()
  await using running = scene
  running.resynchroniser.request(users, 'test', true)
  await untilHolds(() => expect(coverage.status()).toEqual({ wanted: 40, active: 40, stale: 0, failed: [] }))
  expect(leases.granted).toEqual(['reads'])
  expect(new Set(running.sink.delivered.map(({ fence }) => fence.lease))).toEqual(new Set(['reads']))
  await untilHolds(() => expect(leases.holds('reads')).toBe(false))
})

test(
  'while another instance has the lease the reads wait, none fails or is forgotten, and then all are made',
  { timeout: 20_000 },
  async () => {
    const { users, leases, scene, coverage } = startWithLease()
    leases.seize('reads')
    const refused = vi.spyOn(leases, 'tryAcquire')
    await using running = scene
    running.resynchroniser.request(users, 'test', true)
    await untilHolds(() => expect(refused.mock.calls.length).toBeGreaterThanOrEqual(6))
    expect(coverage.status()).toEqual({ wanted: 40, active: 0, stale: 40, failed: [] })
    leases.free('reads')
    await untilHolds(() => expect(coverage.status()).toEqual({ wanted: 40, active: 40, stale: 0, failed: [] }))
    expect(running.readCalls).toHaveBeenCalledTimes(40)
  },
)

test('a read that is dropped is made again under the newer position, and only the accepted one confirms', async () => {
  await using scene = startResynchroniser([at(2, 5), at(2, 5), at(2, 9)])
  const actives: number[] = []
  scene.sink.outcome = () => {
    actives.push(scene.coverage.status().active)
    return actives.length === 1 ? 'dropped' : 'noop'
  }
  scene.resynchroniser.request([USER], 'test', true)
  await untilHolds(() => expect(scene.coverage.status().active).toBe(1))
  expect(scene.upstreams()).toEqual([at(2, 5), at(2, 9)])
  expect(actives).toEqual([0, 0])
})

test('a read that is dropped three times is reported as failed', async () => {
  await using scene = startResynchroniser([at(2, 5)])
  scene.sink.outcome = () => 'dropped'
  scene.resynchroniser.request([USER], 'test', true)
  await untilHolds(() => expect(scene.coverage.status().failed).toEqual([{ subscriberId: USER, code: 'dropped' }]))
  expect(scene.upstreams().length).toBe(3)
})

test('what a snapshot event was to confirm is read when the subscriptions go to another instance', async () => {
  await using scene = startResynchroniser([at(2, 5)], { requestSnapshot: () => true })
  scene.resynchroniser.request([USER], 'test')
  expect(scene.readCalls).not.toHaveBeenCalled()
  scene.resynchroniser.readRequested()
  await untilHolds(() => expect(scene.coverage.status().active).toBe(1))
  scene.resynchroniser.readRequested()
  expect(scene.readCalls).toHaveBeenCalledTimes(1)
})

test('a subscriber that is not wanted is not read', async () => {
  await using scene = startResynchroniser([at(2, 5)])
  scene.resynchroniser.request([toSubscriberId('stranger@example.net')], 'test', true)
  scene.resynchroniser.request([USER], 'test', true)
  await untilHolds(() => expect(scene.upstreams().length).toBe(1))
  expect(scene.readCalls.mock.calls.length).toBe(1)
})
