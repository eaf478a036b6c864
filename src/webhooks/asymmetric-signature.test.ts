import { expect, test } from 'vitest'
import {
  generateKeyPair,
  importPrivateKey,
  importPublicKey,
  signAsymmetric,
  verifyAsymmetric,
} from './asymmetric-signature.ts'

/** The example of the Standard Webhooks specification (v1a). */
const SEED_AND_PUBLIC = '6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=='
const PUBLIC = 'whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4='
const CONTENT = { id: 'msg_p5jXN8AQM9LWM0D4loKWxJek', timestamp: 1614265330, payload: '{"test": 2432232314}' }
const SIGNATURE = 'v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=='
const HEADERS = { id: CONTENT.id, timestamp: '1614265330', signature: SIGNATURE }

const judge = (headers: Partial<typeof HEADERS>, body = CONTENT.payload) =>
  verifyAsymmetric({ ...HEADERS, ...headers }, body, { key: importPublicKey(PUBLIC), nowSeconds: 1614265330 })

test('conformance vector C is signed as published', () => {
  expect(signAsymmetric(CONTENT, importPrivateKey(`whsk_${SEED_AND_PUBLIC}`))).toBe(SIGNATURE)
})

test('the seed alone is the same private key', () => {
  const seed = Buffer.from(SEED_AND_PUBLIC, 'base64').subarray(0, 32).toString('base64')
  expect(signAsymmetric(CONTENT, importPrivateKey(`whsk_${seed}`))).toBe(SIGNATURE)
})

test('conformance vector C is accepted, alone and beside a v1 signature', () => {
  expect(judge({})).toBe('valid')
  expect(judge({ signature: `v1,AAAA ${SIGNATURE}` })).toBe('valid')
})

test.each([
  ['another body', judge({}, '{}'), 'no_match'],
  ['another id', judge({ id: 'msg_other' }), 'no_match'],
  ['the signature as v1', judge({ signature: SIGNATURE.replace('v1a,', 'v1,') }), 'no_match'],
  ['a truncated signature', judge({ signature: SIGNATURE.slice(0, -8) }), 'no_match'],
  ['no number as its timestamp', judge({ timestamp: 'x' }), 'bad_timestamp'],
  ['an old timestamp', judge({ timestamp: '1614265029' }), 'expired'],
])('a message with %s is refused', (_name, verdict, expected) => {
  expect(verdict).toBe(expected)
})

test.each(['whpk_', 'whpk_AAAA', PUBLIC.slice(0, -8)])('%s is not a public key', (text) => {
  expect(() => importPublicKey(text)).toThrow('not an ed25519 key')
})

test('a generated pair belongs together, and no two are the same', () => {
  const [one, other] = [generateKeyPair(), generateKeyPair()]
  expect(one.privateKey).toMatch(/^whsk_[A-Za-z0-9+/]{43}=$/)
  expect(one.publicKey).toMatch(/^whpk_[A-Za-z0-9+/]{43}=$/)
  const signature = signAsymmetric({ ...CONTENT, payload: Buffer.from('äöü') }, importPrivateKey(one.privateKey))
  const judgeWith = (publicKey: string) =>
    verifyAsymmetric({ ...HEADERS, signature }, 'äöü', { key: importPublicKey(publicKey), nowSeconds: 1614265330 })
  expect(judgeWith(one.publicKey)).toBe('valid')
  expect(judgeWith(other.publicKey)).toBe('no_match')
})
