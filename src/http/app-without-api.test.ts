import { expect, test } from 'vitest'
import { absentHttpDeps } from '../../test/support/absent-http-deps.ts'
import { createHttpApp } from './app.ts'

/** What a process without the `http` role serves. */
const app = createHttpApp({
  ...absentHttpDeps(),
  servesApi: false,
  readiness: () => ({ ready: true, checks: {} }),
})

test.each(['/healthz', '/readyz', '/metrics'])('%s is served without the http role', async (path) => {
  expect((await app.request(path)).status).toBe(200)
})

test.each(['/admin/networks', '/apps/some/calls', '/apps/some/stream', '/openapi.json', '/docs'])(
  '%s is not there without the http role',
  async (path) => {
    expect((await app.request(path)).status).toBe(404)
  },
)
