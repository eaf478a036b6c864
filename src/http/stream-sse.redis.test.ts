import { get } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { request } from 'undici'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RigApp } from '../../test/support/stream-rig.ts'
import { StreamRig } from '../../test/support/stream-rig.ts'
import { useRedis } from '../../test/support/use-redis.ts'

const redis = useRedis()
let rig: StreamRig

beforeAll(async () => {
  rig = await new StreamRig(redis, { pingIntervalMs: 900, outboxBytesMax: 256 * 1024 }).start()
})
afterAll(() => rig.stop())

/** One SSE response, read as text. */
class SseClient {
  readonly response: IncomingMessage
  readonly ended: Promise<void>
  text = ''

  private constructor(response: IncomingMessage) {
    this.response = response
    response.setEncoding('utf8')
    response.on('data', (chunk: string) => {
      this.text += chunk
    })
    response.on('error', () => undefined)
    this.ended = new Promise((resolve) => {
      response.once('close', () => resolve())
    })
  }

  static async open(url: string, headers: Readonly<Record<string, string>>): Promise<SseClient> {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      get(url, { headers: { accept: 'text/event-stream', ...headers } }, resolve).once('error', reject)
    })
    return new SseClient(response)
  }

  async until(part: string): Promise<void> {
    const expired = Date.now() + 10_000
    while (!this.text.includes(part)) {
      if (Date.now() > expired || this.response.destroyed) throw new Error(`did not receive ${part}: ${this.text}`)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }

  get ids(): readonly string[] {
    return [...this.text.matchAll(/^id: (.*)$/gm)].map(([, id]) => id ?? '')
  }

  get numbers(): readonly number[] {
    return [...this.text.matchAll(/"n":(\d+)/g)].map(([, n]) => Number(n))
  }

  async disconnect(): Promise<void> {
    this.response.destroy()
    await this.ended
  }
}

const open = (app: RigApp, headers: Readonly<Record<string, string>> = {}, query = '', of = rig): Promise<SseClient> =>
  SseClient.open(`${of.streamUrl(app)}${query}`, { authorization: `Bearer ${app.key}`, ...headers })

async function appendAll(app: RigApp, from: number, to: number): Promise<void> {
  for (let n = from; n <= to; n += 1) await rig.append(app, n)
}

test('starts with a snapshot and goes on with events, each with its position as id', async () => {
  const app = rig.addApp()
  await rig.commitCall(app, 'call-1', 'ringing')
  const { epoch } = await rig.log.top(app)
  const client = await open(app)
  await client.until('event: subscribed')
  await rig.append(app, 7)
  await client.until('"n":7')
  expect(client.response.headers['content-type']).toBe('text/event-stream; charset=utf-8')
  expect(client.response.headers['cache-control']).toContain('no-transform')
  expect(client.ids).toEqual([`${epoch}:1`, `${epoch}:2`])
  expect(client.text).toContain('"snapshot":[{')
  expect(client.text).toContain(
    `id: ${epoch}:2\nevent: event\ndata: {"type":"event","event":"subscriber.assigned","position":{"epoch":"${epoch}","offset":2},"data":{"app_id":"${app.appId}","n":7}}\n\n`,
  )
  await client.disconnect()
})

test('resumes after Last-Event-ID with exactly what was missed', async () => {
  const app = rig.addApp()
  const first = await open(app)
  await first.until('event: subscribed')
  await appendAll(app, 1, 3)
  await first.until('"n":3')
  const lastId = first.ids.at(-1) ?? ''
  await first.disconnect()
  await appendAll(app, 4, 150)
  const second = await open(app, { 'last-event-id': lastId }, '?after=1:0')
  await second.until('"n":150')
  await rig.append(app, 151)
  await second.until('"n":151')
  expect(second.text).toContain('"recovered":true')
  expect(second.numbers).toEqual(Array.from({ length: 148 }, (_, index) => index + 4))
  await second.disconnect()
})

test('resumes after ?after= when there is no Last-Event-ID', async () => {
  const app = rig.addApp()
  await appendAll(app, 1, 3)
  const { epoch } = await rig.log.top(app)
  const client = await open(app, {}, `?after=${epoch}:1`)
  await client.until('"n":3')
  expect(client.numbers).toEqual([2, 3])
  await client.disconnect()
})

test('sends what the filter of its query wants, and resumes past what it does not', async () => {
  const app = rig.addApp()
  rig.assign(app, 'bob@example.net')
  const query = `?event_type=call.ringing&event_type=call.held&subscriber_id=${encodeURIComponent('bob@example.net')}`
  const client = await open(app, {}, query)
  await client.until('event: subscribed')
  for (const [index, type] of ['call.ringing', 'call.active', 'call.held', 'call.updated'].entries()) {
    await rig.appendAbout(app, index * 2 + 1, { subscriberId: 'bob@example.net', type })
    await rig.appendAbout(app, index * 2 + 2, { subscriberId: app.subscriberId, type })
  }
  const { epoch } = await rig.log.top(app)
  await client.until(`: ping\nid: ${epoch}:8\n\n`)
  expect(client.numbers).toEqual([1, 5])
  await client.disconnect()
})

test.each(['?event_type=call.rung', '?subscriber_id='])(
  'a filter that cannot be meant is refused: %s',
  async (query) => {
    const app = rig.addApp()
    const headers = { accept: 'text/event-stream', authorization: `Bearer ${app.key}` }
    const { statusCode, body } = await request(`${rig.streamUrl(app)}${query}`, { headers })
    expect(statusCode).toBe(400)
    expect(await body.json()).toMatchObject({ code: 'invalid_request' })
  },
)

test('opens with a token, since an EventSource cannot send a key', async () => {
  const app = rig.addApp()
  const { token } = await rig.tokens.issue({ appId: app.appId, keyId: app.keyId })
  const client = await SseClient.open(`${rig.streamUrl(app)}?token=${token}`, {})
  expect(client.response.statusCode).toBe(200)
  await client.until('event: subscribed')
  await client.disconnect()
})

test('a quiet stream is kept alive by comments that carry its position', async () => {
  const app = rig.addApp()
  const { epoch } = await rig.log.top(app)
  const client = await open(app)
  await client.until(': ping')
  expect(client.text).toContain(`\n\n: ping\nid: ${epoch}:0\n`)
  await client.disconnect()
})

describe('a request that cannot become a stream', () => {
  test.each([
    ['without credentials', { accept: 'text/event-stream' }, '', 'GET' as const, 401, 'unauthorized'],
    ['that asks for JSON', { accept: 'application/json' }, '', 'GET' as const, 400, 'invalid_request'],
    [
      'with a malformed position',
      { accept: 'text/event-stream' },
      '?after=abc',
      'GET' as const,
      400,
      'invalid_request',
    ],
  ])('%s gets a problem document', async (_, headers, query, method, status, code) => {
    const { statusCode, body } = await request(`${rig.streamUrl(rig.addApp())}${query}`, { method, headers })
    expect(statusCode).toBe(status)
    expect(await body.json()).toMatchObject({ status, code })
  })

  test('HEAD opens no session that nobody would read', async () => {
    const app = rig.addApp()
    const before = await rig.metric('callhalf_stream_sessions', { transport: 'sse' })
    const { statusCode } = await request(rig.streamUrl(app), {
      method: 'HEAD',
      headers: { accept: 'text/event-stream', authorization: `Bearer ${app.key}` },
    })
    expect(statusCode).toBe(405)
    expect(await rig.metric('callhalf_stream_sessions', { transport: 'sse' })).toBe(before)
  })
})

test('revoking the key ends the response with a close event of 4003', async () => {
  const app = rig.addApp()
  const client = await open(app)
  await client.until('event: subscribed')
  rig.revokeKey(app)
  await client.ended
  expect(client.text).toMatch(
    /event: close\ndata: \{"type":"close","code":4003,"reason":\{"code":"unauthorized"\}\}\n\n$/,
  )
})

test('the response has our headers and a request id', async () => {
  const client = await open(rig.addApp())
  expect(client.response.headers).toMatchObject({ 'x-content-type-options': 'nosniff', 'x-accel-buffering': 'no' })
  await client.disconnect()
})

test('a client that disconnects leaves no session behind', async () => {
  const own = await new StreamRig(redis).start()
  const client = await open(own.addApp(), {}, '', own)
  await client.until('event: subscribed')
  expect(await own.metric('callhalf_stream_sessions', { transport: 'sse' })).toBe(1)
  await client.disconnect()
  await expect.poll(() => own.metric('callhalf_stream_sessions', { transport: 'sse' })).toBe(0)
  await own.stop()
})

test('draining ends the response with a close event that says when to come back', async () => {
  const own = await new StreamRig(redis).start()
  const client = await open(own.addApp(), {}, '', own)
  await client.until('event: subscribed')
  await own.server.stop(AbortSignal.timeout(5_000))
  await client.ended
  expect(client.text).toMatch(
    /retry: \d+\nevent: close\ndata: \{"type":"close","code":4001,"reason":\{"code":"draining","retry_after_ms":\d+\}\}\n\n$/,
  )
  await own.stop()
})

test('a client that does not read is told 4008 when it does, or cut off; it can resume', async () => {
  const app = rig.addApp()
  const client = await open(app)
  await client.until('event: subscribed')
  client.response.pause()
  const before = await rig.metric('callhalf_stream_slow_consumers_total')
  let sent = 0
  while ((await rig.metric('callhalf_stream_slow_consumers_total')) === before && sent < 2_000) {
    sent += 1
    await rig.append(app, sent, 32 * 1024)
  }
  client.response.resume()
  await client.ended
  expect(client.text).toContain('"code":4008')
  const received = client.numbers
  expect(received.length).toBeLessThan(sent)
  const again = await open(app, { 'last-event-id': client.ids.at(-1) ?? '' })
  await again.until(`"n":${sent},`)
  expect([...received, ...again.numbers]).toEqual(Array.from({ length: sent }, (_, index) => index + 1))
  await again.disconnect()
})
