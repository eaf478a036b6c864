import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Registry } from 'prom-client'
import * as v from 'valibot'
import { systemClock } from '../src/core/clock.ts'
import { ShardSchema } from '../src/core/ids.ts'
import { silentLogger } from '../src/core/logger.ts'
import { createHttpApp } from '../src/http/app.ts'
import { generateAsyncApi } from '../src/http/asyncapi.ts'
import { generateOpenApi } from '../src/http/openapi.ts'

const DOCUMENTS = [
  { name: 'docs/openapi.json', describe: describeApi },
  { name: 'docs/asyncapi.json', describe: generateAsyncApi },
]

/**
 * Writes docs/openapi.json and docs/asyncapi.json. With `--check` writes nothing and fails if a file differs
 * from what the code says, so that a changed contract shows in the change that makes it.
 */
async function main(): Promise<void> {
  for (const { name, describe } of DOCUMENTS) {
    const file = join(import.meta.dirname, '..', name)
    const text = `${JSON.stringify(await describe(), null, 2)}\n`
    if (!process.argv.includes('--check')) {
      await writeFile(file, text)
      continue
    }
    const recorded = await readFile(file, 'utf8').catch(() => '')
    if (recorded === text) continue
    process.stderr.write(`${name} is not what the code says: run \`npm run openapi\` and look at the difference\n`)
    process.exitCode = 1
  }
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
    generateKeyPair: absent,
    requiresVerification: false,
    resetFailures: absent,
    forgetEndpoint: absent,
    webhookStatus: absent,
    deliveries: absent,
    replayer: absent,
    tester: absent,
    verifier: absent,
    operatorEvents: absent,
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
