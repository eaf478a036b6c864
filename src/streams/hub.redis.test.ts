import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ReceivedFrame } from '../../test/support/stream-client.ts'
import { StreamClient } from '../../test/support/stream-client.ts'
import type { RigApp } from '../../test/support/stream-rig.ts'
import { StreamRig } from '../../test/support/stream-rig.ts'
import { useRedis } from '../../test/support/use-redis.ts'
import type { Position } from '../core/position.ts'

const redis = useRedis()
let rig: StreamRig

beforeAll(async () => {
  rig = await new StreamRig(redis).start()
})
afterAll(() => rig.stop())

const connect = (app: RigApp, of = rig): Promise<StreamClient> => StreamClient.open(of.streamUrl(app), { key: app.key })

async function connectAndSubscribe(app: RigApp, after: Position | null, of = rig): Promise<StreamClient> {
  const client = await connect(app, of)
  client.subscribe(after)
  return client
}

async function appendAll(app: RigApp, from: number, to: number, of = rig): Promise<void> {
  for (let n = from; n <= to; n += 1) await of.append(app, n)
}

describe('a fresh start', () => {
  test('gives the live calls at a position, and the events after it', async () => {
    const app = rig.addApp()
    await rig.commitCall(app, 'call-1', 'ringing')
    await rig.commitCall(app, 'call-2', 'ringing')
    await rig.commitCall(app, 'call-2', 'released')
    const client = await connectAndSubscribe(app, null)
    const subscribed = await client.frame(({ type }) => type === 'subscribed')
    expect(subscribed).toMatchObject({
      recovered: false,
      position: { offset: 3 },
      snapshot: [
        {
          call_id: 'call-1',
          subscriber_id: app.subscriberId,
          subscriber_number: '+15550100',
          subscriber_name: 'Ann',
          remote_number: '+15550199',
          direction: 'incoming',
          state: 'ringing',
          sequence_number: '1',
        },
      ],
    })
    expect(subscribed.reason).toBeUndefined()
    await rig.commitCall(app, 'call-1', 'active')
    expect(await client.frame(({ type }) => type === 'event')).toMatchObject({
      event: 'call.active',
      position: { epoch: subscribed.position?.epoch, offset: 4 },
      data: { call_id: 'call-1', state: 'active', sequence_number: '2' },
    })
    await client.disconnect()
  })

  test('of an app without calls gives an empty snapshot', async () => {
    const client = await connectAndSubscribe(rig.addApp(), null)
    expect(await client.frame(({ type }) => type === 'subscribed')).toMatchObject({
      recovered: false,
      position: { offset: 0 },
      snapshot: [],
    })
    await client.disconnect()
  })
})

describe('resuming', () => {
  test('after a disconnect gives exactly what was missed, then what comes', async () => {
    const app = rig.addApp()
    const first = await connectAndSubscribe(app, null)
    await first.frame(({ type }) => type === 'subscribed')
    await appendAll(app, 1, 3)
    const { position } = await first.frame(({ data }) => data?.n === 2)
    await first.disconnect()
    await appendAll(app, 4, 250)
    const second = await connectAndSubscribe(app, position ?? null)
    await second.frame(({ data }) => data?.n === 250)
    await appendAll(app, 251, 252)
    await second.frame(({ data }) => data?.n === 252)
    expect(second.frames[0]).toEqual({ type: 'subscribed', recovered: true, position })
    expect(second.numbers).toEqual(Array.from({ length: 250 }, (_, index) => index + 3))
    await second.disconnect()
  })

  test('at the top gives nothing but what comes', async () => {
    const app = rig.addApp()
    await appendAll(app, 1, 2)
    const client = await connectAndSubscribe(app, await rig.log.top(app))
    expect(await client.frame(({ type }) => type === 'subscribed')).toMatchObject({ recovered: true })
    await rig.append(app, 3)
    await client.frame(({ data }) => data?.n === 3)
    expect(client.numbers).toEqual([3])
    await client.disconnect()
  })

  test('after a position that was trimmed away gives a snapshot and says so', async () => {
    const app = rig.addApp()
    await appendAll(app, 1, 5)
    const top = await rig.log.top(app)
    await rig.trim(app, 2)
    const client = await connectAndSubscribe(app, { ...top, offset: 1 })
    expect(await client.frame(({ type }) => type === 'subscribed')).toEqual({
      type: 'subscribed',
      recovered: false,
      reason: 'trimmed',
      position: top,
      snapshot: [],
    })
    await client.disconnect()
  })

  test('after a position ahead of the log gives a snapshot and says so', async () => {
    const app = rig.addApp()
    await appendAll(app, 1, 2)
    const top = await rig.log.top(app)
    const client = await connectAndSubscribe(app, { ...top, offset: 9 })
    expect(await client.frame(({ type }) => type === 'subscribed')).toMatchObject({
      recovered: false,
      reason: 'ahead_of_log',
      position: top,
    })
    await client.disconnect()
  })

  test('after a position of an epoch that nobody knows gives a snapshot and says so', async () => {
    const app = rig.addApp()
    await appendAll(app, 1, 2)
    const client = await connectAndSubscribe(app, { epoch: 'zz', offset: 1 })
    expect(await client.frame(({ type }) => type === 'subscribed')).toMatchObject({
      recovered: false,
      reason: 'epoch_changed',
      position: { offset: 2 },
    })
    await client.disconnect()
  })

  test('into an epoch that has ended is not a recovery, even while its rest is readable', async () => {
    const app = rig.addApp()
    await appendAll(app, 1, 5)
    const { epoch } = await rig.log.top(app)
    await rig.breakEpoch(app)
    const client = await connectAndSubscribe(app, { epoch, offset: 2 })
    const subscribed = await client.frame(({ type }) => type === 'subscribed')
    expect(subscribed).toMatchObject({ recovered: false, reason: 'epoch_changed', position: { offset: 0 } })
    expect(subscribed.position?.epoch).not.toBe(epoch)
    await client.disconnect()
  })
})

describe('a gap while live', () => {
  test('because the store was lost: calls that are put back after the snapshot are sent, too', async () => {
    const app = rig.addApp()
    const client = await connectAndSubscribe(app, null)
    await client.frame(({ type }) => type === 'subscribed')
    await rig.breakEpoch(app)
    const first = await client.frame(({ type }) => type === 'snapshot')
    expect(first.snapshot).toEqual([])
    await rig.putBackCall(app, 'call-1', 'ringing')
    const next = await client.frame(({ type, snapshot }) => type === 'snapshot' && snapshot?.length === 1)
    expect(next.snapshot).toMatchObject([{ call_id: 'call-1', sequence_number: '0' }])
    expect(client.frames.filter(({ type }) => type === 'gap')).toHaveLength(1)
    await client.disconnect()
  })

  test('is told, followed by a snapshot in the new epoch, and the stream goes on', async () => {
    const app = rig.addApp()
    await rig.commitCall(app, 'call-1', 'ringing')
    const client = await connectAndSubscribe(app, null)
    await client.frame(({ type }) => type === 'subscribed')
    await rig.append(app, 1)
    await client.frame(({ data }) => data?.n === 1)
    await rig.breakEpoch(app)
    const snapshot = await client.frame(({ type }) => type === 'snapshot')
    await rig.append(app, 2)
    await client.frame(({ data }) => data?.n === 2)
    expect(client.frames.map(({ type }) => type)).toEqual(['subscribed', 'event', 'gap', 'snapshot', 'event'])
    expect(client.frames[2]).toEqual({ type: 'gap', reason: 'epoch_changed' })
    expect(snapshot.snapshot).toMatchObject([{ call_id: 'call-1', state: 'ringing' }])
    expect(client.frames[4]?.position).toEqual({ epoch: snapshot.position?.epoch, offset: 1 })
    await client.disconnect()
  })

  test('reaches every client of the app and none of another', async () => {
    const [app, other] = [rig.addApp(), rig.addApp()]
    const clients = await Promise.all([app, app, app, other].map((of) => connectAndSubscribe(of, null)))
    await Promise.all(clients.map((client) => client.frame(({ type }) => type === 'subscribed')))
    await Promise.all([rig.append(app, 1), rig.append(other, 1)])
    await Promise.all(clients.map((client) => client.frame(({ data }) => data?.n === 1)))
    await rig.breakEpoch(app)
    await Promise.all(clients.slice(0, 3).map((client) => client.frame(({ type }) => type === 'snapshot')))
    await rig.append(other, 2)
    await clients[3]?.frame(({ data }) => data?.n === 2)
    expect(clients.map((client) => client.frames.filter(({ type }) => type === 'gap').length)).toEqual([1, 1, 1, 0])
    await Promise.all(clients.map((client) => client.disconnect()))
  })
})

describe('whatever connects, disconnects and is appended when', () => {
  test('recovered and live events together are exactly the suffix of the log (P11)', { timeout: 60_000 }, async () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.record({ append: fc.integer({ min: 1, max: 130 }) }) },
      { weight: 2, arbitrary: fc.record({ drop: fc.nat(3) }) },
      { weight: 3, arbitrary: fc.record({ connect: fc.nat(3) }) },
      { weight: 1, arbitrary: fc.record({ rest: fc.integer({ min: 0, max: 20 }) }) },
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 14 }), async (steps) => {
        const app = rig.addApp()
        const top = await rig.log.top(app)
        const followers = Array.from({ length: 4 }, () => new ResumingClient(app, top))
        let count = 0
        const appends: Promise<void>[] = []
        for (const each of steps) {
          if ('append' in each) {
            // Not awaited: appends run against handovers.
            appends.push(appendAll(app, count + 1, count + each.append))
            count += each.append
          } else if ('rest' in each) await new Promise((resolve) => setTimeout(resolve, each.rest))
          else if ('drop' in each) await followers[each.drop]?.drop()
          else await followers[each.connect]?.connect()
        }
        await Promise.all(appends)
        for (const follower of followers) {
          await follower.connect()
          await follower.until(count)
          expect(follower.offsets).toEqual(Array.from({ length: count }, (_, index) => index + 1))
          await follower.drop()
          expect(follower.unexpected).toEqual([])
        }
      }),
      { numRuns: 25 },
    )
  })
})

/** Keeps its position over any number of connections, as a client should. */
class ResumingClient {
  readonly #app: RigApp
  #position: Position
  #client: StreamClient | undefined
  /** Frames that an unbroken log gives no reason for. */
  readonly unexpected: ReceivedFrame[] = []
  readonly #offsets: number[] = []

  constructor(app: RigApp, position: Position) {
    this.#app = app
    this.#position = position
  }

  get offsets(): readonly number[] {
    this.#collect()
    return this.#offsets
  }

  async connect(): Promise<void> {
    this.#client ??= await connectAndSubscribe(this.#app, this.#position)
  }

  async drop(): Promise<void> {
    await this.#client?.disconnect()
    this.#collect()
    this.#client = undefined
  }

  async until(offset: number): Promise<void> {
    await this.#client?.until(() => {
      this.#collect()
      return this.#position.offset >= offset
    })
  }

  #collect(): void {
    for (const frame of this.#client?.frames.splice(0) ?? []) {
      const { type, recovered, position } = frame
      const isResumed =
        recovered === true && position?.epoch === this.#position.epoch && position.offset === this.#position.offset
      if (type === 'event' && position !== undefined) {
        this.#offsets.push(position.offset)
        this.#position = position
      } else if (type !== 'subscribed' || !isResumed) this.unexpected.push(frame)
    }
  }
}

test('two apps never see each other’s frames, live or recovered (P12)', async () => {
  const [one, two] = [rig.addApp(), rig.addApp()]
  const clients = await Promise.all([one, two].map((app) => connectAndSubscribe(app, null)))
  await Promise.all(clients.map((client) => client.frame(({ type }) => type === 'subscribed')))
  const [fromOne, fromTwo] = [await rig.log.top(one), await rig.log.top(two)]
  await Promise.all([appendAll(one, 1, 60), appendAll(two, 1, 60)])
  clients.push(await connectAndSubscribe(one, fromOne), await connectAndSubscribe(two, fromTwo))
  await Promise.all(clients.map((client) => client.frame(({ data }) => data?.n === 60)))
  const appsSeen = clients.map((client) => new Set(client.frames.flatMap(({ data }) => data?.['app_id'] ?? [])))
  expect(appsSeen).toEqual([one, two, one, two].map(({ appId }) => new Set([appId])))
  await Promise.all(clients.map((client) => client.disconnect()))
})

test('a session that ends leaves nothing behind', async () => {
  const own = await new StreamRig(redis).start()
  const app = own.addApp()
  const client = await connectAndSubscribe(app, null, own)
  await client.frame(({ type }) => type === 'subscribed')
  expect(await own.metric('callhalf_stream_sessions', { transport: 'websocket' })).toBe(1)
  await client.disconnect()
  await expect.poll(() => own.metric('callhalf_stream_sessions', { transport: 'websocket' })).toBe(0)
  await own.stop()
})
