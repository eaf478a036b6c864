import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { VARIABLES } from './config-variables.ts'

const read = (path: string) => readFile(new URL(`../${path}`, import.meta.url), 'utf8')
const namesIn = (text: string) => new Set(text.match(/\b(?:CALLHALF_[A-Z_]+|REDIS_URL|DATABASE_URL)\b/g))

const known = Object.keys(VARIABLES)

test('the README names every variable of the gateway in its table', async () => {
  const table = (await read('README.md')).split('\n').filter((line) => line.startsWith('| `'))
  const names = namesIn(table.join('\n'))
  expect(known.filter((name) => !names.has(name))).toEqual([])
})

test('the example for operators has nothing that the gateway does not know, and every variable of provisioning', async () => {
  const names = namesIn(await read('deploy/callhalf.env.example'))
  expect([...names].filter((name) => !known.includes(name))).toEqual([])
  const provisioning = known.filter((name) => /NUMBER|PROVIDER|SANDBOX|ZIPWHIP|ROLES/.test(name))
  expect(provisioning.length).toBeGreaterThan(7)
  expect(provisioning.filter((name) => !names.has(name))).toEqual([])
})
