import { X509Certificate, createPrivateKey } from 'node:crypto'
import { expect, test } from 'vitest'
import { createSelfSignedCertificate } from './certificate.ts'

test('the certificate is a valid, self-signed authority for its host and localhost, for a year', () => {
  const { key, cert } = createSelfSignedCertificate({ host: '127.0.0.1', now: Date.UTC(2026, 10, 21, 12) })
  const certificate = new X509Certificate(cert)
  expect(certificate.verify(certificate.publicKey)).toBe(true)
  expect(certificate.checkPrivateKey(createPrivateKey(key))).toBe(true)
  expect(certificate.checkIssued(certificate)).toBe(true)
  expect(certificate.ca).toBe(true)
  expect(certificate.checkIP('127.0.0.1')).toBe('127.0.0.1')
  expect(certificate.checkHost('localhost')).toBe('localhost')
  expect(certificate.validFrom).toBe('Nov 20 12:00:00 2026 GMT')
  expect(certificate.validTo).toBe('Nov 21 12:00:00 2027 GMT')
})
