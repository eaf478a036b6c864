import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import { Gauge } from 'prom-client'
import type { Registry } from 'prom-client'
import type { Clock } from '../core/clock.ts'
import { GatewayError } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import { Loop } from '../core/loop.ts'
import type { Service } from '../core/service.ts'

/** PEM files: the certificate with those of its issuers after it, and its private key. */
export type CertificateFiles = { readonly certFile: string; readonly keyFile: string }

/** PEM texts that fit each other. */
export type ServerCertificate = {
  readonly cert: string
  readonly key: string
  /** Milliseconds since the epoch. */
  readonly validFrom: number
  readonly validTo: number
}

export type CertificateWatchOptions = {
  readonly files: CertificateFiles
  readonly registry: Registry
  readonly clock: Clock
  readonly log: Logger
  /** How often the files are looked at. */
  readonly pollMs?: number
}

const POLL_MS = 30_000

/**
 * The certificate that the server shows, read again when its files have changed. The files are looked at
 * instead of being watched or asked for by a signal: that works whichever way they are replaced (renamed, written in
 * place, a link that leads elsewhere, another machine's disk) and needs nobody to tell us. Files that do not
 * fit each other, as while they are being replaced, change nothing; the next look may find them well.
 */
export class CertificateWatch implements Service {
  readonly name = 'tls-certificate'
  readonly #options: CertificateWatchOptions
  readonly #loop = new Loop()
  readonly #listeners = new Set<(certificate: ServerCertificate) => void>()
  #current: ServerCertificate | undefined
  /** What was said last of what is wrong, so that it is said once. */
  #complaint = ''

  constructor(options: CertificateWatchOptions) {
    this.#options = options
    options.registry.registerMetric(this.#secondsLeft())
  }

  /** Only after `start`. */
  get current(): ServerCertificate {
    if (this.#current === undefined) throw new GatewayError('internal', { detail: 'the certificate was not read' })
    return this.#current
  }

  /** Has `listener` called with each certificate that takes the place of another. The returned function ends it. */
  onRenewed(listener: (certificate: ServerCertificate) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Rejects with `invalid_request` when the files cannot be used. */
  async start(): Promise<void> {
    this.#current = await readCertificate(this.#options.files)
    this.#checkDates(this.#current)
    this.#loop.start((signal) => this.#run(signal))
  }

  stop(): Promise<void> {
    return this.#loop.stop()
  }

  /** Looks once; does not reject. */
  async look(): Promise<void> {
    try {
      const found = await readCertificate(this.#options.files)
      if (found.cert !== this.#current?.cert || found.key !== this.#current.key) this.#renew(found)
      this.#checkDates(found)
    } catch (error) {
      this.#complain(error instanceof Error ? error.message : String(error), 'renewed tls certificate cannot be used')
    }
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, pollMs = POLL_MS } = this.#options
    while (!signal.aborted) {
      await clock.wait(pollMs, signal).catch(() => undefined)
      if (!signal.aborted) await this.look()
    }
  }

  #renew(found: ServerCertificate): void {
    this.#current = found
    const expires = new Date(found.validTo).toISOString()
    this.#options.log.info({ expires }, 'tls certificate renewed')
    for (const listener of this.#listeners) listener(found)
  }

  #checkDates({ validFrom, validTo }: ServerCertificate): void {
    const now = this.#options.clock.now()
    if (now > validTo) this.#complain(new Date(validTo).toISOString(), 'tls certificate has expired')
    else if (now < validFrom) this.#complain(new Date(validFrom).toISOString(), 'tls certificate is not valid yet')
    else this.#complaint = ''
  }

  #secondsLeft(): Gauge {
    const secondsLeft = () => ((this.#current?.validTo ?? 0) - this.#options.clock.now()) / 1_000
    return new Gauge({
      name: 'callhalf_tls_certificate_expiry_seconds',
      help: 'Seconds until the certificate in use expires; below 0 when it has',
      registers: [],
      collect() {
        this.set(secondsLeft())
      },
    })
  }

  #complain(detail: string, message: string): void {
    const complaint = `${message}: ${detail}`
    if (complaint === this.#complaint) return
    this.#complaint = complaint
    this.#options.log.warn({ detail }, message)
  }
}

/** Reads and checks both files. Rejects with `invalid_request`, whose detail names the file and what is wrong. */
export async function readCertificate({ certFile, keyFile }: CertificateFiles): Promise<ServerCertificate> {
  const [cert, key] = await Promise.all([readPem(CERT_VARIABLE, certFile), readPem(KEY_VARIABLE, keyFile)])
  const certificate = attempt(
    `${CERT_VARIABLE}: ${certFile} is not a certificate in PEM`,
    () => new X509Certificate(cert),
  )
  const privateKey = attempt(`${KEY_VARIABLE}: ${keyFile} is not an unencrypted private key in PEM`, () =>
    createPrivateKey(key),
  )
  if (!certificate.checkPrivateKey(privateKey)) {
    throw unusable(`${KEY_VARIABLE}: ${keyFile} is not the key of the certificate in ${certFile}`)
  }
  // What OpenSSL refuses besides: a key that is too short, an issuer's certificate that is damaged.
  attempt(`${CERT_VARIABLE}: ${certFile} cannot be used`, () => createSecureContext({ cert, key }))
  return { cert, key, validFrom: Date.parse(certificate.validFrom), validTo: Date.parse(certificate.validTo) }
}

const CERT_VARIABLE = 'CALLHALF_TLS_CERT'
const KEY_VARIABLE = 'CALLHALF_TLS_KEY'

async function readPem(variable: string, file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error'
    throw unusable(`${variable}: ${file} cannot be read (${code})`, cause)
  }
}

function attempt<Result>(detail: string, work: () => Result): Result {
  try {
    return work()
  } catch (cause) {
    throw unusable(detail, cause)
  }
}

const unusable = (detail: string, cause?: unknown): GatewayError =>
  new GatewayError('invalid_request', { detail, cause })
