import { createServer } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import * as v from 'valibot'
import { ApiRig } from '../../test/support/api-rig.ts'
import type { RigTenant } from '../../test/support/api-rig.ts'
import { AppClient } from '../../test/support/app-client.ts'
import { textField } from '../../test/support/checked-request.ts'
import { until } from '../../test/support/until.ts'
import { WebhookReceiver } from '../../test/support/webhook-receiver.ts'
import type { Received } from '../../test/support/webhook-receiver.ts'
import { EVENT_TYPES } from '../core/app-event.ts'
import { CallEventPayloadSchema } from '../core/call-event.ts'
import { toAppId, toEndpointId } from '../core/ids.ts'
import { importPublicKey, verifyAsymmetric } from '../webhooks/asymmetric-signature.ts'
import { createSigningKey, verify } from '../webhooks/signature.ts'
import { ChallengePayloadSchema } from './schemas/webhook-challenge.ts'

let rig: ApiRig
let strict: ApiRig
let tenant: RigTenant
let careful: RigTenant
let app: AppClient
let carefulApp: AppClient
let receiver: WebhookReceiver

beforeAll(async () => {
  const rigs = await Promise.all([ApiRig.start(), ApiRig.start({ requiresVerification: true })])
  ;[rig, strict] = rigs
  ;[tenant, careful] = await Promise.all([rig.addTenant(), strict.addTenant()])
  app = new AppClient(rig, tenant)
  carefulApp = new AppClient(strict, careful)
})
afterAll(() => Promise.all([rig.stop(), strict.stop()]))
beforeEach(async () => {
  receiver = await new WebhookReceiver().start()
})
afterEach(() => receiver.stop())

const asApp = (method: string, suffix: string, body?: unknown) => app.request(method, suffix, body)
const asCareful = (method: string, suffix: string, body?: unknown) => carefulApp.request(method, suffix, body)

/** Has a webhook at the receiver for the length of a test. */
const withWebhook = (settings: object, use: (id: string, secret: string) => Promise<void>, of = app): Promise<void> =>
  of.withWebhook({ url: `${receiver.url}/hook`, ...settings }, (id, created) =>
    use(id, v.parse(v.object({ secret: v.string() }), created).secret),
  )

const header = ({ headers }: Received, name: string): string | undefined => {
  const value = headers[name]
  return typeof value === 'string' ? value : undefined
}
const signatureOf = (received: Received) => ({
  id: header(received, 'webhook-id'),
  timestamp: header(received, 'webhook-timestamp'),
  signature: header(received, 'webhook-signature'),
})
const isSignedWith = (received: Received | undefined, ...secrets: readonly string[]): readonly boolean[] =>
  secrets.map((secret) => {
    if (received === undefined) return false
    const nowSeconds = Math.floor(Date.now() / 1_000)
    return verify(signatureOf(received), received.body, { keys: [createSigningKey(secret)], nowSeconds }) === 'valid'
  })

/** A loopback port that nothing listens on. */
async function closedPort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}

describe('a test', () => {
  it('sends a signed sample and answers with what came of it', async () => {
    receiver.answer((res) => res.writeHead(202).end('thanks'))
    await withWebhook({ headers: { 'x-tenant': 'seven' } }, async (id, secret) => {
      const before = Date.now()
      const answer = await asApp('POST', `/webhooks/${id}/test`)
      const [sent] = receiver.received
      expect(receiver.received).toHaveLength(1)
      expect(isSignedWith(sent, secret)).toEqual([true])
      expect(sent?.headers).toMatchObject({
        'callhalf-event': 'call.ringing',
        'callhalf-test': '1',
        'callhalf-attempt': '1',
        'x-tenant': 'seven',
      })
      const payload: unknown = JSON.parse(sent?.body ?? '')
      expect(v.is(CallEventPayloadSchema, payload)).toBe(true)
      expect(answer).toMatchObject({
        status: 200,
        body: {
          delivery_id: sent?.headers['webhook-id'],
          event_type: 'call.ringing',
          payload,
          attempts: [
            {
              number: 1,
              target: 'primary',
              outcome: 'delivered',
              status: 202,
              response: 'thanks',
              remote_address: '127.0.0.1',
              reused: false,
              timing: {
                connect_ms: expect.any(Number),
                first_byte_ms: expect.any(Number),
                total_ms: expect.any(Number),
              },
            },
          ],
        },
      })
      const { started_at: startedAt } = Object(Object(answer.body).attempts[0])
      expect(startedAt).toBeGreaterThanOrEqual(before)
      expect((await asApp('GET', '/deliveries')).body).toEqual({ deliveries: [] })
    })
  })

  it.each(EVENT_TYPES)('can be of the event %s', async (type) => {
    await withWebhook({ enabled: false }, async (id) => {
      const answer = await asApp('POST', `/webhooks/${id}/test`, { event_type: type })
      expect(answer).toMatchObject({ status: 200, body: { event_type: type, attempts: [{ outcome: 'delivered' }] } })
      expect(receiver.received.map(({ headers }) => headers['callhalf-event'])).toEqual([type])
    })
  })

  it.each(['call.*', 'call.exploded', 'webhook.challenge', ''])('cannot be of %j; nothing is sent', async (type) => {
    await withWebhook({}, async (id) => {
      expect(await asApp('POST', `/webhooks/${id}/test`, { event_type: type })).toMatchObject({
        status: 400,
        body: { code: 'invalid_request', errors: [{ field: 'event_type' }] },
      })
      expect(receiver.received).toEqual([])
    })
  })

  it('says that nothing listens without saying where, and that the failover URL took it', async () => {
    const url = `http://127.0.0.1:${await closedPort()}/hook`
    await withWebhook({ url, failover_url: `${receiver.url}/standby` }, async (id) => {
      const answer = await asApp('POST', `/webhooks/${id}/test`)
      expect(answer.body).toMatchObject({
        attempts: [
          { number: 1, target: 'primary', outcome: 'connect_refused' },
          { number: 2, target: 'failover', outcome: 'delivered', remote_address: '127.0.0.1' },
        ],
      })
      const [refused] = Object(answer.body).attempts
      for (const field of ['remote_address', 'status', 'response']) expect(refused).not.toHaveProperty(field)
      expect(receiver.received).toMatchObject([{ path: '/standby', headers: { 'callhalf-target': 'failover' } }])
    })
  })

  it('of which five are under way is refused with 429 for the sixth, and works again afterwards', async () => {
    const held: (() => void)[] = []
    receiver.answer((res) => held.push(() => res.writeHead(200).end()))
    await withWebhook({ max_in_flight: 25 }, async (id) => {
      const tests = Array.from({ length: 5 }, () => asApp('POST', `/webhooks/${id}/test`))
      await until('five requests', () => receiver.received.length === 5 || undefined)
      const sixth = await asApp('POST', `/webhooks/${id}/test`)
      expect(sixth).toMatchObject({ status: 429, body: { code: 'too_many_requests' } })
      expect(sixth.headers.get('retry-after')).toBe('1')
      receiver.answer((res) => res.writeHead(200).end())
      for (const release of held) release()
      expect((await Promise.all(tests)).map(({ status }) => status)).toEqual([200, 200, 200, 200, 200])
      expect((await asApp('POST', `/webhooks/${id}/test`)).status).toBe(200)
    })
  })
})

/** The request of a test, signed with what this instance takes for the current secrets. */
const sendTest = async (id: string): Promise<Received | undefined> => {
  expect((await asApp('POST', `/webhooks/${id}/test`)).status).toBe(200)
  return receiver.received.at(-1)
}

describe('a rotation', () => {
  it('makes a secret that signs beside the one before until that one ends', async () => {
    await withWebhook({}, async (id, old) => {
      // Now this instance remembers the old one.
      await sendTest(id)
      const before = rig.now
      const rotated = await asApp('POST', `/webhooks/${id}/rotate-secret`, { overlap_seconds: 60 })
      expect(rotated.status).toBe(200)
      expect(Object.keys(Object(rotated.body)).toSorted()).toEqual(['previous_secrets_expire_at', 'secret'])
      const { previous_secrets_expire_at: end } = Object(rotated.body)
      expect(end - before).toBeGreaterThanOrEqual(60_000)
      expect(end - before).toBeLessThan(61_000)
      const fresh = textField(rotated, 'secret')
      expect(fresh).not.toBe(old)
      expect(isSignedWith(await sendTest(id), fresh, old)).toEqual([true, true])
      rig.advance(61_000)
      expect(isSignedWith(await sendTest(id), fresh, old)).toEqual([true, false])
      expect(JSON.stringify((await asApp('GET', `/webhooks/${id}`)).body)).not.toContain(fresh)
    })
  })

  it('without an overlap has revoked when it is answered, and takes a secret of its own', async () => {
    const own = `whsec_${Buffer.alloc(64, 9).toString('base64')}`
    await withWebhook({}, async (id, old) => {
      const body = { secret: own, overlap_seconds: 0 }
      await sendTest(id)
      expect((await asApp('POST', `/webhooks/${id}/rotate-secret`, body)).body).toMatchObject({ secret: own })
      expect(isSignedWith(await sendTest(id), own, old)).toEqual([true, false])
      expect((await rig.endpoints.credentialsOf(toEndpointId(id)))?.secrets).toEqual([own])
    })
  })

  it('asked for with no body overlaps for a day', async () => {
    await withWebhook({}, async (id) => {
      const { previous_secrets_expire_at: end } = Object((await asApp('POST', `/webhooks/${id}/rotate-secret`)).body)
      expect(Math.round((end - rig.now) / 10_000)).toBe(8_640)
    })
  })

  it('gives a webhook with v1a signatures a new key pair, whose public key verifies', async () => {
    await withWebhook({ signatures: ['v1a'] }, async (id) => {
      const old = textField(await asApp('GET', `/webhooks/${id}`), 'public_key')
      await sendTest(id)
      const rotated = await asApp('POST', `/webhooks/${id}/rotate-secret`, { overlap_seconds: 0 })
      const fresh = textField(rotated, 'public_key')
      expect(fresh).not.toBe(old)
      expect(textField(await asApp('GET', `/webhooks/${id}`), 'public_key')).toBe(fresh)
      const sent = await sendTest(id)
      if (sent === undefined) throw new Error('nothing was sent')
      const verdicts = [fresh, old].map((text) => {
        const options = { key: importPublicKey(text), nowSeconds: Math.floor(Date.now() / 1_000) }
        return verifyAsymmetric(signatureOf(sent), sent.body, options)
      })
      expect(verdicts).toEqual(['valid', 'no_match'])
    })
  })

  it.each([
    [{ overlap_seconds: 604_801 }, 'overlap_seconds'],
    [{ overlap_seconds: -1 }, 'overlap_seconds'],
    [{ overlap_seconds: 0.5 }, 'overlap_seconds'],
    [{ secret: 'whsec_c2hvcnQ=' }, 'secret'],
    [{ secret: 'anything' }, 'secret'],
    [{ grace: 1 }, 'grace'],
  ])('%j is a 400 naming %s, and the secret stays', async (body, field) => {
    await withWebhook({}, async (id, secret) => {
      expect(await asApp('POST', `/webhooks/${id}/rotate-secret`, body)).toMatchObject({
        status: 400,
        body: { code: 'invalid_request', errors: [{ field }] },
      })
      expect((await rig.endpoints.credentialsOf(toEndpointId(id)))?.secrets).toEqual([secret])
    })
  })
})

const answerChallenge = () =>
  receiver.answer((res, { body }) => {
    const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), ChallengePayloadSchema), body)
    if (!parsed.success) return res.writeHead(200).end()
    return res
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify({ challenge: parsed.output.data.challenge }))
  })

const hasStarted = (id: string) =>
  strict.withDeliveryStore(async (store) => (await store.cursors(toAppId(careful.appId))).has(toEndpointId(id)))

describe('where receivers must prove that they want a webhook', () => {
  it('nothing is sent before, and the webhook starts with the proof', async () => {
    answerChallenge()
    await withWebhook(
      {},
      async (id, secret) => {
        expect((await asCareful('GET', `/webhooks/${id}`)).body).toMatchObject({ enabled: true, verified: false })
        expect(await hasStarted(id)).toBe(false)
        const unverified = { status: 409, body: { code: 'webhook_unverified' } }
        expect(await asCareful('POST', `/webhooks/${id}/test`)).toMatchObject(unverified)
        expect(await asCareful('POST', `/webhooks/${id}/replay`)).toMatchObject(unverified)
        expect(receiver.received).toEqual([])

        const verified = await asCareful('POST', `/webhooks/${id}/verify`)
        expect(verified).toMatchObject({
          status: 200,
          body: { verified: true, attempt: { target: 'primary', outcome: 'delivered', status: 200 } },
        })
        expect(isSignedWith(receiver.received[0], secret)).toEqual([true])
        expect(receiver.received[0]?.headers).toMatchObject({ 'callhalf-event': 'webhook.challenge' })
        expect((await asCareful('GET', `/webhooks/${id}`)).body).toMatchObject({ verified: true })
        expect(await hasStarted(id)).toBe(true)
        expect((await asCareful('POST', `/webhooks/${id}/test`)).status).toBe(200)
      },
      carefulApp,
    )
  })

  it('a 2xx without the challenge proves nothing', async () => {
    receiver.answer((res, { body }) => res.writeHead(200).end(body))
    await withWebhook(
      {},
      async (id) => {
        expect(await asCareful('POST', `/webhooks/${id}/verify`)).toMatchObject({
          status: 200,
          body: { verified: false, attempt: { outcome: 'delivered' } },
        })
        expect((await asCareful('GET', `/webhooks/${id}`)).body).toMatchObject({ verified: false })
        expect(await hasStarted(id)).toBe(false)
      },
      carefulApp,
    )
  })

  it('a new URL or failover URL has to be proven again; the same one and all else has not', async () => {
    answerChallenge()
    await withWebhook(
      {},
      async (id) => {
        const isVerifiedAfter = async (change: object) =>
          Object((await asCareful('PATCH', `/webhooks/${id}`, change)).body).verified
        const verifyAgain = () => asCareful('POST', `/webhooks/${id}/verify`)
        await verifyAgain()
        expect(await isVerifiedAfter({ url: `${receiver.url}/hook`, description: 'same', failover_url: null })).toBe(
          true,
        )
        expect(await isVerifiedAfter({ url: `${receiver.url}/other` })).toBe(false)
        await verifyAgain()
        expect(await isVerifiedAfter({ enabled: false })).toBe(true)
        expect(await isVerifiedAfter({ failover_url: `${receiver.url}/standby` })).toBe(false)
        await verifyAgain()
        expect(receiver.received.at(-1)?.path).toBe('/standby')
        expect(await isVerifiedAfter({ failover_url: null })).toBe(true)
      },
      carefulApp,
    )
  })

  it('elsewhere every URL is verified from the start, and after a change', async () => {
    await withWebhook({}, async (id) => {
      const changed = await asApp('PATCH', `/webhooks/${id}`, { url: `${receiver.url}/other` })
      expect(changed.body).toMatchObject({ verified: true })
      expect(receiver.received).toEqual([])
    })
  })
})
