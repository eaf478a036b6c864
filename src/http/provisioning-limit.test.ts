import { Hono } from 'hono'
import * as v from 'valibot'
import { expect, test } from 'vitest'
import type { Scope } from '../core/provisioning-scope.ts'
import { Authenticator } from './authentication.ts'
import type { HttpEnv } from './context.ts'
import { observeRequests } from './observe.ts'
import { operationFactory } from './operation.ts'
import { toProblemResponse } from './problem.ts'
import { silentLogger } from '../core/logger.ts'
import { systemClock } from '../core/clock.ts'
import { HttpMetrics } from './metrics.ts'
import { Registry } from 'prom-client'

const AT_ONCE = 6
const ALLOWED = 206

const authenticate = (key: string): Promise<Scope> =>
  Promise.resolve({ kind: 'key', keyId: key, appId: key.slice(0, 1) })

/** An operation that is answered when it is told to, for keys that begin with their app's name. */
function startOperation() {
  const nobody = { authenticate: () => Promise.resolve(undefined), find: () => Promise.resolve(undefined) }
  const define = operationFactory(
    new Authenticator({
      apps: nobody,
      directory: { app: () => undefined },
      provisioningKeys: { authenticate },
      adminKey: 'boss',
    }),
  )
  let running = 0
  let runningMost = 0
  const gate = Promise.withResolvers<void>()
  const app = new Hono<HttpEnv>()
  app.use(observeRequests({ clock: systemClock, log: silentLogger, metrics: new HttpMetrics(new Registry()) }))
  app.onError((error, c) => toProblemResponse(error, c.get('requestId')))
  const spec = { operationId: 'x', tag: 'x', summary: 'x', access: 'provisioning' as const, responses: {} }
  app.get(
    '/x',
    define({ ...spec, query: v.strictObject({}) }, async () => {
      running += 1
      runningMost = Math.max(runningMost, running)
      await gate.promise
      running -= 1
      return { status: 204 }
    }),
  )
  return {
    get: (key: string) => Promise.resolve(app.request('/x', { headers: { authorization: `Bearer ${key}` } })),
    open: () => gate.resolve(),
    running: () => running,
    runningMost: () => runningMost,
  }
}

test('one app has six requests carried out at a time and two hundred waiting; the others and the operator go on', async () => {
  const operation = startOperation()
  const requests = Array.from({ length: ALLOWED + 4 }, (_, at) => operation.get(at % 2 === 0 ? 'a1' : 'a2'))
  const refused = await Promise.race([Promise.any(requests), operation.get('a3')])
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '1'])
  const others = [operation.get('b1'), operation.get('boss')]
  await expect.poll(operation.running).toBe(AT_ONCE + others.length)
  operation.open()
  const statuses = (await Promise.all([...requests, ...others])).map(({ status }) => status)
  expect(statuses.filter((status) => status === 429)).toHaveLength(4)
  expect(statuses.filter((status) => status === 204)).toHaveLength(ALLOWED + others.length)
  expect(operation.runningMost()).toBe(AT_ONCE + others.length)
})
