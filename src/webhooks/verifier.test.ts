import { afterEach, beforeEach, expect, test } from 'vitest'
import * as v from 'valibot'
import { createEndpoint } from '../../test/support/sample-endpoint.ts'
import { WebhookReceiver } from '../../test/support/webhook-receiver.ts'
import type { Answer, Received } from '../../test/support/webhook-receiver.ts'
import { systemClock } from '../core/clock.ts'
import type { Endpoint, EndpointChange } from '../core/endpoint.ts'
import { createAddressPolicy } from './address-policy.ts'
import { CredentialCache } from './credential-cache.ts'
import type { CredentialOwner } from './credential-cache.ts'
import { Deliverer } from './deliverer.ts'
import { createResolver } from './resolver.ts'
import { createSigningKey, generateSecret, verify } from './signature.ts'
import { Verifier } from './verifier.ts'

const SECRET = generateSecret()
const receiver = new WebhookReceiver()
const failover = new WebhookReceiver()
let deliverer: Deliverer
let recorded: Endpoint | undefined
const changes: EndpointChange[] = []

beforeEach(async () => {
  for (const each of [receiver, failover]) {
    await each.start()
    each.received.length = 0
  }
  changes.length = 0
  recorded = createEndpoint({ url: `${receiver.url}/hook`, verified: false })
  deliverer = new Deliverer({
    policy: createAddressPolicy(['127.0.0.0/8']),
    resolve: createResolver({ timeoutMs: 1_000, localNames: true }),
    clock: systemClock,
    userAgent: 'Callhalf/test',
  })
  deliverer.start()
})
afterEach(async () => {
  await deliverer.stop()
  await receiver.stop()
  await failover.stop()
})

const ChallengeSchema = v.pipe(
  v.string(),
  v.parseJson(),
  v.strictObject({
    type: v.literal('webhook.challenge'),
    timestamp: v.pipe(v.string(), v.isoTimestamp()),
    data: v.strictObject({ challenge: v.pipe(v.string(), v.regex(/^[\w-]{43}$/)) }),
  }),
)
const challengeOf = ({ body }: Received): string => v.parse(ChallengeSchema, body).data.challenge
const answering =
  (compose: (challenge: string, request: Received) => string, status = 200): Answer =>
  (res, request) =>
    res.writeHead(status).end(compose(challengeOf(request), request))

/** Takes what the records would take, as the records do. */
const endpoints = {
  update: (_appId: unknown, _endpointId: unknown, change: EndpointChange) => {
    changes.push(change)
    if (recorded === undefined) return Promise.resolve(undefined)
    const { url, failoverUrl } = change.provenUrls ?? recorded
    if (url === recorded.url && failoverUrl === recorded.failoverUrl) recorded = { ...recorded, verified: true }
    return Promise.resolve(recorded)
  },
}

const credentials = {
  of: (owner: CredentialOwner) => {
    const credentialsOf = () => Promise.resolve({ ...owner, secrets: [SECRET], headers: {} })
    return new CredentialCache({ credentialsOf }, systemClock).of(owner)
  },
}

const createVerifier = (timeoutMs?: number) =>
  new Verifier({
    deliverer,
    credentials,
    endpoints,
    clock: systemClock,
    ...(timeoutMs !== undefined && { timeoutMs }),
  })

const verifyRecorded = (timeoutMs?: number) => {
  if (recorded === undefined) throw new Error('no endpoint')
  return createVerifier(timeoutMs).verify(recorded)
}

test.each([
  ['bare', (challenge: string) => challenge],
  ['with space around it', (challenge: string) => `\r\n ${challenge}\n`],
  ['as JSON', (challenge: string) => JSON.stringify({ challenge })],
  ['as JSON among other fields', (challenge: string) => ` {"ok": true,\n "challenge": "${challenge}"}\n`],
])('a receiver that answers with the challenge %s is verified', async (_how, compose) => {
  receiver.answer(answering(compose))
  const result = await verifyRecorded()
  expect(result).toMatchObject({ verified: true, attempt: { number: 1, target: 'primary', outcome: 'delivered' } })
  expect(receiver.received).toHaveLength(1)
  expect(recorded?.verified).toBe(true)
  expect(changes).toEqual([{ verified: true, provenUrls: { url: `${receiver.url}/hook` } }])
})

test('the challenge is signed, new every time, and told from an event by its type', async () => {
  receiver.answer(answering((challenge) => challenge))
  await verifyRecorded()
  await verifyRecorded()
  const [one, two] = receiver.received
  if (one === undefined || two === undefined) throw new Error('no requests')
  expect(challengeOf(one)).not.toBe(challengeOf(two))
  expect(one.headers['webhook-id']).not.toBe(two.headers['webhook-id'])
  expect(one.headers['callhalf-event']).toBe('webhook.challenge')
  const headers = {
    id: String(one.headers['webhook-id']),
    timestamp: String(one.headers['webhook-timestamp']),
    signature: String(one.headers['webhook-signature']),
  }
  const nowSeconds = Date.now() / 1_000
  expect(verify(headers, one.body, { keys: [createSigningKey(SECRET)], nowSeconds })).toBe('valid')
})

test.each<[string, Answer]>([
  ['nothing', (res) => res.writeHead(200).end()],
  ['something else', (res) => res.writeHead(200).end('ok')],
  ['an echo of the request', (res, { body }) => res.writeHead(200).end(body)],
  ['a part of the challenge', answering((challenge) => challenge.slice(0, -1))],
  ['the challenge in another case', answering((challenge) => challenge.toUpperCase())],
  ['the challenge and more', answering((challenge) => `${challenge}!`)],
  ['the challenge in a list', answering((challenge) => JSON.stringify([challenge]))],
  ['the challenge as a JSON text', answering((challenge) => JSON.stringify(challenge))],
  ['broken JSON', answering((challenge) => `{"challenge": "${challenge}"`)],
  ['the challenge behind 4 kB', answering((challenge) => ' '.repeat(4_096) + challenge)],
  ['the challenge with a 404', answering((challenge) => challenge, 404)],
  ['the challenge with a redirect', answering((challenge) => challenge, 302)],
  ['the challenge of another request', (res) => res.writeHead(200).end('a'.repeat(43))],
])('a receiver that answers with %s is not verified', async (_what, answer) => {
  receiver.answer(answer)
  const { verified, attempt } = await verifyRecorded()
  expect(verified).toBe(false)
  expect(attempt).toMatchObject({ number: 1, target: 'primary', timing: { totalMs: expect.any(Number) } })
  expect(changes).toEqual([])
})

test('a receiver that does not answer is not verified, by the deadline', async () => {
  receiver.answer(() => undefined)
  const startedAt = performance.now()
  expect(await verifyRecorded(300)).toMatchObject({ verified: false, attempt: { outcome: 'timeout' } })
  expect(performance.now() - startedAt).toBeLessThan(3_000)
})

test('of two URLs each must prove itself, with a challenge of its own', async () => {
  recorded = createEndpoint({ url: receiver.url, failoverUrl: failover.url, verified: false })
  receiver.answer(answering((challenge) => challenge))
  failover.answer((res) => res.writeHead(200).end('ok'))
  expect(await verifyRecorded()).toMatchObject({
    verified: false,
    attempt: { target: 'failover', outcome: 'delivered' },
  })
  expect(receiver.received).toHaveLength(1)
  expect(recorded.verified).toBe(false)

  failover.answer(answering((challenge) => challenge))
  expect(await verifyRecorded()).toMatchObject({ verified: true, attempt: { target: 'failover' } })
  const provenUrls = { url: receiver.url, failoverUrl: failover.url }
  expect(changes).toEqual([{ verified: true, provenUrls }])
  const challenges = [...receiver.received, ...failover.received].map(challengeOf)
  expect(new Set(challenges).size).toBe(4)
  expect(failover.received[0]?.headers['callhalf-target']).toBe('failover')
})

test('a primary URL that fails is not made good by its failover', async () => {
  const { url } = receiver
  await receiver.stop()
  failover.answer(answering((challenge) => challenge))
  recorded = createEndpoint({ url, failoverUrl: failover.url, verified: false })
  const result = await verifyRecorded()
  expect(result).toMatchObject({ verified: false, attempt: { target: 'primary', outcome: 'connect_refused' } })
  expect(failover.received).toEqual([])
})

test('what one URL has proven is not true of the URL that has replaced it meanwhile', async () => {
  receiver.answer((res, request) => {
    if (recorded !== undefined) recorded = { ...recorded, url: 'https://victim.example.net/' }
    res.writeHead(200).end(challengeOf(request))
  })
  expect(await verifyRecorded()).toMatchObject({ verified: false, attempt: { outcome: 'delivered' } })
  expect(recorded?.verified).toBe(false)
})

test('an endpoint that is removed meanwhile is not found', async () => {
  const endpoint = recorded
  if (endpoint === undefined) throw new Error('no endpoint')
  receiver.answer((res, request) => {
    recorded = undefined
    res.writeHead(200).end(challengeOf(request))
  })
  await expect(createVerifier().verify(endpoint)).rejects.toMatchObject({ code: 'webhook_not_found' })
})
