import { expect, test } from 'vitest'
import { createSelfSigned } from '../../test/support/self-signed.ts'
import { isGatewayError } from '../core/errors.ts'
import { checkCaCertificates } from './ca-certificates.ts'

const { cert, key } = createSelfSigned()

const refusal = (pem: string): unknown => {
  try {
    checkCaCertificates(pem)
    return 'accepted'
  } catch (error) {
    return isGatewayError(error, 'invalid_request') ? error.fields['errors'] : error
  }
}
const refusedAs = (message: string) => [{ field: 'ca_certificates', message }]

test('one certificate, ten, and comments between them are accepted', () => {
  expect(refusal(cert)).toBe('accepted')
  expect(refusal(cert.repeat(10))).toBe('accepted')
  expect(refusal(`# our root\r\n${cert.replaceAll('\n', '\r\n')}\r\n# the other one\r\n${cert}`)).toBe('accepted')
})

test.each([
  ['nothing', '', 'must be certificates in PEM'],
  ['text', 'trust everybody', 'must be certificates in PEM'],
  ['eleven certificates', cert.repeat(11), 'must be at most 10 certificates'],
  ['a private key', key, 'must hold certificates only, each one whole'],
  ['a private key beside a certificate', cert + key, 'must hold certificates only, each one whole'],
  ['half a certificate more', cert + cert.slice(0, 200), 'must hold certificates only, each one whole'],
  ['base64 that is no certificate', cert.replace(/\n[^-]+\n/, '\nAAAA\n'), 'certificate 1 cannot be read'],
  ['more than 32 kB', cert + '#'.repeat(32_768), 'must have at most 32768 characters'],
])('%s is refused', (_name, pem, message) => {
  expect(refusal(pem)).toEqual(refusedAs(message))
})
