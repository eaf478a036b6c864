import { expect, test, vi } from 'vitest'
import { LeaseBook, NETWORK, RecordingSink } from '../../test/support/broadsoft-rig.ts'
import { systemClock } from '../core/clock.ts'
import { GatewayError } from '../core/errors.ts'
import { toSubscriberId } from '../core/ids.ts'
import { silentLogger } from '../core/logger.ts'
import { Coverage } from './coverage.ts'
import type { ReconcilerOptions } from './reconciler.ts'
import { Reconciler } from './reconciler.ts'

const USER = toSubscriberId('user1@example.net')
const until = (assertion: () => unknown) => vi.waitFor(assertion, { timeout: 5_000, interval: 5 })

/** A reconciler that runs; `channels` says whether one is open and whether one is due. */
function startReconciler(channels: { isOpen: boolean; isDue: boolean }) {
  const sink = new RecordingSink()
  const leases = new LeaseBook()
  const coverage = new Coverage()
  coverage.want([USER])
  const subscriptions = { reconcile: vi.fn<(signal: AbortSignal) => Promise<void>>(), resign: vi.fn<() => void>() }
  const resynchroniser = {
    request: vi.fn<ReconcilerOptions['resynchroniser']['request']>(),
    readRequested: vi.fn<() => void>(),
  }
  const reconciler = new Reconciler({
    network: NETWORK,
    leases,
    sink,
    coverage,
    subscriptions,
    resynchroniser,
    isAnyChannelOpen: () => channels.isOpen,
    isAnyChannelDue: () => channels.isDue,
    clock: systemClock,
    random: () => 0,
    log: silentLogger,
    graceMs: 20,
  })
  const stop = new AbortController()
  const running = reconciler.run(stop.signal)
  return {
    sink,
    leases,
    subscriptions,
    resynchroniser,
    reconciler,
    reasons: () => resynchroniser.request.mock.calls.map(([, reason]) => reason),
    [Symbol.asyncDispose]: async () => {
      stop.abort()
      await running
    },
  }
}

test('an instance that only stands by does nothing, until it lost a channel of its own', async () => {
  await using scene = startReconciler({ isOpen: false, isDue: false })
  await systemClock.wait(60, new AbortController().signal)
  expect(scene.reasons()).toEqual([])
  scene.reconciler.lost()
  await until(() => expect(scene.reasons()).toEqual(['channel_lost']))
  expect(scene.sink.stale).toEqual([[USER]])
  expect(scene.leases.granted).toEqual([])
  expect(scene.subscriptions.reconcile).not.toHaveBeenCalled()
})

test('what could not be marked stale at the loss is marked before anything is confirmed again', async () => {
  await using scene = startReconciler({ isOpen: false, isDue: false })
  const marked = vi.spyOn(scene.sink, 'markStale').mockRejectedValueOnce(new GatewayError('store_unavailable'))
  scene.reconciler.lost()
  await until(() => expect(scene.reasons()).toEqual(['channel_lost']))
  expect(marked).toHaveBeenCalledTimes(2)
  expect(scene.sink.stale).toEqual([[USER]])
})

test('a keeper whose lease goes to another instance has what was requested read', async () => {
  await using scene = startReconciler({ isOpen: true, isDue: true })
  await until(() => expect(scene.reasons()).toEqual(['lease_acquired']))
  scene.leases.seize('subscriptions')
  await until(() => expect(scene.resynchroniser.readRequested).toHaveBeenCalledTimes(1))
  expect(scene.subscriptions.resign).toHaveBeenCalledTimes(1)
  expect(scene.sink.stale).toEqual([[USER]])
})

test('an instance with a channel and without the lease has the calls read, and marks nothing stale', async () => {
  const channels = { isOpen: false, isDue: false }
  await using scene = startReconciler(channels)
  scene.leases.seize('subscriptions')
  channels.isOpen = true
  scene.reconciler.opened()
  await until(() => expect(scene.reasons()).toEqual(['start']))
  expect(scene.sink.stale).toEqual([])
  expect(scene.subscriptions.reconcile).not.toHaveBeenCalled()
})
