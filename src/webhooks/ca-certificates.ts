import { X509Certificate } from 'node:crypto'
import { invalidRequest } from '../core/parse-input.ts'

const LENGTH_MAX = 32_768
const COUNT_MAX = 10
const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[A-Za-z0-9+/=\s]*-----END \1-----/g

/**
 * Whether `pem` is what an endpoint's certificate can be verified against: one to ten certificates in PEM
 * (RFC 7468) and nothing else but blank lines and comments. Throws `invalid_request` naming `field`.
 */
export function checkCaCertificates(pem: string, field = 'ca_certificates'): void {
  const refuse = (message: string) => invalidRequest([{ field, message }])
  if (pem.length > LENGTH_MAX) throw refuse(`must have at most ${LENGTH_MAX} characters`)
  const blocks = [...pem.matchAll(BLOCK)]
  if (blocks.length === 0) throw refuse('must be certificates in PEM')
  if (blocks.length > COUNT_MAX) throw refuse(`must be at most ${COUNT_MAX} certificates`)
  // Whatever begins but is no whole block would be skipped in silence, or end what is read.
  if (blocks.some(([, label]) => label !== 'CERTIFICATE') || /-----(?:BEGIN|END)/.test(pem.replaceAll(BLOCK, ''))) {
    throw refuse('must hold certificates only, each one whole')
  }
  for (const [index, [block]] of blocks.entries()) {
    if (!isCertificate(block)) throw refuse(`certificate ${index + 1} cannot be read`)
  }
}

function isCertificate(block: string): boolean {
  try {
    return new X509Certificate(block).publicKey.type === 'public'
  } catch {
    return false
  }
}
