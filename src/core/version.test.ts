import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { VERSION } from './version.ts'

test("the gateway's version is that of the package", async () => {
  expect(JSON.parse(await readFile('package.json', 'utf8'))).toMatchObject({ version: VERSION })
})
