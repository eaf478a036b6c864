/** What a signature is over (Standard Webhooks 1.0.0, "Signature scheme"): `id.timestamp.payload`. */
export type SignedContent = {
  /** The same for every attempt; holds no `.`. */
  readonly id: string
  /** Seconds since the epoch, of this attempt. */
  readonly timestamp: number
  /** The body exactly as sent; a text stands for its UTF-8 bytes. */
  readonly payload: Buffer | string
}

/** The headers of a message, as received. */
export type SignatureHeaders = {
  readonly id: string | undefined
  readonly timestamp: string | undefined
  readonly signature: string | undefined
}

export type Verdict = 'valid' | 'missing_header' | 'bad_timestamp' | 'expired' | 'no_match'

/** Past and future, as every reference library has it. */
const TOLERANCE_SECONDS = 300

/** The part of the signed content that stands before the payload. */
export const preambleOf = ({ id, timestamp }: SignedContent): string => `${id}.${timestamp}.`

/** The parts of a message's headers that can be judged without a key, or what is wrong with them. */
export function readHeaders(
  { id, timestamp, signature }: SignatureHeaders,
  nowSeconds: number,
): { readonly id: string; readonly timestamp: number; readonly signature: string } | Verdict {
  if (id === undefined || timestamp === undefined || signature === undefined) return 'missing_header'
  if (id === '' || timestamp === '' || signature === '') return 'missing_header'
  if (!/^\d{1,12}$/.test(timestamp)) return 'bad_timestamp'
  const seconds = Number(timestamp)
  if (Math.abs(nowSeconds - seconds) > TOLERANCE_SECONDS) return 'expired'
  return { id, timestamp: seconds, signature }
}

/** The decoded signatures of one version in a list separated by spaces. */
export const signaturesOf = (list: string, version: string): readonly Buffer[] =>
  list
    .split(' ')
    .filter((entry) => entry.startsWith(`${version},`))
    .map((entry) => Buffer.from(entry.slice(version.length + 1), 'base64'))
