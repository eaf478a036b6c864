import { ENDPOINT_LIMITS } from '../core/endpoint.ts'
import { invalidRequest } from '../core/parse-input.ts'
import type { FieldError } from '../core/parse-input.ts'

const NAME_LENGTH_MAX = 100
const VALUE_LENGTH_MAX = 2_048
/** Of all names and values: many receivers refuse more than 8 kB of headers, ours included. */
const TOTAL_LENGTH_MAX = 4_096

/** `token` of RFC 9110, 5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
/** Visible ASCII, with spaces inside: nothing that could end a header line or that a proxy would change. */
const VALUE = /^[\u0021-\u007e](?:[\u0020-\u007e]*[\u0021-\u007e])?$/

/** What frames the message, belongs to one connection, or is ours to say. */
const FORBIDDEN = new Set([
  'accept-encoding',
  'connection',
  'expect',
  'forwarded',
  'host',
  'http2-settings',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'user-agent',
  'via',
  // What metadata services of clouds ask for as proof that a request is not a forged one.
  'metadata',
  'metadata-flavor',
])
const FORBIDDEN_PREFIXES = ['webhook-', 'callhalf-', 'content-', 'proxy-', 'sec-', 'x-aws-ec2-metadata-']

/**
 * Whether an endpoint may have these additional headers. Throws `invalid_request` naming each field
 * (`headers.x-name`) that is wrong; values are never repeated, because they may be secrets.
 */
export function checkCustomHeaders(headers: Readonly<Record<string, string>>, field = 'headers'): void {
  const entries = Object.entries(headers)
  const errors: FieldError[] = []
  if (entries.length > ENDPOINT_LIMITS.headers) {
    errors.push({ field, message: `must be at most ${ENDPOINT_LIMITS.headers} headers` })
  }
  const seen = new Set<string>()
  let length = 0
  for (const [name, value] of entries) {
    length += name.length + value.length
    const key = name.toLowerCase()
    const message = seen.has(key) ? 'is given twice' : problemOf(key, value)
    seen.add(key)
    if (message !== undefined) errors.push({ field: `${field}.${printable(name)}`, message })
  }
  if (length > TOTAL_LENGTH_MAX) errors.push({ field, message: `must have at most ${TOTAL_LENGTH_MAX} characters` })
  if (errors.length > 0) throw invalidRequest(errors)
}

function problemOf(name: string, value: string): string | undefined {
  if (name.length > NAME_LENGTH_MAX || !TOKEN.test(name)) return 'is not a header name'
  if (FORBIDDEN.has(name) || FORBIDDEN_PREFIXES.some((prefix) => name.startsWith(prefix))) {
    return 'is not a header that may be added'
  }
  if (value.length > VALUE_LENGTH_MAX) return `must have at most ${VALUE_LENGTH_MAX} characters`
  return VALUE.test(value) ? undefined : 'must be visible ASCII characters with spaces only between them'
}

const printable = (name: string): string => name.slice(0, NAME_LENGTH_MAX).replaceAll(/[^\u0021-\u007e]/g, '?')
