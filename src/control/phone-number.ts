import { parsePhoneNumberFromString } from 'libphonenumber-js/min'

const NUMBER_LENGTH_MAX = 32
const EXTENSION = /^\d{2,10}$/

/**
 * The E.164 form (`+15129104114`) of an international number in any usual spelling; undefined when it
 * does not start with `+`, has letters or an extension, or has a length its country does not have.
 * Whether the number is assigned is left to the network: numbering plans change faster than metadata.
 */
export function toE164(text: string): string | undefined {
  const trimmed = text.trim()
  if (trimmed.length > NUMBER_LENGTH_MAX || !/^\+[\d\s().-]+$/.test(trimmed)) return undefined
  const parsed = parsePhoneNumberFromString(trimmed)
  if (parsed === undefined || parsed.ext !== undefined || !parsed.isPossible()) return undefined
  return parsed.number
}

/**
 * What may be sent to a network to be dialled: an E.164 number, or an extension of 2 to 10 digits.
 * Star and hash codes are refused on purpose: dialled, they change the subscriber's services
 * (forwarding, blocking) instead of placing a call.
 */
export function toDialable(text: string): string | undefined {
  const trimmed = text.trim()
  return EXTENSION.test(trimmed) ? trimmed : toE164(trimmed)
}

const SUFFIX_DIGITS_MIN = 7

/**
 * Whether a number that a network reports is the one that was dialled. Networks report `+15129104114`
 * also as `15129104114` or `5129104114`, so the shorter may be the end of the longer if it has at least
 * seven digits; extensions must be equal.
 */
export function isSameNumber(reported: string, dialled: string): boolean {
  const a = reported.replace(/\D/g, '')
  const b = dialled.replace(/\D/g, '')
  if (a === b) return a !== ''
  const [shorter, longer] = a.length < b.length ? [a, b] : [b, a]
  return shorter.length >= SUFFIX_DIGITS_MIN && longer.endsWith(shorter)
}
