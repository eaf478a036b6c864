import { chmod, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readConfig } from './config.ts'
import { loadOrCreateSecrets } from './secrets.ts'

let dataDir: string
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'callhalf-secrets-'))
})
afterEach(() => rm(dataDir, { recursive: true, force: true }))

const load = (env: Readonly<Record<string, string>> = {}) =>
  loadOrCreateSecrets(readConfig({ CALLHALF_DATA_DIR: dataDir, ...env }))

test('unset secrets are made once, kept with mode 0600, and the same afterwards', async () => {
  const first = await load()
  const second = await load()
  expect(first.adminKeyFile).toBe(join(dataDir, 'admin-key'))
  expect(first.adminKey).toMatch(/^cka_[A-Za-z0-9_-]{43}$/)
  expect(first.secretKey).toHaveLength(32)
  expect(second.adminKey).toBe(first.adminKey)
  expect(second.secretKey).toEqual(first.secretKey)
  for (const file of ['admin-key', 'secret-key']) expect((await stat(join(dataDir, file))).mode & 0o777).toBe(0o600)
  expect((await readFile(join(dataDir, 'admin-key'), 'utf8')).trim()).toBe(first.adminKey)
})

test('starters that race get the same secrets and leave no drafts', async () => {
  const all = await Promise.all(Array.from({ length: 20 }, () => load()))
  expect(new Set(all.map((secrets) => secrets.adminKey)).size).toBe(1)
  expect(new Set(all.map((secrets) => Buffer.from(secrets.secretKey).toString('hex'))).size).toBe(1)
  expect((await readdir(dataDir)).toSorted()).toEqual(['admin-key', 'secret-key'])
})

test('configured secrets are used and not written', async () => {
  const secrets = await load({
    CALLHALF_ADMIN_KEY: 'an-admin-key-of-32-characters-ok',
    CALLHALF_SECRET_KEY: Buffer.alloc(32, 7).toString('base64'),
  })
  expect(secrets.adminKey).toBe('an-admin-key-of-32-characters-ok')
  expect(secrets.adminKeyFile).toBeUndefined()
  expect(secrets.secretKey).toEqual(Buffer.alloc(32, 7))
  expect(await readdir(dataDir)).toEqual([])
})

test('a file that others can read is refused with the command that repairs it', async () => {
  await load()
  await chmod(join(dataDir, 'secret-key'), 0o640)
  await expect(load()).rejects.toMatchObject({ detail: expect.stringContaining(`chmod 600 ${dataDir}/secret-key`) })
})

test('a damaged secret key is refused instead of replaced', async () => {
  await writeFile(join(dataDir, 'secret-key'), 'dG9vIHNob3J0\n', { mode: 0o600 })
  await expect(load()).rejects.toMatchObject({ code: 'invalid_request' })
  expect(await readFile(join(dataDir, 'secret-key'), 'utf8')).toBe('dG9vIHNob3J0\n')
})

test('printed secrets show nothing', async () => {
  const secrets = await load()
  const printed =
    JSON.stringify(secrets) +
    inspect(secrets, { depth: 9, showHidden: true }) +
    JSON.stringify(Object.assign({}, secrets))
  expect(printed).not.toContain(secrets.adminKey)
  expect(printed).not.toContain(Buffer.from(secrets.secretKey).toString('base64'))
  expect(printed).toContain('[redacted]')
})
