import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { StreamClient } from '../../test/support/stream-client.ts'
import type { RigApp } from '../../test/support/stream-rig.ts'
import { ADMIN_KEY, StreamRig } from '../../test/support/stream-rig.ts'
import type { TestRedis } from '../../test/support/redis.ts'
import { startTestRedis } from '../../test/support/redis.ts'
import type { Caller } from '../core/app.ts'

let redis: TestRedis
let rig: StreamRig

beforeAll(async () => {
  redis = await startTestRedis()
  rig = await new StreamRig(redis, {
    subscribeTimeoutMs: 1_500,
    pingIntervalMs: 900,
    outboxBytesMax: 256 * 1024,
  }).start()
})
afterAll(async () => {
  await rig.stop()
  await redis.stop()
})

const connect = (app: RigApp, of = rig): Promise<StreamClient> => StreamClient.open(of.streamUrl(app), { key: app.key })

async function connectLive(app: RigApp, of = rig): Promise<StreamClient> {
  const client = await connect(app, of)
  client.subscribe(null)
  await client.frame(({ type }) => type === 'subscribed')
  return client
}

const OPS = 'op: must be subscribe, filter, answer, hold, resume, end or dial'

describe('a client that breaks the protocol', () => {
  test.each([
    ['sends no JSON', (client: StreamClient) => client.socket.send('hello'), 'the message is not JSON'],
    ['sends an unknown op', (client: StreamClient) => client.socket.send('{"op":"x"}'), OPS],
    ['sends binary', (client: StreamClient) => client.socket.send(Buffer.from('{}')), 'messages must be text'],
  ])('and %s is closed with 4002 that says what was wrong', async (_, act, detail) => {
    const client = await connect(rig.addApp())
    act(client)
    expect(await client.closed).toEqual({ code: 4002, reason: `{"code":"invalid_frame","detail":"${detail}"}` })
  })

  test('and subscribes twice is closed with 4002', async () => {
    const client = await connectLive(rig.addApp())
    client.subscribe(null)
    expect(await client.closed).toEqual({
      code: 4002,
      reason: '{"code":"invalid_frame","detail":"this stream is subscribed already"}',
    })
  })

  test('and sends more than 64 KiB is closed with 1009', async () => {
    const client = await connect(rig.addApp())
    client.socket.send('x'.repeat(64 * 1024 + 1))
    expect(await client.closed).toMatchObject({ code: 1009 })
  })

  test('and does not subscribe in time is closed with 4004', async () => {
    const client = await connect(rig.addApp())
    expect(await client.closed).toEqual({ code: 4004, reason: '{"code":"subscribe_timeout"}' })
    expect(client.frames).toEqual([])
  })
})

describe('a client that does not read', () => {
  test('is closed with 4008; others get everything, and it resumes afterwards', async () => {
    const app = rig.addApp()
    const [slow, quick] = [await connectLive(app), await connectLive(app)]
    slow.socket.pause()
    const before = await rig.metric('callhalf_stream_slow_consumers_total')
    // More than the kernel's buffers of both ends hold.
    let sent = 0
    while ((await rig.metric('callhalf_stream_slow_consumers_total')) === before && sent < 2_000) {
      sent += 1
      await rig.append(app, sent, 32 * 1024)
    }
    await quick.frame(({ data }) => data?.n === sent)
    expect(quick.numbers).toEqual(Array.from({ length: sent }, (_, index) => index + 1))
    slow.socket.resume()
    const { code, reason } = await slow.closed
    expect(code).toBe(4008)
    expect(JSON.parse(reason)).toMatchObject({ code: 'slow_consumer', retry_after_ms: expect.any(Number) })
    expect(slow.numbers.length).toBeLessThan(sent)
    const again = await connect(app)
    again.subscribe(slow.frames.at(-1)?.position ?? null)
    await again.frame(({ data }) => data?.n === sent)
    expect([...slow.numbers, ...again.numbers]).toEqual(quick.numbers)
    await Promise.all([quick.disconnect(), again.disconnect()])
  })

  test('what it missed is read no faster than it takes it', async () => {
    const app = rig.addApp()
    const start = await rig.log.top(app)
    for (let n = 1; n <= 700; n += 1) await rig.append(app, n, 32 * 1024)
    const client = await connect(app)
    const framesSent = (): Promise<number> => rig.metric('callhalf_stream_frames_sent_total')
    const before = await framesSent()
    client.socket.pause()
    client.subscribe(start)
    let last = -1
    await expect
      .poll(
        async () => {
          const now = (await framesSent()) - before
          const hasStopped = now > 0 && now === last
          last = now
          return hasStopped
        },
        { interval: 300, timeout: 10_000 },
      )
      .toBe(true)
    // What the kernel and one outbox hold, not the 22 MB that were missed.
    expect(last).toBeLessThan(500)
    client.socket.resume()
    await client.frame(({ data }) => data?.n === 700)
    expect(client.numbers).toEqual(Array.from({ length: 700 }, (_, index) => index + 1))
    await client.disconnect()
  })

  test('is cut off when it answers no ping', async () => {
    const app = rig.addApp()
    const client = await StreamClient.open(rig.streamUrl(app), { key: app.key, autoPong: false })
    client.subscribe(null)
    expect(await client.closed).toMatchObject({ code: 1006 })
  })
})

test('a quiet stream is pinged with the position of the last event', async () => {
  const app = rig.addApp()
  await rig.append(app, 1)
  const client = await connectLive(app)
  await rig.append(app, 2)
  const { position } = await client.frame(({ data }) => data?.n === 2)
  const pings = () => client.frames.filter(({ type }) => type === 'ping')
  await client.until(() => pings().length >= 2)
  expect(pings().at(-1)).toEqual({ type: 'ping', position })
  await client.disconnect()
})

test('revoking a key, wherever, closes the streams opened with it or its tokens with 4003 and no others', async () => {
  const app = rig.addApp()
  const other = rig.addKey(app)
  const tokenOf = async ({ appId, keyId }: Caller) => (await rig.tokens.issue({ appId, ...(keyId && { keyId }) })).token
  const open = async (token: string) => {
    const client = await StreamClient.open(`${rig.streamUrl(app)}?token=${token}`, {})
    client.subscribe(null)
    await client.frame(({ type }) => type === 'subscribed')
    return client
  }
  const ended = [await connectLive(app), await connect(app), await open(await tokenOf(app))]
  const kept = [
    await connectLive(other),
    await open(await tokenOf(other)),
    await connectLive({ ...app, key: ADMIN_KEY }),
    await open(await tokenOf({ appId: app.appId })),
  ]
  rig.revokeKey(app)
  for (const client of ended) {
    expect(await client.closed).toEqual({ code: 4003, reason: '{"code":"unauthorized"}' })
  }
  await rig.append(app, 1)
  for (const client of kept) {
    await client.frame(({ data }) => data?.n === 1)
    await client.disconnect()
  }
})

test('a key revoked while its stream is being opened opens none', async () => {
  const app = rig.addApp()
  rig.revokeKey(app)
  const closings: string[] = []
  const session = rig.hub.open(
    { app, keyId: app.keyId },
    {
      kind: 'sse',
      isCongested: false,
      send: () => closings.push('sent'),
      onceReady: () => undefined,
      probe: () => true,
      close: ({ name }) => closings.push(name),
      terminate: () => undefined,
    },
  )
  session.subscribe(null)
  expect(closings).toEqual(['unauthorized'])
})

test('removing an app elsewhere closes its sessions with 4003 as soon as the directory knows', async () => {
  const app = rig.addApp()
  const clients = [await connectLive(app), await connectLive({ ...app, key: ADMIN_KEY })]
  rig.removeApp(app)
  for (const client of clients) expect(await client.closed).toMatchObject({ code: 4003 })
})

test('draining closes with 4001 and a spread time to come back, and refuses new streams', async () => {
  const draining = await new StreamRig(redis).start()
  const app = draining.addApp()
  const clients = await Promise.all(Array.from({ length: 10 }, () => connectLive(app, draining)))
  draining.hub.drain()
  const closed = await Promise.all(clients.map((client) => client.closed))
  expect(closed.map(({ code }) => code)).toEqual(Array.from({ length: 10 }, () => 4001))
  const waits = closed.map(({ reason }): number => JSON.parse(reason).retry_after_ms)
  expect(waits.every((ms) => ms >= 0 && ms <= 10_000)).toBe(true)
  expect(new Set(waits).size).toBeGreaterThan(1)
  await expect(connect(app, draining)).rejects.toThrow('503')
  await draining.stop()
})

test('when the store is gone for too long, clients are sent elsewhere with 4010', async () => {
  const lost = await startTestRedis()
  const without = await new StreamRig(lost, { storeTimeoutMs: 1_500 }).start()
  const app = without.addApp()
  const [live, waiting] = [await connectLive(app, without), await connect(app, without)]
  await lost.server.stop(AbortSignal.timeout(5_000))
  waiting.subscribe(null)
  const closed = await Promise.all([live.closed, waiting.closed])
  expect(closed.map(({ code }) => code)).toEqual([4010, 4010])
  expect(JSON.parse(closed[0].reason)).toMatchObject({ code: 'store_unavailable', retry_after_ms: expect.any(Number) })
  await without.stop()
  await lost.stop()
})

test('a Redis that restarts is a new epoch: a live client is told and gets the state after it', async () => {
  const own = await startTestRedis()
  const over = await new StreamRig(own).start()
  const app = over.addApp()
  await over.commitCall(app, 'call-1', 'ringing')
  const client = await connectLive(app, over)
  await own.server.stop(AbortSignal.timeout(5_000))
  await own.server.start()
  const snapshot = await client.frame(({ type }) => type === 'snapshot')
  expect(client.types).toEqual(['subscribed', 'gap', 'snapshot'])
  expect(snapshot.snapshot).toMatchObject([{ call_id: 'call-1', state: 'ringing' }])
  await over.append(app, 1)
  await client.frame(({ data }) => data?.n === 1)
  await client.disconnect()
  await over.stop()
  await own.stop()
})
