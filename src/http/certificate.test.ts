import { mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Registry } from 'prom-client'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { createSelfSigned } from '../../test/support/self-signed.ts'
import { systemClock } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'
import { silentLogger } from '../core/logger.ts'
import { createSelfSignedCertificate } from '../simulator/certificate.ts'
import { CertificateWatch, readCertificate } from './certificate.ts'

const DAY_MS = 86_400_000
const NOW = Date.UTC(2026, 5, 1)

let folder: string
let certFile: string
let keyFile: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callhalf-tls-'))
  certFile = join(folder, 'cert.pem')
  keyFile = join(folder, 'key.pem')
  return () => rm(folder, { recursive: true, force: true })
})

async function write({ cert, key }: { readonly cert: string; readonly key: string }): Promise<void> {
  await writeFile(certFile, cert)
  await writeFile(keyFile, key)
}

/** A watch whose files are looked at by hand, and what it warns of. */
function watchFiles({ now = NOW, pollMs = 1_000_000 }: { readonly now?: number; readonly pollMs?: number } = {}) {
  const warnings: string[] = []
  const log: Logger = { ...silentLogger, warn: (_fields, message) => void warnings.push(message) }
  const registry = new Registry()
  const clock = { ...systemClock, now: () => now }
  const watch = new CertificateWatch({ files: { certFile, keyFile }, registry, clock, log, pollMs })
  onTestFinished(() => watch.stop())
  return { watch, warnings, registry }
}

const issuedAt = (now: number) => createSelfSignedCertificate({ host: '127.0.0.1', now })

test('a file that is missing is named with its variable', async () => {
  await expect(readCertificate({ certFile, keyFile })).rejects.toMatchObject({
    code: 'invalid_request',
    message: `CALLHALF_TLS_CERT: ${certFile} cannot be read (ENOENT)`,
  })
  await writeFile(certFile, createSelfSigned().cert)
  await expect(readCertificate({ certFile, keyFile })).rejects.toThrow(
    `CALLHALF_TLS_KEY: ${keyFile} cannot be read (ENOENT)`,
  )
})

test('a key of another certificate is refused', async () => {
  await write({ cert: createSelfSigned().cert, key: createSelfSigned().key })
  await expect(readCertificate({ certFile, keyFile })).rejects.toThrow(
    `CALLHALF_TLS_KEY: ${keyFile} is not the key of the certificate in ${certFile}`,
  )
})

test('what is no PEM is refused, and nothing of it is repeated', async () => {
  const { cert, key } = createSelfSigned()
  await write({ cert: key, key })
  await expect(readCertificate({ certFile, keyFile })).rejects.toThrow(
    `CALLHALF_TLS_CERT: ${certFile} is not a certificate in PEM`,
  )
  await write({ cert, key: 'hunter2' })
  const error: unknown = await readCertificate({ certFile, keyFile }).catch((reason: unknown) => reason)
  expect(String(error)).toContain(`CALLHALF_TLS_KEY: ${keyFile} is not an unencrypted private key in PEM`)
  expect(String(error)).not.toContain('hunter2')
})

test('the metric tells the seconds that are left of the certificate in use', async () => {
  await write(issuedAt(NOW))
  const { watch, warnings, registry } = watchFiles()
  await watch.start()
  expect(await registry.metrics()).toContain('callhalf_tls_certificate_expiry_seconds 31536000\n')
  expect(warnings).toEqual([])
})

test('an expired certificate is used, with a warning and a metric below zero', async () => {
  await write(issuedAt(NOW - 400 * DAY_MS))
  const { watch, warnings, registry } = watchFiles()
  await watch.start()
  await watch.look()
  expect(warnings).toEqual(['tls certificate has expired'])
  expect(await registry.metrics()).toContain(`callhalf_tls_certificate_expiry_seconds -${35 * 86_400}\n`)
})

test('a certificate of the future is used, with a warning', async () => {
  await write(issuedAt(NOW + 3 * DAY_MS))
  const { watch, warnings } = watchFiles()
  await watch.start()
  expect(warnings).toEqual(['tls certificate is not valid yet'])
})

test('while only one of the files has been replaced the present certificate stays, and is renewed with the second', async () => {
  const [before, after] = [issuedAt(NOW), issuedAt(NOW)]
  await write(before)
  const { watch, warnings } = watchFiles()
  const renewed: string[] = []
  watch.onRenewed(({ cert }) => void renewed.push(cert))
  await watch.start()
  await writeFile(certFile, after.cert)
  await watch.look()
  await watch.look()
  expect(watch.current.cert).toBe(before.cert)
  expect(warnings).toEqual(['renewed tls certificate cannot be used'])
  await writeFile(keyFile, after.key)
  await watch.look()
  expect(renewed).toEqual([after.cert])
  expect(watch.current).toMatchObject(after)
})

test('a link that is turned to other files is noticed without being told', async () => {
  const [before, after] = [issuedAt(NOW), issuedAt(NOW)]
  const writeAs = async (name: string, { cert, key }: typeof before) => {
    await writeFile(join(folder, `${name}.pem`), cert)
    await writeFile(join(folder, `${name}-key.pem`), key)
  }
  await writeAs('before', before)
  await writeAs('after', after)
  await symlink('before.pem', certFile)
  await symlink('before-key.pem', keyFile)
  const { watch } = watchFiles({ pollMs: 10 })
  await watch.start()
  for (const [file, target] of [
    [certFile, 'after.pem'],
    [keyFile, 'after-key.pem'],
  ] as const) {
    await symlink(target, `${file}.new`)
    await rename(`${file}.new`, file)
  }
  await expect.poll(() => watch.current.cert).toBe(after.cert)
})
