import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { useRedis } from '../support/use-redis.ts'
import { StreamRig } from '../support/stream-rig.ts'
import type { RigApp } from '../support/stream-rig.ts'
import { until } from '../support/until.ts'

const redis = useRedis()
let rig: StreamRig
const cleanups: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  rig = await new StreamRig(redis).start()
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})
afterAll(() => rig.stop())

/** The example as a process, with everything it has printed. */
function run(app: RigApp) {
  const script = join(import.meta.dirname, '../../examples/live-calls.ts')
  const example = spawn(process.execPath, [script, '--app', app.appId, '--url', rig.server.url], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, CALLHALF_API_KEY: app.key },
  })
  const exited = once(example, 'exit')
  const printed = { text: '' }
  example.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    printed.text += chunk
  })
  cleanups.push(() => {
    example.kill()
    return exited
  })
  return {
    printed,
    exitCode: () => until('the exit of the example', () => example.exitCode ?? undefined),
    shows: (part: string) => until(part, () => (printed.text.includes(part) ? true : undefined)),
  }
}

test('the example shows the live calls', async () => {
  const app = rig.addApp()
  await rig.commitCall(app, 'call-1', 'ringing')
  const { printed, shows } = run(app)
  await shows('1 live calls (connected)')
  expect(printed.text).toMatch(new RegExp(`ringing +${app.subscriberId} +<- \\+15550199`))
})

test.each([
  ['without a valid key', (app: RigApp) => ({ ...app, key: 'nobody' }), 401],
  ['for an app that the key is not of', (app: RigApp) => ({ ...rig.addApp(), key: app.key }), 404],
])('the example stops %s', async (_, change, status) => {
  const { printed, exitCode } = run(change(rig.addApp()))
  expect(await exitCode()).toBe(1)
  expect(printed.text).toContain(`no stream token: ${status}`)
})

test('the example, told that its key is gone, tries it once and stops', async () => {
  const app = rig.addApp()
  const { printed, exitCode, shows } = run(app)
  await shows('connected')
  rig.revokeKey(app)
  await shows('unauthorized, again in')
  expect(await exitCode()).toBe(1)
  expect(printed.text).toContain('no stream token: 401')
})
