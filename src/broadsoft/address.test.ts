import { expect, test } from 'vitest'
import { numberOf } from './address.ts'

test.each([
  ['E.164', 'tel:+15551230100', undefined, '+15551230100'],
  ['E.164 with a country code attribute', 'tel:+15551230100', '1', '+15551230100'],
  ['E.164 whose + was left out', 'tel:15551230100', '1', '+15551230100'],
  ['a national number with a country code attribute', 'tel:5551230100', '1', '+15551230100'],
  ['an extension', 'tel:1012', undefined, '1012'],
  ['an extension with a country code attribute', 'tel:1012', '1', '1012'],
  ['a number with its extension', 'tel:+15551230100;ext=1012', '1', '+15551230100'],
  ['nothing but an extension', 'tel:;ext=1012', undefined, '1012'],
  ['visual separators', 'tel:+1-(555)-123.0100', undefined, '+15551230100'],
  ['the scheme in capitals', 'TEL:1012', undefined, '1012'],
  ['a bare number', '+15551230100', undefined, '+15551230100'],
  ['a feature code', 'tel:*72', undefined, '*72'],
  ['a SIP address with a number', 'sip:+15551230100@example.net:5061;user=phone', undefined, '+15551230100'],
  ['a SIP address with a name', 'sip:ann.example@example.net:5061;transport=tls', undefined, 'ann.example@example.net'],
  ['a SIP address with escapes', 'sip:%2B15551230100@example.net', undefined, '+15551230100'],
  ['a SIP address with number parameters', 'sip:+15551230100;phone-context=x@example.net', undefined, '+15551230100'],
  ['a SIPS address with headers', 'sips:ann@example.net?subject=x', undefined, 'ann@example.net'],
  ['an anonymous SIP address', 'sip:anonymous@anonymous.invalid', undefined, ''],
  ['a user id', 'ann@example.net', undefined, 'ann@example.net'],
  ['a bad escape, as it is', 'tel:%zz', undefined, '%zz'],
  ['nothing', 'tel:', undefined, ''],
])('the number of %s', (_, uri, countryCode, number) => {
  expect(numberOf(countryCode === undefined ? { uri } : { uri, countryCode })).toBe(number)
})
