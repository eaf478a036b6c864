import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  hkdfSync,
  randomBytes,
  type KeyObject,
  createSecretKey,
} from 'node:crypto'
import { GatewayError } from '../core/errors.ts'

const SECRET_KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
const VERSION = 'v1'

/** Where an encrypted value stands; moving it elsewhere makes it unreadable. */
export type CipherPlace = { readonly table: string; readonly row: string; readonly field: string }

type DerivedKeys = { readonly id: string; readonly encryption: KeyObject; readonly hashing: KeyObject }

/**
 * Encrypts secrets for the records: AES-256-GCM with a random 96-bit nonce. The text form is
 * `v1.<key id>.<nonce>.<tag>.<ciphertext>`, the last three in base64url. Version, key id and place
 * (table, row, field) are authenticated with it, so that a value cannot be moved to another row. The
 * keys for encryption and for hashing are derived from the secret key (HKDF-SHA-256), as is the key
 * id, which tells a wrong secret key from a damaged value.
 */
export class Cipher {
  readonly #keys: readonly DerivedKeys[]

  /** `secretKeys` are 32 bytes each; the first one encrypts and hashes, all of them decrypt. */
  constructor(secretKeys: readonly [Uint8Array, ...Uint8Array[]]) {
    this.#keys = secretKeys.map(deriveKeys)
  }

  /** The envelope of `plaintext`. */
  encrypt(plaintext: string, place: CipherPlace): string {
    const key = this.#current()
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv('aes-256-gcm', key.encryption, nonce, { authTagLength: TAG_BYTES })
    cipher.setAAD(additionalData(key.id, place))
    const ciphertext = Buffer.concat([cipher.update(plaintext, 'utf8'), cipher.final()])
    return [
      VERSION,
      key.id,
      ...[nonce, cipher.getAuthTag(), ciphertext].map((part) => part.toString('base64url')),
    ].join('.')
  }

  /** The plaintext; throws `internal` when the envelope is damaged, moved, or of another secret key. */
  decrypt(envelope: string, place: CipherPlace): string {
    const [version, keyId, nonce, tag, ciphertext, ...rest] = envelope.split('.')
    if (
      version !== VERSION ||
      nonce === undefined ||
      tag === undefined ||
      ciphertext === undefined ||
      rest.length > 0
    ) {
      throw unreadable(place, 'it is not an envelope of version 1')
    }
    const key = this.#keys.find((candidate) => candidate.id === keyId)
    if (key === undefined) throw unreadable(place, 'it was written with another CALLHALF_SECRET_KEY')
    const tagBytes = Buffer.from(tag, 'base64url')
    const nonceBytes = Buffer.from(nonce, 'base64url')
    // A shorter tag would be accepted by GCM itself and is easier to forge.
    if (tagBytes.length !== TAG_BYTES || nonceBytes.length !== NONCE_BYTES) throw unreadable(place, 'it is damaged')
    const decipher = createDecipheriv('aes-256-gcm', key.encryption, nonceBytes, { authTagLength: TAG_BYTES })
    decipher.setAAD(additionalData(key.id, place)).setAuthTag(tagBytes)
    try {
      return Buffer.concat([decipher.update(Buffer.from(ciphertext, 'base64url')), decipher.final()]).toString('utf8')
    } catch (cause) {
      throw unreadable(place, 'it is damaged or was moved', cause)
    }
  }

  /** HMAC-SHA-256 under the hashing key: useless to a thief of the database alone. */
  hash(text: string): Buffer {
    return createHmac('sha256', this.#current().hashing).update(text, 'utf8').digest()
  }

  #current(): DerivedKeys {
    const key = this.#keys[0]
    if (key === undefined) throw new GatewayError('internal', { cause: new Error('a cipher needs a key') })
    return key
  }
}

function deriveKeys(secretKey: Uint8Array): DerivedKeys {
  if (secretKey.length !== SECRET_KEY_BYTES) {
    throw new GatewayError('internal', { cause: new Error('the secret key must have 32 bytes') })
  }
  const derive = (purpose: string, bytes: number) =>
    Buffer.from(hkdfSync('sha256', secretKey, new Uint8Array(0), `callhalf ${purpose}`, bytes))
  return {
    id: derive('key id', 4).toString('hex'),
    encryption: createSecretKey(derive('encryption', 32)),
    hashing: createSecretKey(derive('api key hash', 32)),
  }
}

/** JSON keeps the parts apart whatever characters they hold. */
const additionalData = (keyId: string, { table, row, field }: CipherPlace): Buffer =>
  Buffer.from(JSON.stringify([VERSION, keyId, table, row, field]), 'utf8')

const unreadable = (place: CipherPlace, reason: string, cause?: unknown): GatewayError =>
  new GatewayError('internal', {
    cause: new Error(`cannot decrypt ${place.table}.${place.field} of ${place.row}: ${reason}`, { cause }),
  })
