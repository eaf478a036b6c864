/**
 * Verifies a webhook of Callhalf. One file that needs nothing but Node: copy it into your project.
 *
 *   const message = verifyWebhook({ headers: req.headers, body: rawBody, secrets: ['whsec_…'] })
 *
 * It returns what was sent, or throws a {@link WebhookError}; then answer 401 and do nothing else. Three
 * things to get right around it:
 *
 * - `body` is the raw body, byte for byte. Frameworks like to parse JSON first; what they print again is
 *   not what was signed.
 * - Only `webhook-id`, `webhook-timestamp` and the body are signed. The `callhalf-*` headers are as
 *   trustworthy as the TLS connection that they came over: use them for order and timing, and take what
 *   a call is about from the body.
 * - A valid message may come twice. Remember `id` and drop repetitions.
 */
import { createHmac, createPublicKey, timingSafeEqual, verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'

export type WebhookRequest = {
  /** Those of Node's `http` (and Express, Fastify, …), or a `Headers` of the Fetch API. */
  readonly headers: Headers | Readonly<Record<string, string | readonly string[] | undefined>>
  /** Exactly as received; an empty one is an empty string. */
  readonly body: Uint8Array | string
  /** `whsec_…`, for `v1` signatures. While you change over to a new one, give both. */
  readonly secrets?: readonly string[]
  /** `whpk_…`, for `v1a` signatures. */
  readonly publicKeys?: readonly string[]
  /** How far the sender's clock and yours may be apart. Guards against recorded requests sent again. */
  readonly toleranceSeconds?: number
  /** Milliseconds since 1970, in place of the clock. */
  readonly now?: number
}

export type WebhookMessage = {
  /** The same for every attempt and for replays. */
  readonly id: string
  /** Seconds since 1970, of this attempt. */
  readonly timestamp: number
  /** For example `call.ringing`. */
  readonly type: string
  /** From 1. */
  readonly attempt: number
  /** The call's `sequence_number`; only of events that are about a call. */
  readonly sequence?: number
  readonly callId?: string
  /** The parsed body; undefined when it was empty. */
  readonly payload: unknown
  /** Its place in the app's log. Of two events of a call the one with the greater place is newer. */
  readonly position?: { readonly epoch: number; readonly offset: number }
  /** Milliseconds since 1970 from which on the event is no longer worth acting on. */
  readonly expiresAt?: number
  /** Earlier events of the same call that were not delivered before this one, such as `3;parked`. */
  readonly skipped: readonly string[]
  /** It was set aside while later events of its call were sent, so it arrives out of order. */
  readonly isParked: boolean
  /** Somebody asked for it to be sent again; it may be older than what you know, and has the `id` it always had. */
  readonly isReplay: boolean
}

/**
 * `missing_header`, `bad_timestamp`, `too_old`, `too_new`, `no_match` and `bad_payload` are about the
 * request; `bad_key` is about your configuration: a secret or a public key is none, or there is none.
 */
export type WebhookErrorReason =
  | 'missing_header'
  | 'bad_timestamp'
  | 'too_old'
  | 'too_new'
  | 'no_match'
  | 'bad_payload'
  | 'bad_key'

export class WebhookError extends Error {
  override readonly name = 'WebhookError'
  readonly reason: WebhookErrorReason

  constructor(reason: WebhookErrorReason, message: string) {
    super(message)
    this.reason = reason
  }
}

/** The message in an authentic request; throws a {@link WebhookError} for every other one. */
export function verifyWebhook(request: WebhookRequest): WebhookMessage {
  const header = (name: string): string | undefined => readHeader(request.headers, name)
  const id = header('webhook-id')
  const timestamp = header('webhook-timestamp')
  const signatures = header('webhook-signature')
  if (!id || !timestamp || !signatures) {
    throw new WebhookError('missing_header', 'webhook-id, webhook-timestamp or webhook-signature is missing')
  }
  checkTimestamp(timestamp, request)
  const body = typeof request.body === 'string' ? Buffer.from(request.body) : request.body
  // The bytes that were signed. The timestamp is taken as it came, not as a number that was read from it.
  const content = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body])
  checkSignature(content, signatures, request)
  return readMessage({ id, timestamp: Number(timestamp), body, header })
}

function checkTimestamp(timestamp: string, { toleranceSeconds = 300, now = Date.now() }: WebhookRequest): void {
  if (!/^\d{1,12}$/.test(timestamp)) throw new WebhookError('bad_timestamp', 'webhook-timestamp is no number')
  const ageSeconds = Math.floor(now / 1_000) - Number(timestamp)
  if (ageSeconds > toleranceSeconds) throw new WebhookError('too_old', 'webhook-timestamp is too old')
  if (-ageSeconds > toleranceSeconds) throw new WebhookError('too_new', 'webhook-timestamp is in the future')
}

/**
 * Passes when one signature in the list fits one of the keys. The list has an entry `<version>,<base64>`
 * for every key of the sender: several while a secret is being changed. Those of other versions and of
 * keys that we do not hold are passed over.
 */
function checkSignature(content: Buffer, list: string, { secrets = [], publicKeys = [] }: WebhookRequest): void {
  if (secrets.length + publicKeys.length === 0) throw new WebhookError('bad_key', 'no secret or public key is given')
  const expected = secrets.map((secret) => createHmac('sha256', readSecret(secret)).update(content).digest())
  const keys = publicKeys.map(readPublicKey)
  const isAuthentic = list
    .split(/,?\s+/) // Some proxies fold repeated headers into one, with commas.
    .map((entry) => ({ version: entry.slice(0, entry.indexOf(',')), text: entry.slice(entry.indexOf(',') + 1) }))
    .some(({ version, text }) => {
      const given = Buffer.from(text, 'base64')
      if (version === 'v1') return expected.some((wanted) => isEqual(given, wanted))
      return version === 'v1a' && keys.some((key) => verify(undefined, content, key, given))
    })
  if (!isAuthentic) throw new WebhookError('no_match', 'no signature matches')
}

/** Takes the same time wherever two texts of the right length differ, so that nothing can be guessed bit by bit. */
const isEqual = (a: Buffer, b: Buffer): boolean => a.length === b.length && timingSafeEqual(a, b)

/** The HMAC key is what the base64 behind `whsec_` stands for, not the text itself. */
function readSecret(secret: string): Buffer {
  const key = readBase64(secret, 'whsec_')
  if (key === undefined || key.length < 24 || key.length > 64) {
    throw new WebhookError('bad_key', 'a secret is whsec_ and 24 to 64 bytes in base64')
  }
  return key
}

function readPublicKey(text: string): KeyObject {
  const key = readBase64(text, 'whpk_')
  if (key?.length !== 32) throw new WebhookError('bad_key', 'a public key is whpk_ and 32 bytes in base64')
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: key.toString('base64url') }, format: 'jwk' })
}

function readBase64(text: string, prefix: string): Buffer | undefined {
  const encoded = text.startsWith(prefix) ? text.slice(prefix.length) : text
  return /^[A-Za-z0-9+/]+={0,2}$/.test(encoded) ? Buffer.from(encoded, 'base64') : undefined
}

function readMessage({
  id,
  timestamp,
  body,
  header,
}: {
  readonly id: string
  readonly timestamp: number
  readonly body: Uint8Array
  readonly header: (name: string) => string | undefined
}): WebhookMessage {
  const payload = parseBody(body)
  // Where the body says it, the body counts: it is signed.
  const sequence = readText(payload, 'sequence_number') ?? header('callhalf-sequence')
  const callId = readText(payload, 'call_id') ?? decodePercent(header('callhalf-call-id'))
  const position = /^(\d+):(\d+)$/.exec(header('callhalf-position') ?? '')
  const expires = header('callhalf-expires')
  return {
    id,
    timestamp,
    type: readText(payload, 'event') ?? header('callhalf-event') ?? '',
    attempt: Number(header('callhalf-attempt') ?? 1),
    ...(sequence !== undefined && { sequence: Number(sequence) }),
    ...(callId !== undefined && { callId }),
    payload,
    ...(position !== null && { position: { epoch: Number(position[1]), offset: Number(position[2]) } }),
    ...(expires !== undefined && { expiresAt: Number(expires) }),
    skipped: (header('callhalf-skipped') ?? '').split(/\s*,\s*/).filter((item) => item !== ''),
    isParked: header('callhalf-parked') === '1',
    isReplay: header('callhalf-replay') === '1',
  }
}

function parseBody(body: Uint8Array): unknown {
  if (body.length === 0) return undefined
  try {
    return JSON.parse(Buffer.from(body).toString())
  } catch {
    throw new WebhookError('bad_payload', 'the body is not JSON')
  }
}

function readText(payload: unknown, name: string): string | undefined {
  const value: unknown = typeof payload === 'object' && payload !== null ? Reflect.get(payload, name) : undefined
  return typeof value === 'string' ? value : undefined
}

function decodePercent(text: string | undefined): string | undefined {
  try {
    return text === undefined ? undefined : decodeURIComponent(text)
  } catch {
    return text
  }
}

/** Names of headers have no case; Node writes them in lower case, other sources may not. */
function readHeader(headers: WebhookRequest['headers'], name: string): string | undefined {
  if (headers instanceof Headers) return headers.get(name) ?? undefined
  const value = headers[name] ?? Object.entries(headers).find(([key]) => key.toLowerCase() === name)?.[1]
  return typeof value === 'string' ? value : value?.join(', ')
}
