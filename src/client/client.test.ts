import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ScriptedGateway } from '../../test/support/scripted-gateway.ts'
import { BreakableNetwork } from '../../test/support/breakable-network.ts'
import { until } from '../../test/support/until.ts'
import type { ConnectOptions, Update } from './client.ts'
import { RefusedError, StreamClient, callKey, connect } from './client.ts'

const QUICK = { backoffMinMs: 20, backoffMaxMs: 100, refreshDelayMs: 20, commandTimeoutMs: 10_000 }
const DIAL = { subscriber_id: 'ann', subscriber_number: '+15550100', remote_number: '+15550199' }
const at = (offset: number) => ({ epoch: '7', offset })
const call = (id: string, state = 'active', sequence = 1) => ({
  subscriber_id: 'ann',
  subscriber_number: '+15550100',
  remote_number: '+15550199',
  call_id: id,
  direction: 'incoming',
  state,
  sequence_number: String(sequence),
  network_id: 'n',
  tracking_id: 't',
  started_at: 1,
})
const event = (offset: number, data: ReturnType<typeof call>) => ({
  type: 'event',
  event: `call.${data.state}`,
  position: at(offset),
  data,
})
const fresh = (offset: number, ...snapshot: readonly object[]) => ({
  type: 'subscribed',
  recovered: false,
  position: at(offset),
  snapshot,
})
const resumed = (offset: number) => ({ type: 'subscribed', recovered: true, position: at(offset) })

let gateway: ScriptedGateway
const clients: StreamClient[] = []

beforeEach(async () => {
  gateway = await new ScriptedGateway().start()
})
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close()
  await gateway.stop()
})

function open(options: Partial<ConnectOptions> = {}) {
  const updates: Update[] = []
  const states: string[] = []
  const credentials = options.getToken === undefined ? { apiKey: 'key' } : {}
  const client = connect({
    url: gateway.url,
    appId: 'app 1',
    ...credentials,
    ...options,
    limits: { ...QUICK, ...options.limits },
    onEvent: (told) => updates.push(told),
    onSnapshot: (told) => updates.push(told),
    onCoalesced: (told) => updates.push(told),
    onState: ({ name }) => states.push(name),
  })
  clients.push(client)
  return { client, updates, states, live: () => until('live', () => client.state.name === 'live' || undefined) }
}

const idsOf = (client: StreamClient) => [...client.calls().values()].map(({ call_id, state }) => `${call_id} ${state}`)

describe('a stream', () => {
  test('is opened with a token of its own, as a subprotocol, and subscribed from the snapshot on', async () => {
    const { client, updates, live } = open()
    expect(client.state).toEqual({ name: 'connecting' })
    const stream = await gateway.stream(0)
    expect(gateway.tokenRequests).toEqual(['Bearer key'])
    expect(stream.messages).toEqual([{ op: 'subscribe', after: null }])
    stream.send(fresh(3, call('a')))
    await live()
    expect(client.state).toEqual({ name: 'live', recovered: false, transport: 'websocket' })
    expect(idsOf(client)).toEqual(['a active'])
    expect(client.calls().get(callKey({ subscriber_id: 'ann', call_id: 'a' }))?.remote_number).toBe('+15550199')
    stream.send(event(4, call('a', 'released', 2)))
    await until('the event', () => updates.length === 2)
    expect(idsOf(client)).toEqual([])
    expect(updates).toMatchObject([{ type: 'snapshot', lost: undefined }, { event: 'call.released' }])
    expect(client.position).toEqual(at(4))
  })

  test('that breaks is resumed after the last position, with a new token', async () => {
    const { client, updates, states } = open()
    const first = await gateway.stream(0)
    first.send(fresh(3, call('a')))
    first.send(event(4, call('b', 'ringing')))
    await until('the event', () => updates.length === 2)
    first.socket.terminate()
    const second = await gateway.stream(1)
    expect(second.messages).toEqual([{ op: 'subscribe', after: at(4) }])
    expect(second.token).not.toBe(first.token)
    second.send(resumed(4))
    second.send(event(5, call('b', 'active', 2)))
    await until('the event', () => updates.length === 3)
    expect(idsOf(client)).toEqual(['a active', 'b active'])
    expect(states).toEqual(['connecting', 'live', 'waiting', 'connecting', 'live'])
  })

  test('is resumed after the position of a ping, which is ahead of the events that the filter lets through', async () => {
    const { client } = open()
    const first = await gateway.stream(0)
    first.send(fresh(3))
    first.send({ type: 'ping', position: at(90) })
    await until('the ping', () => client.position?.offset === 90 || undefined)
    first.socket.terminate()
    expect((await gateway.stream(1)).messages).toMatchObject([{ after: at(90) }])
  })

  test('that cannot be resumed says what was lost, and begins anew', async () => {
    const { client, updates } = open({ after: at(3) })
    const stream = await gateway.stream(0)
    expect(stream.messages).toMatchObject([{ after: at(3) }])
    stream.send({ ...fresh(9, call('b')), reason: 'trimmed' })
    await until('the snapshot', () => updates.length === 1)
    expect(updates).toMatchObject([{ type: 'snapshot', lost: 'trimmed', position: at(9) }])
    expect(idsOf(client)).toEqual(['b active'])
  })

  test('that loses events while it is open says so with the snapshot, once', async () => {
    const { updates } = open()
    const stream = await gateway.stream(0)
    stream.send(fresh(3, call('a')))
    stream.send({ type: 'gap', reason: 'epoch_changed' })
    stream.send({ type: 'snapshot', position: { epoch: '8', offset: 0 }, snapshot: [call('b')] })
    stream.send({ type: 'snapshot', position: { epoch: '8', offset: 0 }, snapshot: [] })
    await until('the snapshots', () => updates.length === 3)
    expect(updates.map((told) => told.type === 'snapshot' && told.lost)).toEqual([
      undefined,
      'epoch_changed',
      undefined,
    ])
  })

  test('that breaks in a gap is not resumed as if nothing had been lost', async () => {
    const { updates } = open()
    const stream = await gateway.stream(0)
    stream.send(fresh(3))
    stream.send({ type: 'gap', reason: 'epoch_changed' })
    stream.close(4010, { code: 'store_unavailable', retry_after_ms: 1 })
    const second = await gateway.stream(1)
    expect(second.messages).toMatchObject([{ after: at(3) }])
    second.send({ ...fresh(0), reason: 'epoch_changed' })
    await until('both', () => updates.length === 2)
    expect(updates[1]).toMatchObject({ lost: 'epoch_changed' })
  })

  test('resumed from elsewhere gets the calls by a snapshot, without losing an event', async () => {
    const { client, updates, states } = open({ after: at(3) })
    const stream = await gateway.stream(0)
    stream.send(resumed(3))
    stream.send(event(4, call('a', 'ringing')))
    expect(await stream.message(1)).toEqual({ op: 'filter', filter: null, request_id: 'f1' })
    expect(client.isComplete).toBe(false)
    stream.send({ type: 'filtered', request_id: 'f1', position: at(4), snapshot: [call('a', 'ringing'), call('b')] })
    await until('the snapshot', () => client.isComplete || undefined)
    expect(idsOf(client)).toEqual(['a ringing', 'b active'])
    expect(updates).toMatchObject([{ event: 'call.ringing' }, { type: 'snapshot', lost: undefined }])
    expect(states).toEqual(['connecting', 'live'])
  })

  test('asks for the calls of a subscriber that the app was given, and forgets those of one that it lost', async () => {
    const { client, updates } = open()
    const stream = await gateway.stream(0)
    stream.send(fresh(3, call('a')))
    const subscriber = { app_id: 'app', subscriber_id: 'ann', subscriber_number: '+15550100', network_id: 'n' }
    stream.send({ type: 'event', event: 'subscriber.unassigned', position: at(4), data: subscriber })
    await until('the event', () => updates.length === 2)
    expect(idsOf(client)).toEqual([])
    stream.send({ type: 'event', event: 'subscriber.assigned', position: at(5), data: subscriber })
    expect(await stream.message(1)).toMatchObject({ op: 'filter', filter: null })
    stream.send({ type: 'filtered', request_id: 'f1', position: at(5), snapshot: [call('a')] })
    await until('the snapshot', () => client.calls().size === 1 || undefined)
  })

  test('passes on that changes were left out, ignores what it does not know, and never rests on a callback', async () => {
    const { client, updates } = open()
    const stream = await gateway.stream(0)
    stream.send(fresh(3))
    stream.send({ type: 'weather', is: 'fine' })
    stream.send({ type: 'coalesced', dropped: 3 })
    stream.send(event(9, call('a', 'held', 5)))
    await until('both', () => updates.length === 3)
    expect(updates).toMatchObject([{ type: 'snapshot' }, { type: 'coalesced', dropped: 3 }, { event: 'call.held' }])
    expect(idsOf(client)).toEqual(['a held'])
  })
})

describe('credentials', () => {
  test('may come from a server of the page, asked for each stream', async () => {
    let asked = 0
    const getToken = () => {
      asked += 1
      return asked === 2 ? Promise.reject(new Error('not now')) : Promise.resolve(gateway.issue())
    }
    const { client } = open({ getToken })
    const first = await gateway.stream(0)
    first.send(fresh(3))
    first.socket.terminate()
    await gateway.stream(1)
    expect(asked).toBe(3)
    expect(gateway.tokenRequests).toEqual([])
    expect(client.state.name).toBe('connecting')
  })

  test.each([401, 403, 404, 400])('refused with %i end the client', async (status) => {
    gateway.tokenAnswer = { status }
    const { client, states } = open()
    expect(await client.closed).toMatchObject({ ending: { name: 'refused', action: 'fix' } })
    expect(gateway.tokenRequests).toHaveLength(1)
    expect(states).toEqual(['connecting', 'closed'])
    await expect(client.hold('a')).rejects.toMatchObject({ reason: 'closed' })
    await expect(client[Symbol.asyncIterator]().next()).rejects.toThrow('refused')
  })

  test('refused by the page end the client', async () => {
    const { client } = open({ getToken: () => Promise.reject(new RefusedError('signed out')) })
    expect(await client.closed).toMatchObject({ ending: { name: 'refused', detail: 'signed out' } })
  })

  test('that cannot be checked now are asked for again, not before the time that was asked for', async () => {
    gateway.tokenAnswer = { status: 503, headers: { 'retry-after': '1' } }
    const { client } = open()
    await until('waiting', () => client.state.name === 'waiting' || undefined)
    expect(client.state).toMatchObject({ retryInMs: 1_000, ending: { name: 'no_token', retryAfterMs: 1_000 } })
    gateway.tokenAnswer = undefined
    await gateway.stream(0)
  })

  test('are asked for again after 4003, and end the client when they do not count any more', async () => {
    const { client, live } = open()
    const first = await gateway.stream(0)
    first.send(fresh(3))
    await live()
    first.close(4003, { code: 'unauthorized' })
    const second = await gateway.stream(1)
    second.send(resumed(3))
    gateway.tokenAnswer = { status: 401 }
    second.close(4003, { code: 'unauthorized' })
    expect(await client.closed).toMatchObject({ ending: { name: 'refused' } })
    expect(gateway.streams).toHaveLength(2)
  })

  test('that nobody answers for have a deadline', async () => {
    const { client } = open({ getToken: () => new Promise(() => undefined), limits: { openTimeoutMs: 50 } })
    await until('waiting', () => client.state.name === 'waiting' || undefined)
    expect(client.state).toMatchObject({ ending: { name: 'no_token' } })
  })
})

describe('the end of a stream', () => {
  test.each([
    [4001, 'draining'],
    [4008, 'slow_consumer'],
    [4010, 'store_unavailable'],
  ])('with %i is waited for as long as it says, and resumed', async (code, name) => {
    const { client, live } = open()
    const first = await gateway.stream(0)
    first.send(fresh(3))
    await live()
    const closedAt = performance.now()
    first.close(code, { code: name, retry_after_ms: 400 })
    await until('waiting', () => client.state.name === 'waiting' || undefined)
    expect(client.state).toMatchObject({ retryInMs: 400, ending: { name, code } })
    expect((await gateway.stream(1)).messages).toMatchObject([{ after: at(3) }])
    expect(performance.now() - closedAt).toBeGreaterThanOrEqual(399)
  })

  test.each([
    [4002, 'invalid_frame'],
    [4004, 'subscribe_timeout'],
    [4005, 'too_many_messages'],
    [1009, 'message_too_large'],
  ])('with %i ends the client: the same again would end the same way', async (code, name) => {
    const { client } = open()
    const iterator = client[Symbol.asyncIterator]()
    const stream = await gateway.stream(0)
    const waiting = client.hold('a')
    stream.close(code, { code: name, detail: 'because' })
    expect(await client.closed).toMatchObject({ ending: { name, action: 'fix', code, detail: 'because' } })
    await expect(waiting).rejects.toMatchObject({ reason: 'closed' })
    await expect(iterator.next()).rejects.toMatchObject({ name: 'StreamEndedError' })
    expect(client.state).toMatchObject({ name: 'closed', ending: { name } })
    expect(gateway.streams).toHaveLength(1)
  })

  test('before it began is followed by longer and longer waits', async () => {
    gateway.refusesUpgrades = true
    const { client } = open({ limits: { backoffMinMs: 10, backoffMaxMs: 40 } })
    await until('four tries', () => gateway.tokenRequests.length >= 4 || undefined)
    gateway.refusesUpgrades = false
    await gateway.stream(0)
    expect(client.state.name).toBe('connecting')
  })

  test('by something that is no frame is a reason to connect again', async () => {
    const { states } = open()
    const stream = await gateway.stream(0)
    stream.send('<html>')
    expect(await stream.closed).toBe(4900)
    await gateway.stream(1)
    expect(states).toEqual(['connecting', 'waiting', 'connecting'])
  })
})

describe('silence', () => {
  test('on a connection that swallows everything ends it, and the next one resumes', async () => {
    const proxy = await new BreakableNetwork(gateway.port).start()
    const { client, live } = open({ url: proxy.url, limits: { silenceMs: 300, openTimeoutMs: 500 } })
    const first = await gateway.stream(0)
    first.send(fresh(3))
    await live()
    proxy.swallow()
    const second = await gateway.stream(1)
    expect(second.messages).toMatchObject([{ after: at(3) }])
    second.send(resumed(3))
    await live()
    await client.close()
    await proxy.stop()
  })

  test('is broken by pings', async () => {
    const { states, live } = open({ limits: { silenceMs: 300 } })
    const stream = await gateway.stream(0)
    stream.send(fresh(3))
    await live()
    for (const end = performance.now() + 900; performance.now() < end;) {
      stream.send({ type: 'ping' })
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    expect(states).toEqual(['connecting', 'live'])
    await until('it is noticed', () => states.includes('waiting') || undefined)
  })

  test('of a server that never opens the stream has a deadline', async () => {
    const proxy = await new BreakableNetwork(gateway.port).start()
    const { client } = open({ url: proxy.url, getToken: () => Promise.resolve('x'), limits: { openTimeoutMs: 200 } })
    const swallow = setInterval(() => proxy.swallow(), 1)
    await until('waiting', () => client.state.name === 'waiting' || undefined)
    clearInterval(swallow)
    expect(['open_timeout', 'connection_lost']).toContain(client.state.name === 'waiting' && client.state.ending.name)
    await client.close()
    await proxy.stop()
  })
})

describe('a command', () => {
  test('goes over the stream and has its reply', async () => {
    const { client } = open()
    const stream = await gateway.stream(0)
    const running = Promise.all([client.answer('a'), client.hold('b'), client.resume('c'), client.end('d')])
    stream.send(fresh(3))
    for (let index = 1; index <= 4; index += 1) {
      const { request_id } = await stream.message(index)
      stream.send({ type: 'reply', request_id, status: 204 })
    }
    await running
    expect(stream.messages.slice(1)).toEqual([
      { op: 'answer', call_id: 'a', request_id: 'c1' },
      { op: 'hold', call_id: 'b', request_id: 'c2' },
      { op: 'resume', call_id: 'c', request_id: 'c3' },
      { op: 'end', call_id: 'd', request_id: 'c4' },
    ])
  })

  test('to place a call is repeated with one key, however often the stream breaks', async () => {
    const { client } = open()
    const first = await gateway.stream(0)
    first.send(fresh(3))
    const dialling = client.dial(DIAL)
    const { idempotency_key: key } = await first.message(1)
    expect(key).toMatch(/^[0-9a-f]{32}$/)
    first.socket.terminate()
    const second = await gateway.stream(1)
    second.send(resumed(3))
    expect(await second.message(1)).toEqual({ ...DIAL, op: 'dial', idempotency_key: key, request_id: 'c2' })
    const body = { ...DIAL, call_id: 'x', direction: 'outgoing' }
    second.send({ type: 'reply', request_id: 'c2', status: 201, body, idempotent_replayed: true })
    expect(await dialling).toEqual({ call: body, isReplay: true })
    const again = client.dial(DIAL, { idempotencyKey: 'mine' })
    expect(await second.message(2)).toMatchObject({ op: 'dial', idempotency_key: 'mine' })
    const third = client.dial(DIAL)
    expect((await second.message(3))['idempotency_key']).not.toBe(key)
    void Promise.allSettled([again, third])
  })
})

describe('a filter', () => {
  test('is subscribed with, and resumed with', async () => {
    const { client } = open({ filter: { subscriber_ids: ['ann'] } })
    const first = await gateway.stream(0)
    expect(first.messages).toEqual([{ op: 'subscribe', after: null, filter: { subscriber_ids: ['ann'] } }])
    first.send(fresh(3))
    const changing = client.setFilter({ subscriber_ids: ['bert'] })
    expect(await first.message(1)).toMatchObject({ op: 'filter', filter: { subscriber_ids: ['bert'] } })
    first.socket.terminate()
    const second = await gateway.stream(1)
    expect(second.messages).toMatchObject([{ after: at(3), filter: { subscriber_ids: ['ann'] } }])
    second.send(resumed(3))
    const { request_id } = await second.message(1)
    second.send({ type: 'filtered', request_id, position: at(3), snapshot: [call('b')] })
    await changing
    expect(idsOf(client)).toEqual(['b active'])
    second.socket.terminate()
    expect((await gateway.stream(2)).messages).toMatchObject([{ filter: { subscriber_ids: ['bert'] } }])
  })

  test('of some changes of a call only has no mirror', async () => {
    const { client, updates } = open({ filter: { event_types: ['call.ringing'] } })
    const stream = await gateway.stream(0)
    stream.send(fresh(3, call('a', 'ringing')))
    stream.send(event(4, call('b', 'ringing')))
    await until('both', () => updates.length === 2)
    expect(client.calls().size).toBe(0)
  })

  test('of calls still hears what ends those of a subscriber, and keeps that to itself', async () => {
    const { client, updates } = open({ filter: { event_types: ['call.*'] } })
    const stream = await gateway.stream(0)
    expect(stream.messages).toMatchObject([{ filter: { event_types: ['call.*', 'subscriber.*'] } }])
    stream.send(fresh(3, call('a')))
    const data = { app_id: 'app', subscriber_id: 'ann', subscriber_number: '+15550100', network_id: 'n' }
    stream.send({ type: 'event', event: 'subscriber.unassigned', position: at(4), data })
    await until('the end of the call', () => client.position?.offset === 4 || undefined)
    expect(client.calls().size).toBe(0)
    expect(updates).toHaveLength(1)
  })
})

describe('the client', () => {
  test('is iterated over until it is closed', async () => {
    const { client } = open()
    const types: string[] = []
    const reading = (async () => {
      for await (const update of client) {
        types.push(update.type === 'event' ? update.event : update.type)
        if (types.length === 2) void client.close()
      }
    })()
    const stream = await gateway.stream(0)
    stream.send(fresh(3))
    stream.send(event(4, call('a', 'ringing')))
    await reading
    expect(types).toEqual(['snapshot', 'call.ringing'])
    expect(await stream.closed).toBe(1000)
    expect(await client.closed).toBeUndefined()
    expect(client.state).toEqual({ name: 'closed' })
  })

  test('is closed by its signal, while it waits, too', async () => {
    const [first, second, third] = [new AbortController(), new AbortController(), new AbortController()]
    gateway.tokenAnswer = { status: 503, headers: { 'retry-after': '60' } }
    const waiting = open({ signal: first.signal })
    await until('waiting', () => waiting.client.state.name === 'waiting' || undefined)
    first.abort()
    expect(await waiting.client.closed).toBeUndefined()
    gateway.tokenAnswer = undefined
    const streaming = open({ signal: second.signal })
    const stream = await gateway.stream(0)
    second.abort()
    expect(await streaming.client.closed).toBeUndefined()
    expect(await stream.closed).toBe(1000)
    third.abort()
    const never = open({ signal: third.signal })
    expect(await never.client.closed).toBeUndefined()
    expect(never.states).toEqual(['closed'])
    expect(gateway.streams).toHaveLength(1)
  })

  test('under a path, and given as ws://', async () => {
    const seen: string[] = []
    const client = connect({
      url: 'ws://gateway.example.net/voice/',
      appId: 'ä/b',
      apiKey: 'key',
      fetch: (input) => {
        seen.push(input instanceof Request ? input.url : input.toString())
        return Promise.resolve(new Response('', { status: 401 }))
      },
    })
    await client.closed
    expect(seen).toEqual(['http://gateway.example.net/voice/apps/%C3%A4%2Fb/stream-tokens'])
  })

  test.each([
    [{ url: 'http://x', appId: 'a' }],
    [{ url: 'http://x', appId: 'a', apiKey: 'k', getToken: () => Promise.resolve('') }],
    [{ url: 'ftp://x', appId: 'a', apiKey: 'k' }],
    [{ url: 'nowhere', appId: 'a', apiKey: 'k' }],
  ])('refuses what cannot work (%#)', (options) => {
    expect(() => new StreamClient(options)).toThrow(TypeError)
  })
})
