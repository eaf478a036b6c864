import { Registry } from 'prom-client'
import { expect, test } from 'vitest'
import * as v from 'valibot'
import { systemClock } from '../core/clock.ts'
import { ShardSchema } from '../core/ids.ts'
import { silentLogger } from '../core/logger.ts'
import { createHttpApp } from './app.ts'

/** What a process without the `http` role serves; whatever else it reached for would be missing. */
const absent = undefined as never
const app = createHttpApp({
  servesApi: false,
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
  readiness: () => ({ ready: true, checks: {} }),
  registry: new Registry(),
  defaultShard: v.parse(ShardSchema, 'main'),
  clock: systemClock,
  log: silentLogger,
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
