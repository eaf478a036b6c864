import * as v from 'valibot'
import type { EligibilityReason } from '../../model/eligibility.ts'

/** Texts, numbers and truth values stand for each other: the document's tables and its samples do not agree. */
const flag = v.pipe(
  v.union([v.boolean(), v.string()]),
  v.transform((value) => value === true || String(value).trim().toLowerCase() === 'true'),
)
const code = v.pipe(
  v.union([v.number(), v.string()]),
  v.transform((value) => Number(typeof value === 'string' && value.trim() === '' ? Number.NaN : value)),
  v.integer(),
)
const text = v.pipe(
  v.string(),
  v.transform((value) => value.trim()),
)

/** What answers have in common ("Provision Phone Numbers", version 1.0); whatever else is in one is left alone. */
const EnvelopeSchema = v.object({
  status_code: code,
  status_desc: v.optional(text),
  error: v.optional(flag),
  transaction_id: v.optional(v.pipe(v.union([v.string(), v.number()]), v.transform(String))),
  eligible: v.optional(flag),
  account_status: v.optional(text),
})
export type Envelope = v.InferOutput<typeof EnvelopeSchema>

/** Undefined for what is no answer of such a server. */
export function parseEnvelope(body: string): Envelope | undefined {
  let json: unknown
  try {
    json = JSON.parse(body)
  } catch {
    return undefined
  }
  const parsed = v.safeParse(EnvelopeSchema, json)
  return parsed.success ? parsed.output : undefined
}

/** What an answer says. */
export type Verdict =
  | { readonly kind: 'success' }
  /** It was taken, and is not done yet. */
  | { readonly kind: 'pending' }
  | { readonly kind: 'ineligible'; readonly reason: EligibilityReason; readonly message: string }
  /** Our organisation has no such line. */
  | { readonly kind: 'absent'; readonly message: string }
  /** Not carried out; the same may succeed later. */
  | { readonly kind: 'retry'; readonly reason: string; readonly afterMs?: number }
  | { readonly kind: 'refused'; readonly code: string; readonly message: string }
  /** It may have been carried out, or not. */
  | { readonly kind: 'unclear'; readonly reason: string }

export type Answer = {
  /** Of HTTP. */
  readonly status: number
  readonly retryAfterMs?: number
  readonly envelope?: Envelope
}

/** 111 to 113 are the document's; the others are those of Callhalf's own Zipwhip API. */
const INELIGIBLE: Readonly<Record<number, EligibilityReason>> = {
  110: 'invalid_number',
  111: 'mobile_number',
  112: 'provisioned_by_another',
  113: 'provisioned_by_you',
  114: 'type_not_supported',
  115: 'line_type_unknown',
  116: 'country_not_supported',
}
/** Codes that are not the document's, with which Callhalf's own API refuses a request. */
const REFUSALS: ReadonlySet<number> = new Set([400, 401, 403, 405, 406, 422])

/** Judges an answer. The document knows few codes, so most is concluded from the error flag and HTTP's status. */
export function judgeAnswer({ status, retryAfterMs, envelope }: Answer): Verdict {
  const later = { kind: 'retry', ...(retryAfterMs !== undefined && { afterMs: retryAfterMs }) } as const
  if (status === 429 || envelope?.status_code === 429) return { ...later, reason: 'throttled' }
  if (envelope === undefined) return judgeStatus(status)
  const { status_code: number, status_desc: message = '', error = false } = envelope
  const reason = INELIGIBLE[number]
  if (reason !== undefined) return { kind: 'ineligible', reason, message }
  if (number === 404) return { kind: 'absent', message }
  if (number === 409) return { ...later, reason: 'in_process' }
  if (REFUSALS.has(number)) return { kind: 'refused', code: `zipwhip_${number}`, message }
  if (status >= 500 || number === 500 || number === 503) return { kind: 'unclear', reason: `zipwhip_${number}` }
  if (error) return { kind: 'refused', code: `zipwhip_${number}`, message }
  if (number === 100 && status < 300) return { kind: 'success' }
  return number === 101 && status < 300 ? { kind: 'pending' } : { kind: 'unclear', reason: `zipwhip_${number}` }
}

/** Of an answer that is none of a Zipwhip server: a proxy's, or of a server that is something else. */
function judgeStatus(status: number): Verdict {
  if (status < 300 || status >= 500 || status === 408) return { kind: 'unclear', reason: `http_${status}` }
  return { kind: 'refused', code: `http_${status}`, message: 'the answer is not one of a Zipwhip server' }
}
