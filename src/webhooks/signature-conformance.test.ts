import { execFile } from 'node:child_process'
import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingHttpHeaders } from 'node:http'
import { join } from 'node:path'
import { env } from 'node:process'
import * as fc from 'fast-check'
import { Webhook } from 'standardwebhooks'
import { Webhook as SvixWebhook } from 'svix'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { verifyWebhook } from '../../examples/verify-webhook.ts'
import { createDeliverer } from '../../test/support/deliverer.ts'
import { toEndpointId } from '../core/ids.ts'
import { importPrivateKey, importPublicKey, verifyAsymmetric } from './asymmetric-signature.ts'
import { createSigningKey, signatureList, verify } from './signature.ts'

/** A request as a receiver gets it, and what the receiver holds. */
type Sample = {
  readonly id?: string | undefined
  readonly timestamp?: string | undefined
  readonly signature?: string | undefined
  readonly body: string
  readonly secrets?: readonly string[]
  readonly publicKeys?: readonly string[]
  /** Seconds since 1970. */
  readonly now: number
}

/** The conformance constants of the Standard Webhooks libraries' suites: A of all, B of Rust's, C of the specification. */
const A = {
  id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
  timestamp: '1614265330',
  signature: 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
  body: '{"test": 2432232314}',
  secrets: ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'],
  now: 1614265330,
}
const B = {
  id: 'msg_27UH4WbU6Z5A5EzD8u03UvzRbpk',
  timestamp: '1649367553',
  signature: 'v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=',
  body: '{"email":"test@example.com","username":"test_user"}',
  secrets: ['whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD'],
  now: 1649367553,
}
const C = {
  id: A.id,
  timestamp: A.timestamp,
  signature: 'v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==',
  body: A.body,
  publicKeys: ['whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4='],
  now: A.now,
}
const C_SEED_AND_PUBLIC = '6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=='

const headersOf = ({ id, timestamp, signature }: Sample): Record<string, string> => ({
  ...(id !== undefined && { 'webhook-id': id }),
  ...(timestamp !== undefined && { 'webhook-timestamp': timestamp }),
  ...(signature !== undefined && { 'webhook-signature': signature }),
})

const accepts = (check: () => unknown): boolean => {
  try {
    return check() !== false
  } catch {
    return false
  }
}

/** Reference libraries read the clock themselves. */
function acceptsAt(now: number, check: () => unknown): boolean {
  vi.useFakeTimers({ toFake: ['Date'], now: now * 1_000 })
  return accepts(check)
}
afterEach(() => {
  vi.useRealTimers()
})

function gatewayAccepts({ body, secrets = [], publicKeys = [], now, ...headers }: Sample): boolean {
  const given = { id: headers.id, timestamp: headers.timestamp, signature: headers.signature }
  const payload = Buffer.from(body)
  const symmetric = accepts(
    () => verify(given, payload, { keys: secrets.map(createSigningKey), nowSeconds: now }) === 'valid',
  )
  return (
    symmetric ||
    publicKeys.some((text) =>
      accepts(() => verifyAsymmetric(given, payload, { key: importPublicKey(text), nowSeconds: now }) === 'valid'),
    )
  )
}

const exampleAccepts = ({ body, secrets = [], publicKeys = [], now, ...headers }: Sample): boolean =>
  accepts(() =>
    verifyWebhook({ headers: headersOf({ body, now, ...headers }), body, secrets, publicKeys, now: now * 1_000 }),
  )

const SCRIPT = join(import.meta.dirname, '../../examples/verify-webhook.sh')

/** Its exit code: 0 authentic, 1 not, 2 called wrongly. */
function runScript({ id, timestamp, signature, body, secrets = [], publicKeys = [], now }: Sample): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      'sh',
      [SCRIPT],
      {
        env: {
          PATH: env['PATH'],
          WEBHOOK_ID: id,
          WEBHOOK_TIMESTAMP: timestamp,
          WEBHOOK_SIGNATURE: signature,
          WEBHOOK_SECRETS: secrets.join(' '),
          WEBHOOK_PUBLIC_KEYS: publicKeys.join(' '),
          WEBHOOK_NOW: String(now),
        },
      },
      (error) => {
        if (error === null) resolve(0)
        else if (typeof error.code === 'number') resolve(error.code)
        else reject(error)
      },
    )
    // It may refuse before it has read the body.
    child.stdin?.on('error', () => undefined)
    child.stdin?.end(body)
  })
}

const VERIFIERS: readonly { name: string; accepts: (sample: Sample) => boolean | Promise<boolean> }[] = [
  { name: 'the gateway', accepts: gatewayAccepts },
  { name: 'examples/verify-webhook.ts', accepts: exampleAccepts },
  { name: 'examples/verify-webhook.sh', accepts: async (sample) => (await runScript(sample)) === 0 },
]
/** They know v1 and one secret, and read the clock themselves. */
const LIBRARIES: typeof VERIFIERS = [Webhook, SvixWebhook].map((Library, place) => ({
  name: `npm ${['standardwebhooks', 'svix'][place]}`,
  accepts: (sample) =>
    acceptsAt(sample.now, () => {
      new Library(sample.secrets?.[0] ?? '').verify(sample.body, headersOf(sample))
    }),
}))

describe('what is signed', () => {
  test.each([
    ['A', A],
    ['B', B],
  ])('vector %s comes out as published', (_name, { id, timestamp, body, secrets, signature }) => {
    const content = { id, timestamp: Number(timestamp), payload: Buffer.from(body) }
    expect(signatureList(content, { symmetric: secrets.map(createSigningKey), asymmetric: [] })).toBe(signature)
  })

  test('vector C comes out as published', () => {
    const content = { id: C.id, timestamp: Number(C.timestamp), payload: Buffer.from(C.body) }
    const keys = { symmetric: [], asymmetric: [importPrivateKey(`whsk_${C_SEED_AND_PUBLIC}`)] }
    expect(signatureList(content, keys)).toBe(C.signature)
  })

  test('with every key of a keyring comes one entry, v1 before v1a, newest first', () => {
    const content = { id: A.id, timestamp: Number(A.timestamp), payload: Buffer.from(A.body) }
    const keys = {
      symmetric: [...A.secrets, ...B.secrets].map(createSigningKey),
      asymmetric: [importPrivateKey(`whsk_${C_SEED_AND_PUBLIC}`)],
    }
    const [first, second, third, ...others] = signatureList(content, keys).split(' ')
    expect([first, third, others]).toEqual([A.signature, C.signature, []])
    expect(exampleAccepts({ ...A, signature: second, secrets: B.secrets })).toBe(true)
  })
})

const other = (bytes: number): string => `whsec_${Buffer.alloc(bytes, 7).toString('base64')}`
const v2 = A.signature.replace('v1,', 'v2,')

const ACCEPTED: readonly [string, Sample][] = [
  ['vector A', A],
  ['vector B', B],
  ['a message 300 s old', { ...A, now: A.now + 300 }],
  ['a message 300 s ahead', { ...A, now: A.now - 300 }],
  ['a secret without its prefix', { ...A, secrets: [A.secrets[0]?.slice('whsec_'.length) ?? ''] }],
  ['a valid signature after others', { ...A, signature: `v1,AAAA v2,BBBB v1a,CCCC ${A.signature}` }],
  ['a valid signature before others', { ...A, signature: `${A.signature} v1, ${v2} v1a,` }],
  ['an empty body', { ...A, body: '', signature: 'v1,v48jdbgvh29KJz2Qc+ghw8G6vG3nAKnujWBg8oM/62A=' }],
]
const ACCEPTED_BY_OURS: readonly [string, Sample][] = [
  ['vector C', C],
  ['vector C beside a v1 signature of another key', { ...C, signature: `v1,AAAA ${C.signature}` }],
  ['the old secret beside a new one', { ...A, secrets: [other(32), ...A.secrets] }],
  ['one of two public keys', { ...C, publicKeys: [`whpk_${Buffer.alloc(32, 9).toString('base64')}`, ...C.publicKeys] }],
  ['a public key where the secret does not match', { ...C, secrets: [other(64)], signature: `${v2} ${C.signature}` }],
  ['entries that a proxy folded with commas', { ...A, signature: `v1,AAAA, ${A.signature}, v1,BBBB` }],
]
const REFUSED: readonly [string, Sample][] = [
  ['no id', { ...A, id: undefined }],
  ['no timestamp', { ...A, timestamp: undefined }],
  ['no signature', { ...A, signature: undefined }],
  ['a timestamp that is no number', { ...A, timestamp: 'hello' }],
  ['a timestamp 301 s old', { ...A, now: A.now + 301 }],
  ['a timestamp 301 s ahead', { ...A, now: A.now - 301 }],
  ['an empty signature value', { ...A, signature: 'v1,' }],
  ['a truncated signature', { ...A, signature: A.signature.slice(0, -8) }],
  ['a valid signature of another version', { ...A, signature: v2 }],
  ['a signature without a version', { ...A, signature: A.signature.slice('v1,'.length) }],
  ['another id', { ...A, id: `${A.id}x` }],
  ['another timestamp', { ...A, timestamp: '1614265331' }],
  ['another body', { ...A, body: '{"test":2432232314}' }],
  ['another secret', { ...A, secrets: [other(32)] }],
  ['an empty secret', { ...A, secrets: [''] }],
]
const REFUSED_BY_OURS: readonly [string, Sample][] = [
  ['a fractional timestamp', { ...A, timestamp: `${A.timestamp}.5` }],
  ['a negative timestamp', { ...A, timestamp: `-${A.timestamp}` }],
  ['an empty id', { ...A, id: '' }],
  ['nothing but the prefix of a secret', { ...A, secrets: ['whsec_'] }],
  ['a secret of 23 bytes', { ...A, secrets: [other(23)] }],
  ['a secret of 65 bytes', { ...A, secrets: [other(65)] }],
  ['neither a secret nor a public key', { ...A, secrets: [] }],
  ['a v1a signature over another body', { ...C, body: '{}' }],
  ['a v1a signature of another key', { ...C, publicKeys: [`whpk_${Buffer.alloc(32, 9).toString('base64')}`] }],
  ['a v1a signature given as v1', { ...C, signature: C.signature.replace('v1a,', 'v1,'), secrets: A.secrets }],
  ['a v1 signature given as v1a', { ...A, signature: A.signature.replace('v1,', 'v1a,'), publicKeys: C.publicKeys }],
  ['a truncated v1a signature', { ...C, signature: C.signature.slice(0, -8) }],
  ['a public key that is too short', { ...C, publicKeys: ['whpk_AAAA'] }],
]

describe.each(VERIFIERS)('$name', ({ accepts: judge }) => {
  test.each([...ACCEPTED, ...ACCEPTED_BY_OURS])('accepts %s', async (_name, sample) => {
    expect(await judge(sample)).toBe(true)
  })

  test.each([...REFUSED, ...REFUSED_BY_OURS])('refuses %s', async (_name, sample) => {
    expect(await judge(sample)).toBe(false)
  })
})

describe.each(LIBRARIES)('the table means the same to $name, which', ({ accepts: judge }) => {
  test.each(ACCEPTED)('accepts %s', async (_name, sample) => {
    expect(await judge(sample)).toBe(true)
  })

  test.each(REFUSED)('refuses %s', async (_name, sample) => {
    expect(await judge(sample)).toBe(false)
  })
})

test('the script says whether the request or its caller is wrong', async () => {
  expect(await runScript({ ...A, body: '{}' })).toBe(1)
  expect(await runScript({ ...A, secrets: [] })).toBe(2)
  expect(await runScript({ ...A, secrets: ['whsec_'] })).toBe(2)
})

/** A key pair as a receiver and the gateway hold it. */
function createKeyPair() {
  const { privateKey } = generateKeyPairSync('ed25519')
  const { x } = createPublicKey(privateKey).export({ format: 'jwk' })
  return { privateKey, publicKey: `whpk_${Buffer.from(x ?? '', 'base64url').toString('base64')}` }
}

/** Takes one request at a time and hands it out. */
async function startReceiver() {
  let arrived: ((request: { headers: IncomingHttpHeaders; body: Buffer }) => void) | undefined
  const server = createServer((req, res) => {
    const chunks: Buffer[] = []
    req.on('data', (chunk: Buffer) => chunks.push(chunk))
    req.on('end', () => {
      arrived?.({ headers: req.headers, body: Buffer.concat(chunks) })
      res.writeHead(204).end()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return {
    url: `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}/hook`,
    next: () =>
      new Promise<{ headers: IncomingHttpHeaders; body: Buffer }>((resolve) => {
        arrived = resolve
      }),
    async stop() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

const secretTexts = fc
  .uint8Array({ minLength: 24, maxLength: 64 })
  .map((bytes) => `whsec_${Buffer.from(bytes).toString('base64')}`)
const text = fc.string({ unit: 'binary' })
const bodies = fc.oneof(
  { weight: 10, arbitrary: fc.jsonValue({ stringUnit: 'binary' }).map((value) => JSON.stringify(value)) },
  // Bytes count: what comes out of parsing and printing it again is not what was signed.
  {
    weight: 5,
    arbitrary: fc
      .tuple(fc.jsonValue(), fc.integer({ min: 0, max: 4 }))
      .map(([value, indent]) => `${JSON.stringify(value, undefined, indent)}\n `),
  },
  { weight: 3, arbitrary: fc.dictionary(text, text).map((value) => JSON.stringify(value)) },
  { weight: 1, arbitrary: fc.constant('') },
  // Up to 64 kB, of one to four bytes a character.
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom('x', 'ü', '呼', '📞'), fc.integer({ min: 1_000, max: 65_534 }))
      .map(([letter, bytes]) => JSON.stringify(letter.repeat(bytes / Buffer.byteLength(letter)))),
  },
)
const deliveries = fc.record({
  messageId: fc.stringMatching(/^msg_[\w-]{1,60}$/),
  payload: bodies,
  secrets: fc.array(secretTexts, { minLength: 1, maxLength: 3 }),
  asymmetric: fc.integer({ min: 0, max: 2 }),
  number: fc.integer({ min: 1, max: 40 }),
  type: fc.constantFrom('call.ringing', 'call.released', 'subscriber.assigned', 'order.completed'),
})

test('1,000 fuzzed deliveries verify with both reference libraries and the example, under every key', async () => {
  const receiver = await startReceiver()
  const deliverer = createDeliverer()
  deliverer.start()
  const pairs = [createKeyPair(), createKeyPair()]
  let bytesMax = 0
  const seen = { deliveries: 0, empty: 0, withPublicKeys: 0 }
  try {
    await fc.assert(
      fc.asyncProperty(deliveries, async ({ messageId, payload, secrets: held, asymmetric, number, type }) => {
        const used = pairs.slice(0, asymmetric)
        const keys = { symmetric: held.map(createSigningKey), asymmetric: used.map(({ privateKey }) => privateKey) }
        const next = receiver.next()
        const reports = await deliverer.attempt(
          {
            endpointId: toEndpointId('fuzzed'),
            url: receiver.url,
            credentials: () => Promise.resolve({ keys, headers: {} }),
          },
          { messageId, payload, number, timeoutMs: 5_000, headers: { 'callhalf-event': type } },
          AbortSignal.timeout(10_000),
        )
        expect(reports.map(({ outcome }) => outcome)).toEqual([{ kind: 'delivered', status: 204 }])
        const { headers, body } = await next
        expect(body.equals(Buffer.from(payload))).toBe(true)
        expect(headers['content-length']).toBe(String(body.length))
        expectAuthentic({ headers, body, secrets: held, publicKeys: used.map(({ publicKey }) => publicKey) })
        expect(verifyWebhook({ headers, body, secrets: held })).toMatchObject({ id: messageId, attempt: number })
        seen.deliveries += 1
        if (body.length === 0) seen.empty += 1
        if (asymmetric > 0) seen.withPublicKeys += 1
        bytesMax = Math.max(bytesMax, body.length)
      }),
      { numRuns: 1_000 },
    )
  } finally {
    await deliverer.stop()
    await receiver.stop()
  }
  expect(seen.deliveries).toBe(1_000)
  expect(seen.empty).toBeGreaterThan(0)
  expect(seen.withPublicKeys).toBeGreaterThan(500)
  expect(bytesMax).toBeGreaterThan(32_768)
}, 60_000)

/** Every key accepts the request by itself, in every library that knows its kind, and no key a changed one. */
function expectAuthentic(request: {
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  readonly secrets: readonly string[]
  readonly publicKeys: readonly string[]
}): void {
  const { headers, body } = request
  const changed = Buffer.concat([body, Buffer.from(' ')])
  const plain = Object.fromEntries(
    ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map((name) => [name, String(headers[name])]),
  )
  for (const secret of request.secrets) {
    for (const Library of [Webhook, SvixWebhook]) {
      const library = new Library(secret)
      expect(accepts(() => void library.verify(body, plain))).toBe(true)
      expect(accepts(() => void library.verify(changed, plain))).toBe(false)
    }
    expect(accepts(() => verifyWebhook({ headers, body, secrets: [secret] }))).toBe(true)
    expect(accepts(() => verifyWebhook({ headers, body: changed, secrets: [secret] }))).toBe(false)
  }
  for (const publicKey of request.publicKeys) {
    expect(accepts(() => verifyWebhook({ headers, body, publicKeys: [publicKey] }))).toBe(true)
    expect(accepts(() => verifyWebhook({ headers, body: changed, publicKeys: [publicKey] }))).toBe(false)
  }
  expect(String(headers['webhook-signature']).split(' ')).toHaveLength(
    request.secrets.length + request.publicKeys.length,
  )
}
