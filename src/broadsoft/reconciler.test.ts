import { expect, test, vi } from 'vitest'
import { NETWORK } from '../../test/support/broadsoft-rig.ts'
import { DoubtBook } from '../../test/support/doubt-book.ts'
import { LeaseBook } from '../../test/support/lease-book.ts'
import { RecordingSink } from '../../test/support/recording-sink.ts'
import { untilHolds } from '../../test/support/until.ts'
import { systemClock } from '../core/clock.ts'
import { GatewayError } from '../core/errors.ts'
import { toSubscriberId } from '../core/ids.ts'
import { silentLogger } from '../core/logger.ts'
import { Coverage } from './coverage.ts'
import type { ReconcilerOptions } from './reconciler.ts'
import { Reconciler } from './reconciler.ts'

const USER = toSubscriberId('user1@example.net')
const KEEPER = 'subscriptions'

type Shared = { readonly leases: LeaseBook; readonly book: DoubtBook }

/** A reconciler that runs; `channels` says whether one is open and whether one is due. */
function startReconciler(
  channels: { isOpen: boolean; isDue: boolean },
  { leases, book }: Shared = { leases: new LeaseBook(), book: new DoubtBook() },
) {
  const sink = new RecordingSink()
  const coverage = new Coverage()
  coverage.want([USER])
  const subscriptions = {
    reconcile: vi.fn<(signal: AbortSignal) => Promise<void>>(),
    adopt: vi.fn<ReconcilerOptions['subscriptions']['adopt']>(async () => []),
    resign: vi.fn<() => void>(),
  }
  const resynchroniser = {
    request: vi.fn<ReconcilerOptions['resynchroniser']['request']>(),
    readRequested: vi.fn<() => void>(),
    forgetAll: vi.fn<() => void>(),
  }
  const reconciler = new Reconciler({
    network: NETWORK,
    leases,
    confirmations: book,
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
  if (channels.isOpen) reconciler.opened()
  const stop = new AbortController()
  const running = reconciler.run(stop.signal)
  return {
    sink,
    leases,
    book,
    coverage,
    channels,
    subscriptions,
    resynchroniser,
    reconciler,
    reasons: () => resynchroniser.request.mock.calls.map(([, reason]) => reason),
    /** Every subscriber has been confirmed, and the keeper has seen that. */
    confirm: async () => {
      await untilHolds(() => expect(resynchroniser.request).toHaveBeenCalled())
      coverage.confirm(USER, systemClock.monotonic())
      reconciler.wake()
      await untilHolds(() => expect(book.confirmed).toBe(String(book.doubts)))
    },
    [Symbol.asyncDispose]: async () => {
      stop.abort()
      await running
    },
  }
}

const shared = (): Shared => ({ leases: new LeaseBook(), book: new DoubtBook() })
const open = () => ({ isOpen: true, isDue: true })

test('an instance without a channel does nothing, until it loses one and nobody is the keeper', async () => {
  await using scene = startReconciler({ isOpen: false, isDue: false })
  await systemClock.wait(60, new AbortController().signal)
  expect(scene.reasons()).toEqual([])
  scene.reconciler.lost()
  await untilHolds(() => expect(scene.reasons()).toEqual(['channel_lost']))
  expect(scene.sink.stale).toEqual([[USER]])
  expect(scene.book.doubts).toBe(1)
  expect(scene.leases.granted).toEqual([])
  expect(scene.subscriptions.reconcile).not.toHaveBeenCalled()
})

test('an instance without a channel sees a keeper that comes later, and what it confirms', async () => {
  const both = shared()
  await using scene = startReconciler({ isOpen: false, isDue: false }, both)
  await systemClock.wait(60, new AbortController().signal)
  expect(scene.coverage.status()).toMatchObject({ active: 0, stale: 1 })
  await using keeper = startReconciler(open(), both)
  await keeper.confirm()
  await untilHolds(() => expect(scene.coverage.status()).toMatchObject({ active: 1, stale: 0 }))
  expect(scene.reasons()).toEqual([])
  // And that there is none any more.
  await keeper[Symbol.asyncDispose]()
  await untilHolds(() => expect(scene.coverage.status()).toMatchObject({ active: 0, stale: 1 }))
  expect(scene.reasons()).toEqual([])
})

test('an instance without a channel leaves it to the keeper, and tells it of the loss', async () => {
  const both = shared()
  await using keeper = startReconciler(open(), both)
  await keeper.confirm()
  await using scene = startReconciler({ isOpen: false, isDue: true }, both)
  await untilHolds(() => expect(scene.coverage.status()).toMatchObject({ active: 1, stale: 0 }))
  scene.reconciler.lost()
  await untilHolds(() => expect(keeper.reasons()).toEqual(['lease_acquired', 'doubted']))
  expect(scene.coverage.status()).toMatchObject({ active: 0, stale: 1 })
  expect(scene.sink.stale).toEqual([[USER]])
  expect(scene.reasons()).toEqual([])
  await keeper.confirm()
  await untilHolds(() => expect(scene.coverage.status()).toMatchObject({ active: 1, stale: 0 }))
})

test('what could not be told at the loss is told before anything is confirmed again', async () => {
  await using scene = startReconciler({ isOpen: false, isDue: false })
  const marked = vi.spyOn(scene.sink, 'markStale').mockRejectedValueOnce(new GatewayError('store_unavailable'))
  scene.reconciler.lost()
  await untilHolds(() => expect(scene.reasons()).toEqual(['channel_lost']))
  expect(marked).toHaveBeenCalledTimes(2)
  expect(scene.sink.stale).toEqual([[USER]])
})

test('a keeper confirms everybody once, marks them stale before, and the book says so after', async () => {
  await using scene = startReconciler(open())
  await untilHolds(() => expect(scene.reasons()).toEqual(['lease_acquired']))
  expect(scene.sink.stale).toEqual([[USER]])
  expect(await scene.book.read()).toEqual({ isConfirmed: false, doubts: '1' })
  await scene.confirm()
  expect(await scene.book.read()).toEqual({ isConfirmed: true, doubts: '1' })
  expect(scene.subscriptions.reconcile).toHaveBeenCalledTimes(1)
})

test('a keeper whose lease goes elsewhere has single requests read, but nothing that the next keeper does anyway', async () => {
  await using scene = startReconciler(open())
  await scene.confirm()
  scene.leases.seize(KEEPER)
  await untilHolds(() => expect(scene.resynchroniser.readRequested).toHaveBeenCalledTimes(1))
  expect(scene.subscriptions.resign).toHaveBeenCalledTimes(1)
  expect(scene.resynchroniser.forgetAll).not.toHaveBeenCalled()

  await using interrupted = startReconciler(open())
  await untilHolds(() => expect(interrupted.reasons()).toEqual(['lease_acquired']))
  interrupted.leases.seize(KEEPER)
  await untilHolds(() => expect(interrupted.resynchroniser.forgetAll).toHaveBeenCalledTimes(1))
  expect(interrupted.resynchroniser.readRequested).not.toHaveBeenCalled()
})

test('an instance with a channel beside a keeper asks for nothing and shows what that one has confirmed', async () => {
  const both = shared()
  await using keeper = startReconciler(open(), both)
  await untilHolds(() => expect(keeper.reasons()).toEqual(['lease_acquired']))
  await using scene = startReconciler(open(), both)
  await untilHolds(() => expect(scene.reconciler.isKeptElsewhere).toBe(true))
  expect(scene.coverage.status()).toMatchObject({ active: 0, stale: 1 })
  await keeper.confirm()
  await untilHolds(() => expect(scene.coverage.status()).toMatchObject({ active: 1, stale: 0 }))
  expect(scene.reasons()).toEqual([])
  expect(scene.sink.stale).toEqual([])
  expect(scene.subscriptions.reconcile).not.toHaveBeenCalled()
})

/** A keeper that has confirmed everybody, and an instance that had a channel all the time. */
async function startBoth() {
  const both = shared()
  const keeper = startReconciler(open(), both)
  await keeper.confirm()
  const scene = startReconciler(open(), both)
  await untilHolds(() => expect(scene.coverage.status()).toMatchObject({ active: 1 }))
  return {
    both,
    keeper,
    scene,
    [Symbol.asyncDispose]: async () => {
      await Promise.all([keeper[Symbol.asyncDispose](), scene[Symbol.asyncDispose]()])
    },
  }
}

/** The keeper dies as by SIGKILL: its lease lapses, and nobody is told anything. */
const kill = async ({ both, keeper }: { both: Shared; keeper: ReturnType<typeof startReconciler> }) => {
  vi.spyOn(both.leases, 'tryAcquire').mockResolvedValueOnce(undefined)
  await keeper[Symbol.asyncDispose]()
}

test('the next keeper, with a channel all the time, goes on without asking for a single snapshot', async () => {
  await using pair = await startBoth()
  await kill(pair)
  await untilHolds(() => expect(pair.scene.subscriptions.adopt).toHaveBeenCalledTimes(1))
  await untilHolds(() => expect(pair.scene.reconciler.fence).toBeDefined())
  expect(pair.scene.reasons()).toEqual([])
  expect(pair.scene.sink.stale).toEqual([])
  expect(pair.scene.subscriptions.reconcile).not.toHaveBeenCalled()
  expect(await pair.both.book.read()).toMatchObject({ isConfirmed: true })
})

test('the next keeper confirms everybody if the last one had not come to the end', async () => {
  await using pair = await startBoth()
  await pair.both.book.doubt()
  await kill(pair)
  await untilHolds(() => expect(pair.scene.reasons()).toEqual(['lease_acquired']))
  expect(pair.scene.subscriptions.adopt).not.toHaveBeenCalled()
  expect(pair.scene.sink.stale).toEqual([[USER]])
})

test('the next keeper confirms everybody if its own channel was gone for a moment after the last one died', async () => {
  await using pair = await startBoth()
  const acquire = vi.spyOn(pair.both.leases, 'tryAcquire').mockResolvedValue(undefined)
  const look = vi.spyOn(pair.both.leases, 'look').mockResolvedValue({ renewedMsAgo: 3_000 })
  await pair.keeper[Symbol.asyncDispose]()
  const { channels, reconciler } = pair.scene
  channels.isOpen = false
  reconciler.ended()
  channels.isOpen = true
  reconciler.opened()
  // The dead keeper is still seen, but not as alive since then.
  await untilHolds(() => expect(look).toHaveBeenCalled())
  acquire.mockRestore()
  reconciler.wake()
  await untilHolds(() => expect(pair.scene.reasons()).toEqual(['lease_acquired']))
  expect(pair.scene.subscriptions.adopt).not.toHaveBeenCalled()
})

test('the next keeper confirms everybody where the network cannot list the subscriptions', async () => {
  await using pair = await startBoth()
  pair.scene.subscriptions.adopt.mockResolvedValue(undefined)
  await kill(pair)
  await untilHolds(() => expect(pair.scene.reasons()).toEqual(['lease_acquired']))
})

test('after a loss of the store the keeper confirms everybody, and the others ask for nothing', async () => {
  await using pair = await startBoth()
  pair.keeper.reconciler.renew('store_emptied')
  pair.scene.reconciler.renew('store_emptied')
  await untilHolds(() => expect(pair.keeper.reasons()).toEqual(['lease_acquired', 'store_emptied']))
  expect(pair.scene.reasons()).toEqual([])
  // A keeper that dies right then may not have noticed.
  await kill(pair)
  await untilHolds(() => expect(pair.scene.reasons()).toEqual(['lease_acquired']))
})
