import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { serveApp } from '../support/serve-app.ts'
import { ZilkrRig } from '../support/zilkr-rig.ts'

const run = promisify(execFile)
const SCRIPT = join(import.meta.dirname, '../../examples/order-numbers.ts')

let rig: ZilkrRig
let server: Awaited<ReturnType<typeof serveApp>>
let key: string
beforeAll(async () => {
  rig = await ZilkrRig.start('pglite')
  server = await serveApp((request, env) => rig.api.app.fetch(request, env))
  key = (await rig.addApp()).key
})
afterAll(async () => {
  server.stop()
  await rig.stop()
})

const example = (...args: readonly string[]) =>
  run(process.execPath, [SCRIPT, '--url', server.url, ...args], {
    env: { PATH: process.env['PATH'], CALLHALF_PROVISIONING_KEY: key },
    timeout: 20_000,
  })

test('the example finds numbers, holds and orders them, and gives them back', async () => {
  const { stdout } = await example('--area', '503', '--count', '2', '--give-back')
  const lines = stdout.trimEnd().split('\n')
  expect(lines.slice(0, 2)).toEqual(['+15035550100 for 1.00 USD', '+15035550101 for 1.00 USD'])
  expect(lines[2]).toMatch(/^held until \d{4}-/)
  expect(lines.filter((line) => line.endsWith(': completed'))).toHaveLength(2)
  expect(lines).toContain('in service: +15035550100 +15035550101')
})

test('the example says what is wrong, in a word for programs and in words', async () => {
  const failure = await example('--customer', 'cus_nobody', '--area', '503').catch((error: unknown) => error)
  expect(failure).toMatchObject({ code: 1, stderr: expect.stringContaining('customer_not_found') })
})
