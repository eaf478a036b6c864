import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'

export type Certificate = {
  /** PKCS #8, PEM. */
  readonly key: string
  /** X.509, PEM; it is its own issuer, so the same text serves a client as trust anchor. */
  readonly cert: string
}

const DAY_MS = 86_400_000
const OID_COMMON_NAME = [0x55, 0x04, 0x03]
const OID_ECDSA_WITH_SHA256 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]
const OID_SUBJECT_ALT_NAME = [0x55, 0x1d, 0x11]
const OID_BASIC_CONSTRAINTS = [0x55, 0x1d, 0x13]

/** DER: a tag, the length and the content. */
function der(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(content)
  if (body.length < 0x80) return Buffer.concat([Buffer.from([tag, body.length]), body])
  const length: number[] = []
  for (let left = body.length; left > 0; left >>= 8) length.unshift(left & 0xff)
  return Buffer.concat([Buffer.from([tag, 0x80 | length.length, ...length]), body])
}

const sequence = (...content: readonly Uint8Array[]): Buffer => der(0x30, ...content)
const oid = (bytes: readonly number[]): Buffer => der(0x06, Buffer.from(bytes))
const octets = (content: Uint8Array): Buffer => der(0x04, content)
const bits = (content: Uint8Array): Buffer => der(0x03, Buffer.from([0]), content)
/** UTCTime, `YYMMDDHHMMSSZ`. */
function time(ms: number): Buffer {
  const text = new Date(ms).toISOString().replaceAll(/[-:T]|\.\d+/g, '')
  return der(0x17, Buffer.from(text.slice(2)))
}

/**
 * Makes a self-signed P-256 certificate for `host` and `localhost`, valid for a year (RFC 5280). For a
 * simulator on the loopback interface: whoever uses it must be given the certificate.
 */
export function createSelfSignedCertificate(options: { readonly host: string; readonly now: number }): Certificate {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const algorithm = sequence(oid(OID_ECDSA_WITH_SHA256))
  const name = sequence(der(0x31, sequence(oid(OID_COMMON_NAME), der(0x0c, Buffer.from('callhalf simulator')))))
  const address = options.host.split('.').map(Number)
  const altNames = sequence(
    der(0x82, Buffer.from('localhost')),
    address.length === 4 ? der(0x87, Buffer.from(address)) : der(0x82, Buffer.from(options.host)),
  )
  const isAuthority = sequence(der(0x01, Buffer.from([0xff])))
  // A positive serial number: the first bit must not be set, and the first byte must not be empty.
  const serial = Buffer.concat([Buffer.from([0x4c]), randomBytes(15)])
  const toBeSigned = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, serial),
    algorithm,
    name,
    sequence(time(options.now - DAY_MS), time(options.now + 365 * DAY_MS)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(
      0xa3,
      sequence(
        sequence(oid(OID_BASIC_CONSTRAINTS), der(0x01, Buffer.from([0xff])), octets(isAuthority)),
        sequence(oid(OID_SUBJECT_ALT_NAME), octets(altNames)),
      ),
    ),
  )
  const certificate = sequence(toBeSigned, algorithm, bits(sign('sha256', toBeSigned, privateKey)))
  return { key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), cert: toPem(certificate) }
}

const toPem = (bytes: Buffer): string =>
  `-----BEGIN CERTIFICATE-----\n${bytes.toString('base64').replaceAll(/(.{64})(?!$)/g, '$1\n')}\n-----END CERTIFICATE-----\n`
