import type { IncomingMessage } from 'node:http'
import { GatewayError, isGatewayError } from '../core/errors.ts'
import { invalidRequest } from '../core/parse-input.ts'
import type { HttpContext } from './context.ts'

export type BodyLimits = { readonly bytesMax: number; readonly timeoutMs: number }

/** To valibot these are nobody's names: an object would be accepted without what they name. */
const RESERVED_NAMES: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype'])

export const BODY_LIMITS: BodyLimits = { bytesMax: 64 * 1024, timeoutMs: 10_000 }

/**
 * The JSON value in the body; undefined when there is none. Rejects with `unsupported_media_type`,
 * `body_too_large`, `request_timeout`, `malformed_json`, or `invalid_request` for a name that no object may
 * have; never keeps more than `bytesMax` bytes.
 */
export async function readJsonBody(c: HttpContext, limits: BodyLimits): Promise<unknown> {
  const type = c.req.header('content-type')
  if (type !== undefined && !/^application\/(?:[\w.+-]+\+)?json *(?:;|$)/i.test(type)) {
    throw new GatewayError('unsupported_media_type')
  }
  const bytes = await readBytes(c, limits)
  if (bytes.length === 0) return undefined
  try {
    return parseJson(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    if (isGatewayError(cause)) throw cause
    throw new GatewayError('malformed_json', { cause })
  }
}

/**
 * The fields of a form in the body; the last of those with the same name. Rejects like {@link readJsonBody}, and
 * with `invalid_request` for what is no text.
 */
export async function readForm(c: HttpContext, limits: BodyLimits = BODY_LIMITS): Promise<Record<string, string>> {
  const type = c.req.header('content-type')
  if (type !== undefined && !/^application\/x-www-form-urlencoded *(?:;|$)/i.test(type)) {
    throw new GatewayError('unsupported_media_type', { detail: 'The body must be application/x-www-form-urlencoded.' })
  }
  const text = (await readBytes(c, limits)).toString('utf8')
  return Object.fromEntries(new URLSearchParams(text))
}

async function readBytes(c: HttpContext, limits: BodyLimits): Promise<Buffer> {
  if (Number(c.req.header('content-length') ?? 0) > limits.bytesMax) throw bodyTooLarge(limits)
  const incoming = c.env?.incoming
  return incoming === undefined ? readStream(c.req.raw.body, limits) : readIncoming(incoming, limits)
}

/** JSON can escape characters that are no text (U+0000, half a surrogate pair) and that PostgreSQL refuses. */
function parseJson(text: string): unknown {
  if (!/\\u|"(?:__proto__|constructor|prototype)"/i.test(text)) return JSON.parse(text)
  return JSON.parse(text, (key, value: unknown) => {
    if (RESERVED_NAMES.has(key)) throw invalidRequest([{ field: key, message: 'is not a name that a field may have' }])
    if (!isText(key) || (typeof value === 'string' && !isText(value))) throw new SyntaxError('not text')
    return value
  })
}

/** Whether every store can keep it. */
export const isText = (value: string): boolean => !value.includes('\0') && value.isWellFormed()

/** By events, not `for await`: leaving a loop early would destroy the socket before the answer is sent. */
function readIncoming(incoming: IncomingMessage, limits: BodyLimits): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    const settle = (finish: () => void) => {
      clearTimeout(timer)
      incoming.off('data', onData).off('end', onEnd).off('error', onClose).off('close', onClose)
      finish()
    }
    const onData = (chunk: Buffer) => {
      length += chunk.length
      if (length <= limits.bytesMax) chunks.push(chunk)
      else settle(() => reject(bodyTooLarge(limits)))
    }
    const onEnd = () => settle(() => resolve(Buffer.concat(chunks)))
    const onClose = () =>
      settle(() => reject(new GatewayError('malformed_json', { detail: 'The body is incomplete.' })))
    const timer = setTimeout(() => settle(() => reject(new GatewayError('request_timeout'))), limits.timeoutMs)
    incoming.on('data', onData).on('end', onEnd).on('error', onClose).on('close', onClose)
    if (incoming.readableEnded || incoming.destroyed) onClose()
  })
}

/** For requests that did not come through node-server: the same bounds over a web stream. */
async function readStream(body: ReadableStream<Uint8Array> | null, limits: BodyLimits): Promise<Buffer> {
  if (body === null) return Buffer.alloc(0)
  const reader = body.getReader()
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    // The read that waits ends with it, as if the body were over.
    void reader.cancel()
  }, limits.timeoutMs)
  const chunks: Uint8Array[] = []
  let length = 0
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      length += next.value.length
      if (length > limits.bytesMax) throw bodyTooLarge(limits)
      chunks.push(next.value)
    }
  } finally {
    clearTimeout(timer)
  }
  if (isLate) throw new GatewayError('request_timeout')
  return Buffer.concat(chunks)
}

const bodyTooLarge = ({ bytesMax }: BodyLimits): GatewayError =>
  new GatewayError('body_too_large', { detail: `A body may have up to ${bytesMax} bytes.` })
