import { Registry } from 'prom-client'
import { expect, test, vi } from 'vitest'
import { NETWORK } from '../../test/support/broadsoft-rig.ts'
import { RecordingSink } from '../../test/support/recording-sink.ts'
import { systemClock } from '../core/clock.ts'
import { GatewayError } from '../core/errors.ts'
import { toSubscriberId } from '../core/ids.ts'
import { silentLogger } from '../core/logger.ts'
import type { Ack } from './acknowledger.ts'
import type { EventDocument, EventOrigin } from './channel.ts'
import { Intake } from './intake.ts'
import { BroadsoftMetrics } from './metrics.ts'

const snapshotOf = (user: string, eventId: string): EventDocument => ({
  type: 'event',
  event: {
    eventId,
    sequenceNumber: 1,
    targetId: toSubscriberId(user),
    subscriptionId: `sub-${user}`,
    dataType: 'CallSubscriptionEvent',
    data: { name: 'eventData', namespace: '', attributes: new Map(), children: [], text: '' },
  },
})

function createIntake(pendingMax: number) {
  const sink = new RecordingSink()
  const acks: Ack[] = []
  let finished = 0
  const origin: EventOrigin = {
    fence: { lease: 'channel:x', token: 1 },
    isCurrent: () => true,
    isDraining: false,
    acknowledge: async (ack) => void acks.push(ack),
    finished: () => void (finished += 1),
  }
  const generationOf = vi.fn<(network: unknown, id: string) => Promise<number>>(async () => 1)
  const onDoubt = vi.fn<(id: string, reason: string) => void>()
  const onSnapshot = vi.fn<(id: string) => void>()
  const intake = new Intake({
    network: NETWORK,
    sink,
    generations: { generationOf },
    isWanted: () => true,
    listener: {
      onSequence: () => undefined,
      onSnapshot,
      onDoubt,
      onSubscriptionTerminated: () => undefined,
      onUnassigned: () => undefined,
    },
    clock: systemClock,
    log: silentLogger,
    metrics: new BroadsoftMetrics(new Registry()),
    pendingMax,
  })
  return { intake, sink, acks, origin, generationOf, onDoubt, onSnapshot, finished: () => finished }
}

test('with too many events pending, the channel has to wait until one is finished', async () => {
  const { intake, sink, origin, acks } = createIntake(2)
  const { promise, resolve: store } = Promise.withResolvers<void>()
  sink.beforeStore = () => promise
  await intake.accept(snapshotOf('a', 'e1'), origin)
  await intake.accept(snapshotOf('b', 'e2'), origin)
  let isAccepted = false
  const third = intake.accept(snapshotOf('c', 'e3'), origin).then(() => (isAccepted = true))
  await new Promise(setImmediate)
  expect(isAccepted).toBe(false)
  store()
  await third
  await intake.whenIdle()
  expect(acks.map(({ eventId }) => eventId)).toEqual(['e1', 'e2', 'e3'])
})

test('a slow subscriber holds up the own events only', async () => {
  const { intake, sink, origin, acks } = createIntake(10)
  const { promise, resolve: store } = Promise.withResolvers<void>()
  sink.beforeStore = ({ subscriberId }) => (subscriberId === 'slow' ? promise : Promise.resolve())
  await intake.accept(snapshotOf('slow', 'e1'), origin)
  await intake.accept(snapshotOf('slow', 'e2'), origin)
  await intake.accept(snapshotOf('fast', 'e3'), origin)
  await vi.waitFor(() => expect(acks.map(({ eventId }) => eventId)).toEqual(['e3']))
  store()
  await intake.whenIdle()
  expect(acks.map(({ eventId }) => eventId)).toEqual(['e3', 'e1', 'e2'])
})

test('each event has the generation that its subscription has then: the store may have lost the last one', async () => {
  const { intake, sink, origin, generationOf } = createIntake(10)
  generationOf.mockResolvedValueOnce(7).mockResolvedValueOnce(8)
  for (const id of ['e1', 'e2']) await intake.accept(snapshotOf('a', id), origin)
  await intake.whenIdle()
  expect(sink.delivered.map(({ observation }) => observation.upstream.generation)).toEqual([7, 8])
})

test('an event whose generation cannot be told is not answered, and its subscriber is in doubt', async () => {
  const { intake, origin, acks, generationOf, onDoubt } = createIntake(10)
  generationOf.mockRejectedValueOnce(new GatewayError('store_unavailable'))
  for (const id of ['e1', 'e2']) await intake.accept(snapshotOf('a', id), origin)
  await intake.whenIdle()
  expect(acks.map(({ eventId, status }) => [eventId, status])).toEqual([['e2', 200]])
  expect(onDoubt.mock.calls).toEqual([['a', 'undelivered']])
})

test.each([
  ['changed', 1],
  ['noop', 1],
  ['dropped', 0],
  ['unassigned', 0],
] as const)('a snapshot that is %s is answered 200 and confirms %i subscribers', async (outcome, confirmed) => {
  const { intake, sink, origin, acks, onSnapshot } = createIntake(10)
  sink.outcome = () => outcome
  await intake.accept(snapshotOf('a', 'e1'), origin)
  await intake.whenIdle()
  expect(acks.map(({ status }) => status)).toEqual([200])
  expect(onSnapshot).toHaveBeenCalledTimes(confirmed)
})

test('an event of a channel that is over by its turn is neither stored nor answered', async () => {
  const { intake, sink, origin, acks } = createIntake(10)
  await intake.accept(snapshotOf('a', 'e1'), { ...origin, isCurrent: () => false })
  await intake.whenIdle()
  expect({ stored: sink.delivered.length, acks: acks.length }).toEqual({ stored: 0, acks: 0 })
})

test('an event of a channel that is being handed over is sent on, and one taken in before is stored', async () => {
  const { intake, sink, origin, acks, finished } = createIntake(10)
  await intake.accept(snapshotOf('a', 'e1'), origin)
  await intake.accept(snapshotOf('a', 'e2'), { ...origin, isDraining: true })
  await intake.whenIdle()
  expect(acks.map(({ eventId, status }) => [eventId, status])).toEqual([
    ['e1', 200],
    ['e2', 500],
  ])
  expect(sink.delivered.length).toBe(1)
  expect(finished()).toBe(2)
})
