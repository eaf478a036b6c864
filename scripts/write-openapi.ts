import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Registry } from 'prom-client'
import * as v from 'valibot'
import { systemClock } from '../src/core/clock.ts'
import { ShardSchema } from '../src/core/ids.ts'
import { silentLogger } from '../src/core/logger.ts'
import { createHttpApp } from '../src/http/app.ts'
import { generateOpenApi } from '../src/http/openapi.ts'

const FILE = join(import.meta.dirname, '../docs/openapi.json')

/**
 * Writes docs/openapi.json. With `--check` writes nothing and fails if the file differs from what the
 * code says, so that a changed contract shows in the change that makes it.
 */
async function main(): Promise<void> {
  const text = `${JSON.stringify(await describeApi(), null, 2)}\n`
  if (!process.argv.includes('--check')) {
    await writeFile(FILE, text)
    return
  }
  const recorded = await readFile(FILE, 'utf8').catch(() => '')
  if (recorded === text) return
  process.stderr.write(
    'docs/openapi.json is not what the code says: run `npm run openapi` and look at the difference\n',
  )
  process.exitCode = 1
}

/** The routes are described without being served, so what they would call is left out. */
async function describeApi() {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  const absent = undefined as never
  const app = createHttpApp({
    servesApi: true,
    authenticator: absent,
    calls: absent,
    apps: absent,
    networks: absent,
    networkControl: absent,
    subscribers: absent,
    endpoints: absent,
    checkEndpointUrl: absent,
    openEndpoint: absent,
    generateSecret: absent,
    streams: { hub: absent, authenticator: absent, tokens: absent },
    readiness: absent,
    registry: new Registry(),
    defaultShard: v.parse(ShardSchema, 'main'),
    clock: systemClock,
    log: silentLogger,
  })
  return generateOpenApi(app)
}

await main()
