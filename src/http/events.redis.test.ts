import { request } from 'undici'
import * as v from 'valibot'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RigApp } from '../../test/support/stream-rig.ts'
import { StreamRig } from '../../test/support/stream-rig.ts'
import { useRedis } from '../../test/support/use-redis.ts'
import { until } from '../../test/support/until.ts'
import { PollAnswerSchema } from '../streams/protocol.ts'

const redis = useRedis()
let rig: StreamRig

beforeAll(async () => {
  rig = await new StreamRig(redis).start()
})
afterAll(() => rig.stop())

const BodySchema = v.looseObject({
  recovered: v.optional(v.boolean()),
  position: v.optional(v.object({ epoch: v.string(), offset: v.number() })),
  events: v.optional(v.array(v.looseObject({ event: v.string(), data: v.looseObject({ n: v.optional(v.number()) }) }))),
})

async function poll(app: RigApp, query: Readonly<Record<string, string | readonly string[]>>, of = rig) {
  const headers = { authorization: `Bearer ${app.key}` }
  const url = new URL(of.eventsUrl(app))
  for (const [name, values] of Object.entries(query)) {
    for (const value of [values].flat()) url.searchParams.append(name, value)
  }
  const { statusCode, body, headers: answered } = await request(url, { headers })
  const json = v.parse(BodySchema, await body.json())
  return { status: statusCode, type: answered['content-type'], body: json }
}

const numbersOf = ({ body }: Awaited<ReturnType<typeof poll>>) => body.events?.map(({ data }) => data.n)
const waiters = (of = rig) => of.metric('callhalf_stream_sessions', { transport: 'long_poll' })

test('without a position it answers with the live calls and where they stand', async () => {
  const app = rig.addApp()
  await rig.commitCall(app, 'call-1', 'ringing')
  const { epoch } = await rig.log.top(app)
  const { status, type, body } = await poll(app, {})
  expect([status, type]).toEqual([200, 'application/json'])
  expect(body).toMatchObject({
    recovered: false,
    position: { epoch, offset: 1 },
    snapshot: [{ call_id: 'call-1', state: 'ringing' }],
    events: [],
  })
  expect(v.is(PollAnswerSchema, body)).toBe(true)
})

test('what is there is answered at once, up to the limit, and the rest from the answered position', async () => {
  const app = rig.addApp()
  for (let n = 1; n <= 150; n += 1) await rig.append(app, n)
  const { epoch } = await rig.log.top(app)
  const first = await poll(app, { after: `${epoch}:10`, limit: '50' })
  expect(first.body).toMatchObject({ recovered: true, position: { epoch, offset: 60 } })
  const second = await poll(app, { after: `${epoch}:60`, limit: '1000' })
  expect(second.body.position).toEqual({ epoch, offset: 150 })
  const numbers = [...(numbersOf(first) ?? []), ...(numbersOf(second) ?? [])]
  expect(numbers).toEqual(Array.from({ length: 140 }, (_, index) => index + 11))
})

test('when there is nothing it waits for the next event', async () => {
  const app = rig.addApp()
  const { epoch } = await rig.log.top(app)
  const waiting = poll(app, { after: `${epoch}:0`, wait_seconds: '30' })
  await until('the poll to wait', async () => (await waiters()) === 1)
  await rig.append(app, 1)
  expect(numbersOf(await waiting)).toEqual([1])
  expect(await waiters()).toBe(0)
})

test('when nothing comes in time it answers with how far it looked', async () => {
  const app = rig.addApp()
  await rig.appendAbout(app, 1, { subscriberId: app.subscriberId, type: 'call.active' })
  const { epoch } = await rig.log.top(app)
  const nothing = await poll(app, { after: `${epoch}:0`, wait_seconds: '1', event_type: 'call.ringing' })
  expect(nothing.body).toEqual({ recovered: true, position: { epoch, offset: 1 }, events: [] })
  const atOnce = await poll(app, { after: `${epoch}:1`, wait_seconds: '0' })
  expect(atOnce.body).toEqual({ recovered: true, position: { epoch, offset: 1 }, events: [] })
})

test('filters by several subscribers and types', async () => {
  const app = rig.addApp()
  const others = ['bob@example.net', 'cy@example.net'] as const
  for (const subscriberId of others) rig.assign(app, subscriberId)
  const { epoch } = await rig.log.top(app)
  const about = [app.subscriberId, ...others]
  for (const [index, subscriberId] of [...about, ...about].entries()) {
    await rig.appendAbout(app, index + 1, { subscriberId, type: index < 3 ? 'call.ringing' : 'call.active' })
  }
  const query = { after: `${epoch}:0`, subscriber_id: others, event_type: ['call.active', 'call.held'] }
  const answer = await poll(app, query)
  expect(numbersOf(answer)).toEqual([5, 6])
  expect(answer.body.position).toEqual({ epoch, offset: 6 })
})

test.each([
  ['an epoch that nobody knows', (epoch: string) => `${epoch}1:0`, 'epoch_changed'],
  ['a position ahead of the log', (epoch: string) => `${epoch}:9`, 'ahead_of_log'],
])('%s cannot be resumed: the answer says why and has the calls', async (_, after, reason) => {
  const app = rig.addApp()
  await rig.commitCall(app, 'call-1', 'active')
  const { epoch } = await rig.log.top(app)
  const { body } = await poll(app, { after: after(epoch) })
  expect(body).toMatchObject({ recovered: false, reason, snapshot: [{ call_id: 'call-1' }], position: { offset: 1 } })
})

test('an epoch that ends while it waits ends the wait with the calls', async () => {
  const app = rig.addApp()
  const { epoch } = await rig.log.top(app)
  const waiting = poll(app, { after: `${epoch}:0`, wait_seconds: '30' })
  await until('the poll to wait', async () => (await waiters()) === 1)
  await rig.breakEpoch(app)
  expect((await waiting).body).toMatchObject({ recovered: false, reason: 'epoch_changed', snapshot: [] })
})

describe('a request that cannot be answered', () => {
  test.each([
    ['a malformed position', { after: 'abc' }, 400],
    ['a wait that is too long', { after: '1:0', wait_seconds: '31' }, 400],
    ['no limit', { after: '1:0', limit: '0' }, 400],
    ['an unknown event type', { after: '1:0', event_type: 'call.rung' }, 400],
    ['an unknown parameter', { after: '1:0', events: 'all' }, 400],
  ])('because of %s is a problem', async (_, query, status) => {
    expect((await poll(rig.addApp(), query)).status).toBe(status)
  })

  test('because of another app’s key is not found', async () => {
    const [app, other] = [rig.addApp(), rig.addApp()]
    expect((await poll({ ...app, key: other.key }, {})).status).toBe(404)
    expect((await poll({ ...app, key: 'nobody' }, {})).status).toBe(401)
  })
})

test('revoking the key ends the wait with 401', async () => {
  const app = rig.addApp()
  const { epoch } = await rig.log.top(app)
  const waiting = poll(app, { after: `${epoch}:0`, wait_seconds: '30' })
  await until('the poll to wait', async () => (await waiters()) === 1)
  rig.revokeKey(app)
  expect((await waiting).status).toBe(401)
})

test('a client that leaves stops waiting', async () => {
  const app = rig.addApp()
  const { epoch } = await rig.log.top(app)
  const leaving = new AbortController()
  const headers = { authorization: `Bearer ${app.key}` }
  const url = `${rig.eventsUrl(app)}?after=${epoch}:0&wait_seconds=30`
  const gone = fetch(url, { headers, signal: leaving.signal }).catch(() => 'gone')
  await until('the poll to wait', async () => (await waiters()) === 1)
  leaving.abort()
  expect(await gone).toBe('gone')
  await until('the wait to end', async () => (await waiters()) === 0)
})

test('a draining instance answers at once and takes no more', async () => {
  const own = await new StreamRig(redis).start()
  const app = own.addApp()
  const { epoch } = await own.log.top(app)
  const waiting = poll(app, { after: `${epoch}:0`, wait_seconds: '30' }, own)
  await until('the poll to wait', async () => (await waiters(own)) === 1)
  own.hub.drain()
  expect((await waiting).body).toEqual({ recovered: true, position: { epoch, offset: 0 }, events: [] })
  expect((await poll(app, { after: `${epoch}:0` }, own)).status).toBe(503)
  await own.stop()
})
