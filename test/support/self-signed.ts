import { createSelfSignedCertificate, type Certificate } from '../../src/simulator/certificate.ts'

/** A key and a certificate for `localhost` and 127.0.0.1 that vouches for itself, made on the spot. PEM. */
export const createSelfSigned = (): Certificate => createSelfSignedCertificate({ host: '127.0.0.1', now: Date.now() })
