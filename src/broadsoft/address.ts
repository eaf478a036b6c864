import type { XsiAddress } from './call-element.ts'

/**
 * The number behind an XSI address, which is a `tel:` or `sip:` URI, a bare number, or a user id:
 * E.164 with its `+` where the network says so, otherwise as dialled (an extension stays one).
 * Empty for an anonymous party.
 */
export function numberOf({ uri, countryCode }: XsiAddress): string {
  const [scheme, rest] = splitScheme(uri.trim())
  const [target = '', ...parameters] = rest.split(';')
  const identity = scheme === 'sip' || scheme === 'sips' ? sipIdentity(target) : decoded(target)
  const number = withoutSeparators(identity)
  if (number === '') return extensionOf(parameters)
  return countryCode === undefined ? number : withCountryCode(number, countryCode)
}

function splitScheme(uri: string): [string, string] {
  const match = /^(tel|sips?):/i.exec(uri)
  return match === null ? ['', uri] : [(match[1] ?? '').toLowerCase(), uri.slice(match[0].length)]
}

/** The user part if it is a number, otherwise `user@host` without the port. */
function sipIdentity(target: string): string {
  const address = target.split('?', 1)[0] ?? ''
  const at = address.lastIndexOf('@')
  if (at === -1) return decoded(address)
  const user = decoded(address.slice(0, at)).split(';', 1)[0] ?? ''
  const host = address.slice(at + 1).replace(/:\d+$/, '')
  // RFC 3323 4.1.1.3 and RFC 3325: how SIP spells a withheld identity.
  if (/^anonymous$/i.test(user) || /^anonymous\.invalid$/i.test(host)) return ''
  return isDialable(user) ? user : `${user}@${host}`
}

/** Visual separators (RFC 3966 5.1.1) are not part of the number. */
const withoutSeparators = (text: string): string => (isDialable(text) ? text.replaceAll(/[\s().-]/g, '') : text)

const isDialable = (text: string): boolean => /^\+?[\d*#][\d*#\s().-]*$/.test(text)

/** `;ext=1012`: all there is when the main number is not shown. */
const extensionOf = (parameters: readonly string[]): string =>
  parameters.map((parameter) => /^ext=([\d().-]+)$/i.exec(parameter)?.[1]).find((ext) => ext !== undefined) ?? ''

/** The attribute says that the number is E.164; some releases leave the `+` out. */
function withCountryCode(number: string, countryCode: string): string {
  if (!/^\d{7,15}$/.test(number)) return number
  return number.startsWith(countryCode) && number.length > 10 ? `+${number}` : `+${countryCode}${number}`
}

const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
