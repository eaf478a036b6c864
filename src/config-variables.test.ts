import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'

const read = (path: string) => readFile(new URL(`../${path}`, import.meta.url), 'utf8')
const namesIn = (text: string) => new Set(text.match(/\b(?:CALLHALF_[A-Z_]+|REDIS_URL|DATABASE_URL)\b/g))

/** Those that the gateway reads, by the keys of its schema. */
async function known(): Promise<ReadonlySet<string>> {
  const source = await read('src/config.ts')
  return new Set([...source.matchAll(/^ {2}([A-Z_]+): v\./gm)].map(([, name = '']) => name))
}

test('the README names every variable of the gateway in its table', async () => {
  const table = (await read('README.md')).split('\n').filter((line) => line.startsWith('| `'))
  const names = namesIn(table.join('\n'))
  expect([...(await known())].filter((name) => !names.has(name))).toEqual([])
})

test('the example for operators has nothing that the gateway does not know, and every variable of provisioning', async () => {
  const names = namesIn(await read('deploy/callhalf.env.example'))
  const all = await known()
  expect([...names].filter((name) => !all.has(name))).toEqual([])
  const provisioning = [...all].filter((name) => /NUMBER|PROVIDER|SANDBOX|ZIPWHIP|ROLES/.test(name))
  expect(provisioning.length).toBeGreaterThan(7)
  expect(provisioning.filter((name) => !names.has(name))).toEqual([])
})
