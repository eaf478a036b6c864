import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const ROOT = join(import.meta.dirname, '../..')

/** What `npm run build:client` makes, in a folder of its own: `dir` holds client.js. */
type BuiltClient = AsyncDisposable & { readonly dir: string }

export async function buildClient(): Promise<BuiltClient> {
  const dir = await mkdtemp(join(tmpdir(), 'callhalf-client-'))
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
  await promisify(execFile)(process.execPath, [tsc, '-p', join(ROOT, 'tsconfig.client.json'), '--outDir', dir])
  return { dir, [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }) }
}
