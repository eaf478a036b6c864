import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { StreamFilter } from '../../test/support/stream-client.ts'
import type { CursorTransport, Segment } from '../../test/support/stream-cursor.ts'
import { CursorClient } from '../../test/support/stream-cursor.ts'
import type { RigApp } from '../../test/support/stream-rig.ts'
import { StreamRig } from '../../test/support/stream-rig.ts'
import { useRedis } from '../../test/support/use-redis.ts'
import { until } from '../../test/support/until.ts'
import type { LogEntry } from '../core/event-log.ts'

const redis = useRedis()
let rig: StreamRig

beforeAll(async () => {
  rig = await new StreamRig(redis, { pingIntervalMs: 1_000 }).start()
})
afterAll(() => rig.stop())

const SUBSCRIBERS = ['ann@example.net', 'bob@example.net', 'cy@example.net']
const TYPES = ['call.ringing', 'call.active', 'call.released', 'subscriber.assigned']

/** A filter in the words of the protocol, independent of the code under test. */
function wants(filter: StreamFilter | undefined, { type, subscriberId }: LogEntry): boolean {
  const { subscriber_ids: ids, event_types: types } = filter ?? {}
  if (ids !== undefined && subscriberId !== undefined && !ids.includes(subscriberId)) return false
  return types === undefined || types.includes(type) || (types.includes('call.*') && type.startsWith('call.'))
}

/** The offsets that a client should have got in a segment that goes up to `end`. */
function expectedOf({ filters, start }: Segment, log: readonly LogEntry[], end: number): readonly number[] {
  return log.flatMap((entry) => {
    const { offset } = entry.position
    if (offset <= start || offset > end) return []
    const filter = filters.findLast(({ after }) => after < offset)?.filter
    return wants(filter, entry) ? [offset] : []
  })
}

async function readAll(app: RigApp, epoch: string): Promise<readonly LogEntry[]> {
  const slice = await rig.log.read(app, { epoch, offset: 0 }, 20_000)
  return slice.kind === 'entries' ? slice.entries : []
}

const filter: fc.Arbitrary<StreamFilter | undefined> = fc.option(
  fc.record(
    {
      subscriber_ids: fc.uniqueArray(fc.constantFrom(...SUBSCRIBERS), { minLength: 1 }),
      event_types: fc.uniqueArray(fc.constantFrom(...TYPES, 'call.*'), { minLength: 1 }),
    },
    { requiredKeys: [] },
  ),
  { nil: undefined },
)
const client = fc.nat(2)
const transport = fc.constantFrom<CursorTransport>('websocket', 'sse', 'poll')
const moves = [
  { weight: 6, arbitrary: fc.record({ append: fc.integer({ min: 1, max: 130 }) }) },
  { weight: 3, arbitrary: fc.record({ drop: client }) },
  { weight: 5, arbitrary: fc.record({ connect: client, transport }) },
  { weight: 4, arbitrary: fc.record({ change: client, filter }) },
  { weight: 3, arbitrary: fc.record({ rest: fc.integer({ min: 0, max: 30 }) }) },
]
const steady = fc.array(fc.oneof(...moves), { minLength: 5, maxLength: 20, size: 'max' })
const breaking = { breakEpoch: true }
const rough = fc.array(fc.oneof(...moves, { weight: 1, arbitrary: fc.constant(breaking) }), {
  minLength: 2,
  maxLength: 10,
  size: 'max',
})
/** At least once. */
const broken = fc.tuple(rough, rough).map(([before, after]) => [...before, breaking, ...after])
type Step = typeof broken extends fc.Arbitrary<readonly (infer Each)[]> ? Each : never

/** The n-th entry is of one of twelve kinds. */
async function append(app: RigApp, n: number): Promise<void> {
  const subscriberId = SUBSCRIBERS[n % 5]
  if (subscriberId === undefined) await rig.append(app, n)
  else await rig.appendAbout(app, n, { subscriberId, type: TYPES[n % 4] ?? '' })
}

async function appendAll(app: RigApp, before: Promise<void>, { from, to }: { from: number; to: number }) {
  await before
  for (let n = from; n <= to; n += 1) await append(app, n)
}

/** Takes the steps with three clients of a new app, with the appends running beside them, then lets all catch up. */
async function play(steps: readonly Step[]) {
  const app = rig.addApp()
  for (const subscriberId of SUBSCRIBERS) rig.assign(app, subscriberId)
  const top = await rig.log.top(app)
  const clients = [0, 1, 2].map(() => new CursorClient(rig, app, top))
  let count = 0
  let appends = Promise.resolve()
  for (const each of steps) {
    if ('append' in each) {
      // Not awaited: they run against handovers.
      appends = appendAll(app, appends, { from: count + 1, to: count + each.append })
      count += each.append
    } else if ('rest' in each) await new Promise((resolve) => setTimeout(resolve, each.rest))
    else if ('drop' in each) await clients[each.drop]?.drop()
    else if ('connect' in each) await clients[each.connect]?.connect(each.transport)
    else if ('change' in each) await clients[each.change]?.changeFilter(each.filter)
    else await rig.breakEpoch(app)
  }
  await appends
  for (const each of clients) {
    await each.drop()
    await each.changeFilter(undefined)
    await each.connect('websocket')
  }
  await rig.append(app, count + 1)
  const end = await rig.log.top(app)
  for (const each of clients) {
    await until(`${end.epoch}:${end.offset}, now at ${JSON.stringify(each.position)}`, () => {
      return each.position.epoch === end.epoch && each.position.offset === end.offset
    })
    await each.drop()
  }
  return { app, clients, end }
}

test('filters changed, connections lost and transports mixed: a client gets exactly what its filter wants of the log', async () => {
  let received = 0
  await fc.assert(
    fc.asyncProperty(steady, async (steps) => {
      const { app, clients, end } = await play(steps)
      const log = await readAll(app, end.epoch)
      for (const { segments, frames } of clients) {
        expect(frames.filter(({ type }) => type === 'gap' || type === 'snapshot')).toEqual([])
        expect(segments).toHaveLength(1)
        for (const segment of segments) {
          expect(segment.offsets).toEqual(expectedOf(segment, log, end.offset))
          received += segment.offsets.length
        }
      }
    }),
    { numRuns: 15 },
  )
  expect(received).toBeGreaterThan(1_000)
}, 120_000)

test('the same with a log that cannot be proven complete now and then: whatever is missing is before a fresh start', async () => {
  let restarts = 0
  await fc.assert(
    fc.asyncProperty(broken, async (steps) => {
      const { app, clients, end } = await play(steps)
      for (const { segments } of clients) {
        for (const segment of segments) {
          const expected = expectedOf(segment, await readAll(app, segment.epoch), Infinity)
          const isLast = segment === segments.at(-1)
          expect(segment.offsets).toEqual(isLast ? expected : expected.slice(0, segment.offsets.length))
        }
        expect(segments.at(-1)?.epoch).toBe(end.epoch)
        restarts += segments.length - 1
      }
    }),
    { numRuns: 15 },
  )
  expect(restarts).toBeGreaterThan(10)
}, 120_000)
