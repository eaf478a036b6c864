import * as fc from 'fast-check'
import { Webhook } from 'standardwebhooks'
import { Webhook as SvixWebhook } from 'svix'
import { expect, test } from 'vitest'
import { generateKeyPair } from './asymmetric-signature.ts'
import { createSigningKey, generateSecret, signatureList, toKeyring, verify } from './signature.ts'
import type { SignedContent } from './signed-message.ts'

/** Signed with `v1` secrets only. */
const sign = (content: SignedContent, secrets: readonly string[]) => signatureList(content, toKeyring(secrets))

/** The conformance constants of the Standard Webhooks libraries' own suites. */
const VECTOR_A = {
  secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
  content: { id: 'msg_p5jXN8AQM9LWM0D4loKWxJek', timestamp: 1614265330, payload: '{"test": 2432232314}' },
  signature: 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
}
const VECTOR_B = {
  secret: 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD',
  content: {
    id: 'msg_27UH4WbU6Z5A5EzD8u03UvzRbpk',
    timestamp: 1649367553,
    payload: '{"email":"test@example.com","username":"test_user"}',
  },
  signature: 'v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=',
}

test.each([
  ['A', VECTOR_A],
  ['B', VECTOR_B],
])('conformance vector %s is signed as published', (_name, { secret, content, signature }) => {
  expect(sign(content, [secret])).toBe(signature)
})

const key = createSigningKey(VECTOR_A.secret)
const other = createSigningKey(VECTOR_B.secret)
const { id, timestamp, payload } = VECTOR_A.content
const valid = { id, timestamp: String(timestamp), signature: VECTOR_A.signature }
const judge = (headers: Partial<typeof valid>, at = timestamp, body = payload) =>
  verify({ ...valid, ...headers }, body, { keys: [key], nowSeconds: at })
const without = (name: keyof typeof valid) =>
  verify({ ...valid, [name]: undefined }, payload, { keys: [key], nowSeconds: timestamp })

test.each([
  ['no id', without('id'), 'missing_header'],
  ['no timestamp', without('timestamp'), 'missing_header'],
  ['no signature', without('signature'), 'missing_header'],
  ['an empty id', judge({ id: '' }), 'missing_header'],
  ['a timestamp that is no number', judge({ timestamp: 'soon' }), 'bad_timestamp'],
  ['a fractional timestamp', judge({ timestamp: `${timestamp}.5` }), 'bad_timestamp'],
  ['a timestamp 301 s old', judge({}, timestamp + 301), 'expired'],
  ['a timestamp 301 s ahead', judge({}, timestamp - 301), 'expired'],
  ['an empty signature value', judge({ signature: 'v1,' }), 'no_match'],
  ['a truncated signature', judge({ signature: VECTOR_A.signature.slice(0, -6) }), 'no_match'],
  ['another version', judge({ signature: VECTOR_A.signature.replace('v1,', 'v2,') }), 'no_match'],
  ['another id', judge({ id: 'msg_other' }), 'no_match'],
  ['another body', judge({}, timestamp, `${payload} `), 'no_match'],
  ['another key', judge({ signature: sign(VECTOR_A.content, [VECTOR_B.secret]) }), 'no_match'],
])('a message with %s is refused', (_name, verdict, expected) => {
  expect(verdict).toBe(expected)
})

test.each([
  ['300 s old', judge({}, timestamp + 300)],
  ['300 s ahead', judge({}, timestamp - 300)],
  ['signed in a list of others', judge({ signature: `v1,AAAA v2,BBBB v1a,CCCC ${VECTOR_A.signature} v1,` })],
])('a message %s is accepted', (_name, verdict) => {
  expect(verdict).toBe('valid')
})

test('an empty body is signed and accepted like any other', () => {
  const content = { id, timestamp, payload: '' }
  const headers = { ...valid, signature: sign(content, [VECTOR_A.secret]) }
  expect(verify(headers, '', { keys: [key], nowSeconds: timestamp })).toBe('valid')
})

test('a secret means the same with and without its prefix', () => {
  const bare = VECTOR_A.secret.slice('whsec_'.length)
  expect(sign(VECTOR_A.content, [bare])).toBe(VECTOR_A.signature)
})

test('during a rotation the old and the new secret both accept the message', () => {
  const signature = sign(VECTOR_A.content, [VECTOR_B.secret, VECTOR_A.secret])
  expect(signature.split(' ')).toHaveLength(2)
  for (const held of [key, other]) {
    expect(verify({ ...valid, signature }, payload, { keys: [held], nowSeconds: timestamp })).toBe('valid')
  }
})

test.each([
  ['empty', ''],
  ['nothing but its prefix', 'whsec_'],
  ['shorter than 24 bytes', `whsec_${Buffer.alloc(23).toString('base64')}`],
  ['longer than 64 bytes', `whsec_${Buffer.alloc(65).toString('base64')}`],
  ['not base64', `whsec_${'ä'.repeat(40)}`],
  ['base64 with a hole', `whsec_${'AAAA AAAA'.repeat(5)}`],
  ['base64 with one character too many', `whsec_${'A'.repeat(33)}`],
  ['base64 without its padding', `whsec_${'A'.repeat(34)}`],
  ['base64 with padding that it needs not', `whsec_${'A'.repeat(32)}==`],
  ['base64 with bits that belong to no byte', `whsec_${'A'.repeat(33)}B==`],
])('a secret that is %s is refused', (_name, secret) => {
  expect(() => createSigningKey(secret)).toThrow('24 to 64 bytes')
})

test('the bytes of a body are signed like its text', () => {
  const { content, signature, secret } = VECTOR_A
  expect(sign({ ...content, payload: Buffer.from(content.payload) }, [secret])).toBe(signature)
  expect(verify(valid, Buffer.from(payload), { keys: [key], nowSeconds: timestamp })).toBe('valid')
})

test('the signatures of both schemes stand in one list, v1 first, whatever the order of the secrets', () => {
  const { privateKey } = generateKeyPair()
  const keyring = toKeyring([privateKey, VECTOR_A.secret, VECTOR_B.secret])
  const list = signatureList(VECTOR_A.content, keyring)
  expect(list).toMatch(/^v1,g0hM9SsE\+OTPJTGt\/tmIKtSyZlE3uFJELVlNIOLJ1OE= v1,\S{44} v1a,\S{88}$/)
  expect(judge({ signature: list })).toBe('valid')
})

test('a secret that is neither kind makes no keyring', () => {
  expect(() => toKeyring(['whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4='])).toThrow('24 to 64 bytes')
  expect(() => toKeyring(['whsk_AAAA'])).toThrow('not an ed25519 key')
})

test('a generated secret has 32 random bytes', () => {
  const [a, b] = [generateSecret(), generateSecret()]
  expect(a).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/)
  expect(a).not.toBe(b)
})

test('the reference libraries accept whatever is signed', () => {
  const secrets = fc
    .uint8Array({ minLength: 24, maxLength: 64 })
    .map((bytes) => `whsec_${Buffer.from(bytes).toString('base64')}`)
  const bodies = fc.oneof(
    { weight: 20, arbitrary: fc.jsonValue().map((value) => JSON.stringify(value)) },
    { weight: 1, arbitrary: fc.constant(JSON.stringify('ü'.repeat(32_000))) },
  )
  fc.assert(
    fc.property(secrets, bodies, fc.stringMatching(/^msg_[\w-]{1,40}$/), (secret, body, messageId) => {
      const seconds = Math.floor(Date.now() / 1_000)
      const content = { id: messageId, timestamp: seconds, payload: body }
      const signature = sign(content, [secret])
      const headers = {
        'webhook-id': messageId,
        'webhook-timestamp': String(seconds),
        'webhook-signature': `v1a,AAAA ${signature}`,
      }
      const sent: unknown = JSON.parse(body)
      expect(new Webhook(secret).verify(body, headers)).toEqual(sent)
      // Throws when it does not accept; the 2.x line returns nothing.
      new SvixWebhook(secret).verify(body, headers)
      expect(new Webhook(secret).sign(messageId, new Date(seconds * 1_000), body)).toBe(signature)
    }),
    { numRuns: 300 },
  )
})

test('what the reference library signs is accepted', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (body) => {
      const signature = new Webhook(VECTOR_A.secret).sign(id, new Date(timestamp * 1_000), body)
      expect(verify({ ...valid, signature }, body, { keys: [key], nowSeconds: timestamp })).toBe('valid')
    }),
  )
})
