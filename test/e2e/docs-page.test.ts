import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import * as v from 'valibot'
import { ApiRig } from '../support/api-rig.ts'
import { launchChromium } from '../support/chromium.ts'
import { serveApp } from '../support/serve-app.ts'
import { until } from '../support/until.ts'

const DocumentSchema = v.object({
  paths: v.record(v.string(), v.record(v.string(), v.looseObject({ tags: v.array(v.string()) }))),
})

let rig: ApiRig
let server: Awaited<ReturnType<typeof serveApp>>
let browser: Browser
let origin: string

beforeAll(async () => {
  rig = await ApiRig.start()
  server = await serveApp(rig.app.fetch)
  origin = server.url
  browser = await launchChromium()
})
afterAll(async () => {
  await browser?.close()
  server?.stop()
  await rig?.stop()
})

it('the page shows every section and its operations, asks no other host and breaks no policy of its own', async () => {
  const page = await browser.newPage()
  const requested: string[] = []
  const complaints: string[] = []
  page.on('request', (request) => requested.push(request.url()))
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))
  page.on('pageerror', (error) => complaints.push(error.message))

  await page.goto(`${origin}/docs`)
  await page.waitForSelector('.opblock-tag[data-tag="Calls"]', { timeout: 20_000 })
  const document = v.parse(DocumentSchema, await (await fetch(`${origin}/openapi.json`)).json())
  const operations = Object.values(document.paths).flatMap((methods) => Object.values(methods))
  const tags = new Set(operations.flatMap((operation) => operation.tags))
  await until('every section', async () => (await page.locator('.opblock-tag').count()) === tags.size || undefined)
  await page.locator('.opblock-tag[data-tag="Calls"]').click()
  const calls = operations.filter((operation) => operation.tags.includes('Calls')).length
  const shown = page.locator('.opblock:has([id^="operations-Calls"]), .opblock[id^="operations-Calls"]')
  await until('every operation of a section', async () => (await shown.count()) === calls || undefined)

  await page.locator('#operations-Calls-placeCall button.opblock-summary-control').click()
  await page.waitForSelector('#operations-Calls-placeCall .opblock-body')
  expect(await page.locator('#operations-Calls-placeCall').innerText()).toContain('Idempotency-Key')

  const elsewhere = requested.filter((url) => !url.startsWith(`${origin}/`) && !url.startsWith('data:'))
  expect(elsewhere).toEqual([])
  expect(complaints).toEqual([])
  await page.close()
})

it('the page may run scripts of this server only', async () => {
  const response = await fetch(`${origin}/docs`)
  const policy = response.headers.get('content-security-policy') ?? ''
  expect(policy).toContain("default-src 'none'")
  expect(policy).toContain("script-src 'self';")
  expect(await response.text()).not.toMatch(/<script>|onload=|https?:/)
})
