import {
  getCountryCallingCode,
  isSupportedCountry,
  parsePhoneNumberFromString,
  type PhoneNumber,
} from 'libphonenumber-js/max'

/** `+` and the country's calling code, with which all its numbers begin; undefined: not a country with numbers. */
export const callingPrefixOf = (country: string): string | undefined =>
  isSupportedCountry(country) ? `+${getCountryCallingCode(country)}` : undefined

/**
 * The country of an E.164 number (ISO 3166-1 alpha-2). Of a calling code that several countries share, the main
 * one when the digits do not tell; undefined for numbers of no country, as +800.
 */
export function countryOf(e164: string): string | undefined {
  const number = parsePhoneNumberFromString(e164)
  return number?.country ?? number?.getPossibleCountries()[0]
}

/** The number that comes `steps` after this one; undefined when that would need more or fewer digits. */
export function stepNumber(e164: string, steps: number): string | undefined {
  const digits = (BigInt(e164.slice(1)) + BigInt(steps)).toString()
  return digits.length === e164.length - 1 && !digits.startsWith('-') ? `+${digits}` : undefined
}

/** A number in E.164 as the numbering plan knows it; undefined when it is not one. */
export function readNumber(text: string): PhoneNumber | undefined {
  const number = /^\+[1-9][0-9]{6,14}$/.test(text) ? parsePhoneNumberFromString(text) : undefined
  return number?.isPossible() === true && number.number === text ? number : undefined
}
