import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { ReceivedFrame } from '../../test/support/stream-client.ts'
import { StreamClient } from '../../test/support/stream-client.ts'
import { CursorClient } from '../../test/support/stream-cursor.ts'
import type { CursorTransport } from '../../test/support/stream-cursor.ts'
import type { RigApp } from '../../test/support/stream-rig.ts'
import { StreamRig } from '../../test/support/stream-rig.ts'
import { untilHolds } from '../../test/support/until.ts'
import { useRedis } from '../../test/support/use-redis.ts'
import type { Position } from '../core/position.ts'
import type { Sendable } from './frame.ts'

const redis = useRedis()
let rig: StreamRig

beforeAll(async () => {
  rig = await new StreamRig(redis).start()
})
afterAll(() => rig.stop())

async function connectLive(app: RigApp, after: Position | null = null): Promise<StreamClient> {
  const client = await StreamClient.open(rig.streamUrl(app), { key: app.key })
  client.subscribe(after)
  await client.frame(({ type }) => type === 'subscribed')
  return client
}

const bob = 'bob@example.net'
const ringing = (subscriberId: string) => ({ subscriberId, type: 'call.ringing' })

describe('what is about a subscriber that the app has lost', () => {
  test('is not sent live, nor on resuming, nor in a snapshot; the position moves past it', async () => {
    const app = rig.addApp()
    rig.assign(app, bob)
    const start = await rig.log.top(app)
    await rig.commitCall(app, 'call-1', 'ringing', bob)
    const live = await connectLive(app)
    rig.unassign(app, bob)
    await rig.appendAbout(app, 2, ringing(bob))
    await rig.append(app, 3)
    await live.frame(({ data }) => data?.n === 3)
    expect(live.numbers).toEqual([3])
    const resumed = await connectLive(app, start)
    await resumed.frame(({ data }) => data?.n === 3)
    expect(resumed.numbers).toEqual([3])
    const fresh = await connectLive(app)
    expect(fresh.frames[0]).toMatchObject({ type: 'subscribed', snapshot: [], position: { offset: 3 } })
    const query = `after=${start.epoch}:${start.offset}&wait_seconds=0`
    const headers = { authorization: `Bearer ${app.key}` }
    const polled: unknown = await (await fetch(`${rig.eventsUrl(app)}?${query}`, { headers })).json()
    expect(polled).toMatchObject({ recovered: true, position: { offset: 3 }, events: [{ data: { n: 3 } }] })
    await Promise.all([live, resumed, fresh].map((client) => client.disconnect()))
  })

  test('is sent again once the subscriber is back', async () => {
    const app = rig.addApp()
    const start = await rig.log.top(app)
    const live = await connectLive(app)
    await rig.appendAbout(app, 1, ringing(bob))
    await rig.append(app, 2)
    await live.frame(({ data }) => data?.n === 2)
    rig.assign(app, bob)
    const resumed = await connectLive(app, start)
    await resumed.frame(({ data }) => data?.n === 2)
    expect(live.numbers).toEqual([2])
    expect(resumed.numbers).toEqual([1, 2])
    await Promise.all([live, resumed].map((client) => client.disconnect()))
  })

  test('is dropped where it waits for a slow client', async () => {
    const app = rig.addApp()
    rig.assign(app, bob)
    const sent: Sendable[] = []
    let onReady: (() => void) | undefined
    const transport = {
      kind: 'websocket' as const,
      isCongested: false,
      send: (part: Sendable) => sent.push(part),
      onceReady: (listener: () => void) => (onReady = listener),
      probe: () => true,
      close: () => undefined,
      terminate: () => undefined,
    }
    const session = rig.hub.open({ app }, transport)
    session.subscribe(null)
    const watcher = await connectLive(app)
    transport.isCongested = true
    const numberOfSent = sent.length
    await rig.appendAbout(app, 1, ringing(bob))
    await rig.appendAbout(app, 2, ringing(app.subscriberId))
    await watcher.frame(({ data }) => data?.n === 2)
    rig.unassign(app, bob)
    transport.isCongested = false
    onReady?.()
    const text = Buffer.concat(sent.slice(numberOfSent).map(({ websocket }) => websocket)).toString('latin1')
    expect(text).toContain('"n":2')
    expect(text).not.toContain('"n":1')
    session.end()
    await watcher.disconnect()
  })
})

test('a subscriber lost with a call leaves no ghost: the calls are sent anew, and nothing else is missed', async () => {
  const app = rig.addApp()
  rig.assign(app, bob)
  await rig.commitCall(app, 'call-1', 'ringing', bob)
  await rig.commitCall(app, 'call-2', 'active')
  const client = await connectLive(app)
  await rig.append(app, 3)
  rig.unassign(app, bob)
  await rig.append(app, 4)
  const snapshot = await client.frame(({ type }) => type === 'snapshot')
  await rig.append(app, 5)
  await client.frame(({ data }) => data?.n === 5)
  expect(snapshot.snapshot?.map(({ call_id }) => call_id)).toEqual(['call-2'])
  expect(client.numbers).toEqual([3, 4, 5])
  expect(client.frames.some(({ type }) => type === 'gap')).toBe(false)
  await client.disconnect()
})

test('a subscriber gained with a call is made known by the calls; one without is not worth it', async () => {
  const app = rig.addApp()
  const client = await connectLive(app)
  rig.assign(app, 'cy@example.net')
  await rig.commitCall({ ...app, appId: rig.addApp().appId }, 'call-9', 'active', 'dee@example.net')
  rig.assign(app, 'dee@example.net')
  const snapshot = await client.frame(({ type }) => type === 'snapshot')
  expect(snapshot.snapshot?.map(({ call_id }) => call_id)).toEqual(['call-9'])
  expect(client.frames.filter(({ type }) => type === 'snapshot')).toHaveLength(1)
  await client.disconnect()
})

test('an entry about a subscriber that this instance has not heard of yet waits for the directory', async () => {
  const app = rig.addApp()
  const client = await connectLive(app)
  rig.onRefresh = async () => {
    rig.onRefresh = () => Promise.resolve()
    rig.assign(app, bob)
  }
  await rig.appendAbout(app, 1, { subscriberId: bob, type: 'subscriber.assigned' })
  await client.frame(({ data }) => data?.n === 1)
  expect(client.numbers).toEqual([1])
  await client.disconnect()
})

test('when the directory cannot say whose an entry is, nothing is left out: the stream goes on when it can', async () => {
  const app = rig.addApp()
  const client = await connectLive(app)
  const refused = vi.fn<() => Promise<void>>(() => Promise.reject(new Error('records are down')))
  rig.onRefresh = refused
  await rig.appendAbout(app, 1, ringing(bob))
  await rig.append(app, 2)
  await untilHolds(() => expect(refused).toHaveBeenCalled())
  expect(client.numbers).toEqual([])
  rig.onRefresh = () => {
    rig.assign(app, bob)
    return Promise.resolve()
  }
  await client.frame(({ data }) => data?.n === 2)
  expect(client.numbers).toEqual([1, 2])
  rig.onRefresh = () => Promise.resolve()
  await client.disconnect()
})

const SUBSCRIBERS = ['s0@example.net', 's1@example.net', 's2@example.net', 's3@example.net']
/** What the directory may lag behind, and the time a frame may be on its way. */
const GRACE_MS = 1_000
const which = fc.nat(1)
const who = fc.constantFrom(...SUBSCRIBERS)
const step = fc.oneof(
  { weight: 2, arbitrary: fc.record({ grant: which, who }) },
  { weight: 3, arbitrary: fc.record({ revoke: which, who }) },
  { weight: 1, arbitrary: fc.record({ endKey: which }) },
  {
    weight: 2,
    arbitrary: fc.record({ reconnect: fc.nat(5), via: fc.constantFrom<CursorTransport>('websocket', 'sse', 'poll') }),
  },
  { weight: 4, arbitrary: fc.record({ pause: fc.integer({ min: 1, max: 400 }) }) },
)

/** When each app had each subscriber. */
class Ledger {
  readonly #spans = new Map<string, { readonly from: number; to: number }[]>()

  grant(app: RigApp, subscriberId: string): boolean {
    const spans = this.#spansOf(app, subscriberId)
    if (spans.at(-1)?.to === Infinity) return false
    spans.push({ from: performance.now(), to: Infinity })
    return true
  }

  revoke(app: RigApp, subscriberId: string): boolean {
    const last = this.#spansOf(app, subscriberId).at(-1)
    if (last?.to !== Infinity) return false
    last.to = performance.now()
    return true
  }

  allows(app: RigApp, subscriberId: string, at: number): boolean {
    return this.#spansOf(app, subscriberId).some(({ from, to }) => from <= at && at <= to + GRACE_MS)
  }

  #spansOf({ appId }: RigApp, subscriberId: string) {
    const key = `${appId} ${subscriberId}`
    const spans = this.#spans.get(key) ?? []
    this.#spans.set(key, spans)
    return spans
  }
}

const aboutOf = (frame: ReceivedFrame): readonly unknown[] => [
  ...(frame.data === undefined ? [] : [frame.data['subscriber_id']]),
  ...(frame.snapshot ?? []).map((call) => call['subscriber_id']),
]

test('random grants and revocations, with events flowing: no frame about a subscriber later than a second after it was taken away', async () => {
  const seen = { frames: 0, snapshotCalls: 0 }
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 30, size: 'max' }), async (steps) => {
      const ledger = new Ledger()
      const apps = [rig.addApp(), rig.addApp()] as const
      // So that there is something in the first snapshots.
      for (const app of apps) {
        for (const [index, subscriberId] of SUBSCRIBERS.slice(0, 2).entries()) {
          ledger.grant(app, subscriberId)
          rig.assign(app, subscriberId)
          await rig.commitCall(app, `call-${index}`, 'active', subscriberId)
        }
      }
      const keys = new Map<RigApp, number>()
      const violations: unknown[] = []
      const clients = await Promise.all(
        [0, 1, 2, 3, 4, 5].map(async (index) => {
          // Two clients of each app have a key of their own, which may be revoked.
          const app = apps[index % 2] ?? apps[0]
          const own = index < 4 ? app : rig.addKey(app)
          const client = new CursorClient(rig, own, { epoch: '0', offset: 0 })
          client.onFrame = (frame) => {
            const now = performance.now()
            const endedAt = keys.get(own)
            if (endedAt !== undefined && now > endedAt + GRACE_MS) violations.push(['key', frame])
            for (const subscriberId of aboutOf(frame)) {
              seen.frames += 1
              if (frame.snapshot !== undefined) seen.snapshotCalls += 1
              if (!ledger.allows(app, String(subscriberId), now)) violations.push([subscriberId, frame])
            }
          }
          return { client, own }
        }),
      )
      for (const [index, { client }] of clients.entries()) {
        await client.connect((['websocket', 'sse', 'poll'] as const)[index % 3] ?? 'websocket')
      }
      const stop = new AbortController()
      const writing = write(apps, stop.signal)
      for (const each of steps) {
        if ('pause' in each) await new Promise((resolve) => setTimeout(resolve, each.pause))
        else if ('reconnect' in each) {
          const { client, own } = clients[each.reconnect] ?? clients[0] ?? fail()
          await client.drop()
          if (!keys.has(own)) await client.connect(each.via)
        } else if ('endKey' in each) {
          const { own } = clients[4 + each.endKey] ?? fail()
          keys.set(own, keys.get(own) ?? performance.now())
          rig.revokeKey(own)
        } else if ('grant' in each) {
          const app = apps[each.grant] ?? apps[0]
          if (ledger.grant(app, each.who)) rig.assign(app, each.who)
        } else {
          const app = apps[each.revoke] ?? apps[0]
          if (ledger.revoke(app, each.who)) rig.unassign(app, each.who)
        }
      }
      stop.abort()
      await writing
      for (const { client } of clients) await client.drop()
      expect(violations).toEqual([])
    }),
    { numRuns: 8 },
  )
  expect(seen.frames).toBeGreaterThan(200)
  expect(seen.snapshotCalls).toBeGreaterThan(20)
}, 120_000)

const fail = (): never => {
  throw new Error('there is one')
}

/** Writes to both logs about all subscribers all the time, whoever has them: as writers do that are behind. */
async function write(apps: readonly RigApp[], signal: AbortSignal): Promise<void> {
  for (let n = 1; !signal.aborted; n += 1) {
    const [app, subscriberId] = [apps[n % 2], SUBSCRIBERS[(n >> 1) % 4]]
    if (app === undefined || subscriberId === undefined) return
    await rig.commitCall(app, `call-${n % 3}`, n % 5 === 0 ? 'released' : 'active', subscriberId)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}
