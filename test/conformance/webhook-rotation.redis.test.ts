import { randomUUID } from 'node:crypto'
import { setInterval as ticks } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { verifyWebhook } from '../../examples/verify-webhook.ts'
import { ENDPOINT_DEFAULTS } from '../../src/core/endpoint.ts'
import type { Endpoint, EndpointSecretSet, NewEndpoint } from '../../src/core/endpoint.ts'
import { ShardSchema } from '../../src/core/ids.ts'
import type { AppRef } from '../../src/core/ids.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { rotateSecrets } from '../../src/http/webhook-rotation.ts'
import { Apps } from '../../src/records/apps.ts'
import { RecordsDirectory } from '../../src/records/directory.ts'
import { Endpoints } from '../../src/records/endpoints.ts'
import { generateKeyPair } from '../../src/webhooks/asymmetric-signature.ts'
import { generateSecret } from '../../src/webhooks/signature.ts'
import * as v from 'valibot'
import { startTestRecords } from '../support/records.ts'
import { startTestRedis } from '../support/redis.ts'
import { until } from '../support/until.ts'
import { callEntry, createEventLog, EndpointBook, startEngine } from '../support/webhook-engine.ts'
import { WebhookReceiver } from '../support/webhook-receiver.ts'
import type { Received } from '../support/webhook-receiver.ts'

/** For as long the gateway may go on with secrets that have ended meanwhile, and what a busy machine adds on the way. */
const CREDENTIALS_AGE_MS = 1_000 + 1_000
const EVENTS_PER_SECOND = 50
const OVERLAP_MS = 60_000

/** Everything as in the gateway: Redis, PGlite and the delivery engine over real sockets. */
async function startScene() {
  await using stack = new AsyncDisposableStack()
  const [redis, records] = await Promise.all([startTestRedis(), startTestRecords('pglite')])
  stack.defer(() => redis.stop())
  stack.defer(() => records.stop())
  const directory = new RecordsDirectory({ records: records.records, clock: records.clock, log: silentLogger })
  await directory.start()
  stack.defer(() => directory.stop())
  const endpoints = new Endpoints(records.records, directory)
  const shard = v.parse(ShardSchema, 'main')
  const { app: created } = await new Apps(records.records, directory).create({ name: 'crm', shard })
  const app: AppRef = { appId: created.appId, shard: created.shard }
  const eventLog = createEventLog(redis)
  const dispatcher = { directory, endpoints }
  const engine = await startEngine(redis, new EndpointBook(app.appId), { eventLog, dispatcher })

  async function startReceiver(): Promise<WebhookReceiver> {
    const receiver = await new WebhookReceiver().start()
    owned.defer(() => receiver.stop())
    return receiver
  }

  async function register(
    receiver: WebhookReceiver,
    change: Partial<NewEndpoint> & EndpointSecretSet,
  ): Promise<Endpoint> {
    const endpoint = await endpoints.create({
      ...ENDPOINT_DEFAULTS,
      appId: app.appId,
      url: `${receiver.url}/`,
      enabled: true,
      verified: true,
      signatures: ['v1', 'v1a'],
      ...change,
    })
    // Its cursor: from then on it misses nothing.
    await until('the cursor', async () => {
      return (await redis.connect().hexists(`ch:{wh}:cursors:${app.appId}`, endpoint.endpointId)) === 1
    })
    return endpoint
  }

  /** As the API does it. */
  const rotate = (endpoint: Endpoint, secrets: EndpointSecretSet & { readonly graceMs: number }): Promise<number> =>
    rotateSecrets({ endpoints, clock: records.clock }, endpoint, { ...secrets, signal: new AbortController().signal })

  /** Appends events at a steady rate until stopped; resolves with how many. */
  function startFlow() {
    const stopping = new AbortController()
    const startedAt = performance.now()
    const flow = (async () => {
      let count = 0
      for await (const _ of ticks(5)) {
        for (; count < ((performance.now() - startedAt) * EVENTS_PER_SECOND) / 1_000; count += 1) {
          await eventLog.append(app, callEntry(`callhalf-${randomUUID()}:0`, 1, 'call.active'))
        }
        if (stopping.signal.aborted) break
      }
      return count
    })()
    return {
      async stop() {
        stopping.abort()
        return { count: await flow, seconds: (performance.now() - startedAt) / 1_000 }
      },
    }
  }

  const owned = stack.move()
  return {
    records,
    app,
    eventLog,
    startReceiver,
    register,
    rotate,
    startFlow,
    async [Symbol.asyncDispose]() {
      await engine.stop()
      await owned.disposeAsync()
    },
  }
}

const generateSecrets = (): Required<EndpointSecretSet> => ({ secret: generateSecret(), asymmetric: generateKeyPair() })

/** Whether a receiver that holds nothing but this secret, or nothing but this public key, takes the request. */
function accepts({ headers, body }: Received, held: { secret: string } | { publicKey: string }): boolean {
  const keys = 'secret' in held ? { secrets: [held.secret] } : { publicKeys: [held.publicKey] }
  try {
    verifyWebhook({ headers, body, ...keys })
    return true
  } catch {
    return false
  }
}
const acceptsAll = (request: Received, { secret, asymmetric }: Required<EndpointSecretSet>): boolean =>
  accepts(request, { secret }) && accepts(request, { publicKey: asymmetric.publicKey })
const acceptsAny = (request: Received, { secret, asymmetric }: Required<EndpointSecretSet>): boolean =>
  accepts(request, { secret }) || accepts(request, { publicKey: asymmetric.publicKey })

const elapsed = (ms: number) => {
  const end = performance.now() + ms
  return until(`${ms} ms`, () => performance.now() >= end)
}

// Each with everything of its own, at the same time: they mostly wait.
test.concurrent('during a rotation at 50 events/s nothing fails at a receiver of the old secret, nor at one of the new', async () => {
  await using scene = await startScene()
  const { records, startReceiver, register, rotate, startFlow } = scene
  const [before, after] = [generateSecrets(), generateSecrets()]
  // What each receiver holds: the one changes over as late as it can, the other as early as it can.
  const [late, early] = [await startReceiver(), await startReceiver()]
  const held = { late: before, early: before }
  late.answer((res, request) => res.writeHead(acceptsAll(request, held.late) ? 204 : 401).end())
  early.answer((res, request) => res.writeHead(acceptsAll(request, held.early) ? 204 : 401).end())
  const registered = [await register(late, before), await register(early, before)]
  const flow = startFlow()
  // Not a multiple of the second for which credentials are kept, so that they are half as old.
  await elapsed(1_500)

  await Promise.all(registered.map((endpoint) => rotate(endpoint, { ...after, graceMs: OVERLAP_MS })))
  const overlapBegan = performance.now()
  held.early = after
  await elapsed(2_500)
  held.late = after
  const overlapEnded = performance.now()
  records.clock.advance(OVERLAP_MS + 1)
  await elapsed(CREDENTIALS_AGE_MS)
  const revoked = performance.now()
  await elapsed(1_500)
  const sent = await flow.stop()

  for (const receiver of [late, early]) {
    await until('all events', () => receiver.received.length >= sent.count)
    // One attempt each: a receiver that had refused one would have got it again.
    expect(receiver.received.length).toBe(sent.count)
    expect(receiver.received.every(({ headers }) => headers['callhalf-attempt'] === '1')).toBe(true)
    const during = receiver.received.filter(({ at }) => at > overlapBegan && at < overlapEnded)
    expect(during.length).toBeGreaterThan(100)
    expect(during.every((request) => acceptsAll(request, before) && acceptsAll(request, after))).toBe(true)
    const afterwards = receiver.received.filter(({ at }) => at > revoked)
    expect(afterwards.length).toBeGreaterThan(50)
    expect(afterwards.some((request) => acceptsAny(request, before))).toBe(false)
    expect(afterwards.every(({ headers }) => String(headers['webhook-signature']).split(' ').length === 2)).toBe(true)
  }
  expect(sent.count / sent.seconds).toBeGreaterThan(45)
}, 60_000)

test.concurrent('a rotation without overlap revokes by its answer', async () => {
  await using scene = await startScene()
  const { startReceiver, register, rotate, startFlow } = scene
  const [before, after] = [generateSecrets(), generateSecrets()]
  const receiver = await startReceiver()
  const endpoint = await register(receiver, before)
  const flow = startFlow()
  await elapsed(1_500)
  await rotate(endpoint, { ...after, graceMs: 0 })
  const answered = performance.now()
  await elapsed(1_500)
  const sent = await flow.stop()

  await until('all events', () => receiver.received.length >= sent.count)
  const afterwards = receiver.received.filter(({ at }) => at > answered)
  expect(afterwards.length).toBeGreaterThan(50)
  expect(afterwards.every((request) => acceptsAll(request, after))).toBe(true)
  expect(afterwards.some((request) => acceptsAny(request, before))).toBe(false)
}, 60_000)

test.concurrent('a rotation without overlap revokes at the next attempt, also of what was waiting for its retry', async () => {
  await using scene = await startScene()
  const { app, eventLog, startReceiver, register, rotate } = scene
  const [before, after] = [generateSecrets(), generateSecrets()]
  const receiver = (await startReceiver()).answer((res, _request, count) =>
    res.writeHead(count === 1 ? 503 : 204).end(),
  )
  const endpoint = await register(receiver, { ...before, policies: { '*': { delaysMs: [6_000] } } })
  await eventLog.append(app, callEntry('callhalf-1:0', 1, 'call.active'))
  const first = await until('the first attempt', () => receiver.received[0])
  expect(acceptsAll(first, before)).toBe(true)

  await rotate(endpoint, { ...after, graceMs: 0 })
  const second = await until('its retry', () => receiver.received[1])
  expect(second.headers['webhook-id']).toBe(first.headers['webhook-id'])
  expect(second.headers['callhalf-attempt']).toBe('2')
  expect(acceptsAll(second, after)).toBe(true)
  expect(acceptsAny(second, before)).toBe(false)
}, 60_000)
