import { randomBytes } from 'node:crypto'
import { link, mkdir, open, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from './config.ts'
import { GatewayError } from './core/errors.ts'

const SECRET_KEY_BYTES = 32

type SecretValues = {
  readonly adminKey: string
  /** 32 bytes. */
  readonly secretKey: Uint8Array
}

/** The admin key and the secret key; neither shows, however it is printed. */
export class Secrets implements SecretValues {
  /** Where the admin key stands, when it is kept in a file. */
  readonly adminKeyFile: string | undefined
  readonly #values: SecretValues

  constructor(values: SecretValues, adminKeyFile: string | undefined) {
    this.#values = values
    this.adminKeyFile = adminKeyFile
  }

  get adminKey(): string {
    return this.#values.adminKey
  }

  get secretKey(): Uint8Array {
    return this.#values.secretKey
  }

  toJSON(): Readonly<Record<string, string | undefined>> {
    return { adminKey: '[redacted]', secretKey: '[redacted]', adminKeyFile: this.adminKeyFile }
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return `Secrets ${JSON.stringify(this)}`
  }
}

/**
 * The configured secrets; those that are unset come from files in the data directory, made with mode
 * 0600 at the first start. Of several processes starting at once all get the same. Rejects with
 * `invalid_request` when a file can be read by others or is damaged.
 */
export async function loadOrCreateSecrets(config: Pick<Config, 'dataDir' | 'secrets'>): Promise<Secrets> {
  const { adminKey, secretKey } = config.secrets
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 })
  const adminKeyFile = adminKey === undefined ? join(config.dataDir, 'admin-key') : undefined
  const values = {
    adminKey: adminKey ?? (await readOrCreate(join(config.dataDir, 'admin-key'), createAdminKey)),
    secretKey: secretKey ?? (await loadSecretKey(join(config.dataDir, 'secret-key'))),
  }
  return new Secrets(values, adminKeyFile)
}

const createAdminKey = (): string => `cka_${randomBytes(32).toString('base64url')}`

async function loadSecretKey(file: string): Promise<Uint8Array> {
  const text = await readOrCreate(file, () => randomBytes(SECRET_KEY_BYTES).toString('base64'))
  const bytes = Buffer.from(text, 'base64')
  if (bytes.length !== SECRET_KEY_BYTES) {
    throw new GatewayError('invalid_request', { detail: `${file} must hold 32 bytes in base64; restore it.` })
  }
  return bytes
}

/**
 * The file's text. It is written beside its place first and then linked there, which fails if somebody
 * else was faster: nobody ever reads half a file, and the first one wins.
 */
async function readOrCreate(file: string, create: () => string): Promise<string> {
  const existing = await readPrivate(file)
  if (existing !== undefined) return existing
  const draft = `${file}.${randomBytes(6).toString('hex')}`
  const handle = await open(draft, 'wx', 0o600)
  try {
    await handle.writeFile(`${create()}\n`)
    await handle.sync()
  } finally {
    await handle.close()
  }
  try {
    await link(draft, file)
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw unusable(file, error)
  } finally {
    await rm(draft, { force: true })
  }
  const text = await readPrivate(file)
  if (text === undefined) throw unusable(file, undefined)
  return text
}

/** Undefined when there is no such file. */
async function readPrivate(file: string): Promise<string | undefined> {
  try {
    const { mode } = await stat(file)
    if ((mode & 0o077) !== 0) {
      throw new GatewayError('invalid_request', {
        detail: `${file} can be read by other users of this machine. If no one has: chmod 600 ${file}`,
      })
    }
    const text = (await readFile(file, 'utf8')).trim()
    if (text === '') throw new GatewayError('invalid_request', { detail: `${file} is empty; restore or remove it.` })
    return text
  } catch (error) {
    if (error instanceof GatewayError) throw error
    if (codeOf(error) === 'ENOENT') return undefined
    throw unusable(file, error)
  }
}

const unusable = (file: string, cause: unknown): GatewayError =>
  new GatewayError('invalid_request', { detail: `${file} cannot be read or written (${String(codeOf(cause))})`, cause })

function codeOf(error: unknown): unknown {
  return typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined
}
