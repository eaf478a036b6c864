import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildClient } from '../support/built-client.ts'
import { launchChromium } from '../support/chromium.ts'
import { addTenant, startInstallation, type Installation, type Tenant } from '../support/installation.ts'

const ANN = { id: 'ann@example.net', number: '+15550100001' }
const SCRIPT = join(import.meta.dirname, '../../examples/live-calls-page.ts')

let installation: Installation
let tenant: Tenant
let browser: Browser

beforeAll(async () => {
  installation = await startInstallation()
  tenant = await addTenant(installation, [ANN])
  browser = await launchChromium()
})
afterAll(async () => {
  await browser?.close()
  await installation?.stop()
})

test('a call appears on the page, is answered and ended there, and is gone', async () => {
  await using built = await buildClient()
  const args = [SCRIPT, '--app', tenant.appId, '--url', installation.gateway.url, '--port', '0', '--client', built.dir]
  const example = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, CALLHALF_API_KEY: tenant.apiKey },
  })
  const [line] = (await once(createInterface(example.stdout), 'line')) as [string]
  const page = await browser.newPage()
  const complaints: string[] = []
  page.on('pageerror', (error) => complaints.push(error.message))
  await page.goto(line.split(' ').at(-1) ?? '')
  await page.getByText('live', { exact: true }).waitFor()
  const path = `/users/${encodeURIComponent(ANN.id)}/incoming-calls`
  await installation.control.call('POST', path, { from: '+15550199001' })
  await page.getByRole('row', { name: /ringing ann@example.net \+15550199001/ }).waitFor()
  await page.getByRole('button', { name: 'answer' }).click()
  await page.getByRole('row', { name: /active/ }).waitFor()
  await page.getByRole('button', { name: 'end' }).click()
  await page.getByRole('row').waitFor({ state: 'detached' })
  expect(complaints).toEqual([])
  example.kill()
  await once(example, 'exit')
})
