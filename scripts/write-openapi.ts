import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createHttpApp } from '../src/http/app.ts'
import { generateAsyncApi } from '../src/http/asyncapi.ts'
import { generateOpenApi } from '../src/http/openapi.ts'
import { absentHttpDeps } from '../test/support/absent-http-deps.ts'

const DOCUMENTS = [
  { name: 'docs/openapi.json', describe: () => generateOpenApi(createHttpApp(absentHttpDeps())) },
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

await main()
