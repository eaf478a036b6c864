import { request } from 'undici'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { StreamClient } from '../../test/support/stream-client.ts'
import type { RigApp } from '../../test/support/stream-rig.ts'
import { StreamRig } from '../../test/support/stream-rig.ts'
import { useRedis } from '../../test/support/use-redis.ts'
import { until } from '../../test/support/until.ts'
import type { Caller } from '../core/app.ts'
import type { CommandFrame, CommandReply, CommandRunner } from './commands.ts'

const redis = useRedis()
let rig: StreamRig

/** Carries out nothing until it is told to. */
class HeldCommands implements CommandRunner {
  readonly held: {
    readonly caller: Caller
    readonly frame: CommandFrame
    readonly answer: (reply: CommandReply) => void
  }[] = []

  run(caller: Caller, frame: CommandFrame): Promise<CommandReply> {
    return new Promise((answer) => this.held.push({ caller, frame, answer }))
  }

  refuse(error: { readonly status: number; readonly code: string }): CommandReply {
    return { status: error.status, problem: { code: error.code } }
  }
}
const commands = new HeldCommands()

beforeAll(async () => {
  rig = await new StreamRig(redis, { commands, streamsPerAppMax: 3, commandsInFlightMax: 4 }).start()
})
afterAll(() => rig.stop())

async function connectLive(app: RigApp): Promise<StreamClient> {
  const client = await StreamClient.open(rig.streamUrl(app), { key: app.key })
  client.subscribe(null)
  await client.frame(({ type }) => type === 'subscribed')
  return client
}

const answer = (requestId: string) => ({ op: 'answer', call_id: 'call-1', request_id: requestId })

describe('the streams of an app', () => {
  test('are limited, whatever they are; one more gets 429 before the handshake, and room comes back', async () => {
    const [app, other] = [rig.addApp(), rig.addApp()]
    const headers = { authorization: `Bearer ${app.key}` }
    const clients = [await connectLive(app), await connectLive(app)]
    const { epoch } = await rig.log.top(app)
    const waiting = fetch(`${rig.eventsUrl(app)}?after=${epoch}:0&wait_seconds=30`, { headers })
    await until(
      'the poll to wait',
      async () => (await rig.metric('callhalf_stream_sessions', { transport: 'long_poll' })) === 1,
    )
    await expect(StreamClient.open(rig.streamUrl(app), { key: app.key })).rejects.toThrow('429')
    const sse = await request(rig.streamUrl(app), { headers: { ...headers, accept: 'text/event-stream' } })
    expect(sse.statusCode).toBe(429)
    expect(sse.headers['retry-after']).toBe('5')
    expect(await sse.body.json()).toMatchObject({ code: 'too_many_streams', status: 429 })
    expect((await fetch(rig.eventsUrl(app), { headers })).status).toBe(429)
    const unaffected = await connectLive(other)
    await rig.append(app, 1)
    expect(await (await waiting).json()).toMatchObject({ events: [{ data: { n: 1 } }] })
    clients.push(await connectLive(app))
    await Promise.all([...clients, unaffected].map((client) => client.disconnect()))
  })
})

describe('what a client sends', () => {
  test('more than the rate allows closes it with 4005, and nobody else', async () => {
    const app = rig.addApp()
    const [flooding, other] = [await connectLive(app), await connectLive(app)]
    for (let n = 0; n < 10_000; n += 1) flooding.send({ op: 'filter', filter: null })
    expect(await flooding.closed).toEqual({ code: 4005, reason: '{"code":"too_many_messages"}' })
    await rig.append(app, 1)
    await other.frame(({ data }) => data?.n === 1)
    expect(other.socket.readyState).toBe(WebSocket.OPEN)
    await other.disconnect()
  })

  test('pings count as well, so that one that does not read the answers cannot pile them up', async () => {
    const client = await connectLive(rig.addApp())
    let pongs = 0
    client.socket.on('pong', () => (pongs += 1))
    for (let n = 0; n < 10_000; n += 1) client.socket.ping()
    expect((await client.closed).code).toBe(4005)
    expect(pongs).toBeGreaterThan(0)
    expect(pongs).toBeLessThan(100)
  })

  test('garbage of every kind closes it, and the others go on', async () => {
    const app = rig.addApp()
    const quiet = await connectLive(app)
    const garbage = ['{', '[]', '"x"', '{"op":"filter"}', '{"op":"subscribe","after":null}', 'x'.repeat(60_000)]
    for (const text of garbage) {
      const client = await connectLive(app)
      for (let n = 0; n < 1_000; n += 1) client.socket.send(text)
      expect((await client.closed).code).toBe(4002)
    }
    await rig.append(app, 1)
    await quiet.frame(({ data }) => data?.n === 1)
    await quiet.disconnect()
  })

  test('before the subscribe closes it', async () => {
    const app = rig.addApp()
    const client = await StreamClient.open(rig.streamUrl(app), { key: app.key })
    client.send(answer('1'))
    expect(await client.closed).toEqual({
      code: 4002,
      reason: '{"code":"invalid_frame","detail":"the first message must be a subscribe"}',
    })
  })
})

describe('commands', () => {
  test('are refused beyond so many under way, and taken again when one is finished', async () => {
    const app = rig.addApp()
    const client = await connectLive(app)
    for (const id of ['1', '2', '3', '4', '5']) client.send(answer(id))
    expect(await client.frame(({ type }) => type === 'reply')).toEqual({
      type: 'reply',
      request_id: '5',
      status: 429,
      problem: { code: 'too_many_requests' },
    })
    commands.held.find(({ frame }) => frame.request_id === '2')?.answer({ status: 204 })
    expect(await client.frame(({ request_id: id }) => id === '2')).toEqual({
      type: 'reply',
      request_id: '2',
      status: 204,
    })
    client.send(answer('6'))
    await until('the next command', () => commands.held.find(({ frame }) => frame.request_id === '6'))
    await client.disconnect()
    for (const { answer: finish } of commands.held.splice(0)) finish({ status: 204 })
  })

  test('are carried out in the name of the app and the key that opened the stream, as they were sent', async () => {
    const app = rig.addApp()
    const client = await connectLive(app)
    const dial = { op: 'dial', request_id: 'd', remote_number: '1002', idempotency_key: 'k' }
    client.send(dial)
    const { caller, frame, answer: finish } = await until('the command', () => commands.held.at(-1))
    expect(caller).toEqual({ appId: app.appId, keyId: app.keyId })
    expect(frame).toEqual(dial)
    finish({ status: 201, body: { call_id: 'x' }, isReplay: true })
    expect(await client.frame(({ type }) => type === 'reply')).toEqual({
      type: 'reply',
      request_id: 'd',
      status: 201,
      body: { call_id: 'x' },
      idempotent_replayed: true,
    })
    await client.disconnect()
  })

  test('are not there where the gateway takes none', async () => {
    const without = await new StreamRig(redis).start()
    const app = without.addApp()
    const client = await StreamClient.open(without.streamUrl(app), { key: app.key })
    client.subscribe(null)
    client.send(answer('1'))
    expect(await client.closed).toEqual({
      code: 4002,
      reason: '{"code":"invalid_frame","detail":"this gateway takes no commands on streams"}',
    })
    await without.stop()
  })
})

describe('changes of the filter', () => {
  test('are answered one by one with what matches, and resumable from a ping beyond what was left out', async () => {
    const own = await new StreamRig(redis, { pingIntervalMs: 900 }).start()
    const app = own.addApp()
    await own.commitCall(app, 'call-1', 'ringing')
    await own.commitCall(app, 'call-2', 'active')
    const client = await StreamClient.open(own.streamUrl(app), { key: app.key })
    client.subscribe(null, { event_types: ['call.ringing'] })
    client.send({ op: 'filter', filter: { event_types: ['call.active'] }, request_id: 'a' })
    client.send({ op: 'filter', filter: { subscriber_ids: ['nobody@example.net'] }, request_id: 'b' })
    await client.frame(({ request_id: id }) => id === 'b')
    const calls = client.frames.map(({ snapshot }) => snapshot?.map(({ call_id }) => call_id))
    expect(client.types).toEqual(['subscribed', 'filtered', 'filtered'])
    expect(calls).toEqual([['call-1'], ['call-2'], []])
    await own.commitCall(app, 'call-2', 'held')
    const ping = await client.frame(({ type, position }) => type === 'ping' && position?.offset === 3)
    expect(client.frames.some(({ type }) => type === 'event')).toBe(false)
    await client.disconnect()
    const again = await StreamClient.open(own.streamUrl(app), { key: app.key })
    again.subscribe(ping.position ?? null)
    expect(await again.frame(({ type }) => type === 'subscribed')).toMatchObject({ recovered: true })
    await own.commitCall(app, 'call-2', 'active')
    expect((await again.frame(({ type }) => type === 'event')).position?.offset).toBe(4)
    await again.disconnect()
    await own.stop()
  })

  test('more than may wait close it with 4005', async () => {
    const own = await new StreamRig(redis, { messageRate: { perSecond: 1, burst: 1_000 } }).start()
    const app = own.addApp()
    const client = await StreamClient.open(own.streamUrl(app), { key: app.key })
    client.subscribe(null)
    for (let n = 0; n < 200; n += 1) client.send({ op: 'filter', filter: null })
    expect((await client.closed).code).toBe(4005)
    await own.stop()
  })
})
