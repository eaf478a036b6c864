import { afterEach, expect, test } from 'vitest'
import { systemClock } from './core/clock.ts'
import { Readiness, type ReadinessProbe } from './readiness.ts'

let readiness: Readiness | undefined
afterEach(() => readiness?.stop())

async function start(probes: Record<string, ReadinessProbe>): Promise<Readiness> {
  readiness = new Readiness({ probes, clock: systemClock })
  await readiness.start()
  return readiness
}

const works: ReadinessProbe = async () => undefined

test('with every part working it is ready', async () => {
  expect((await start({ redis: works, records: works })).current().ready).toBe(true)
})

const broken: readonly [how: string, probe: ReadinessProbe, detail: string][] = [
  ['says what is wrong', async () => 'is read-only', 'is read-only'],
  ['rejects', () => Promise.reject(new Error('no')), 'does not answer'],
  ['hangs', () => new Promise(() => undefined), 'does not answer'],
]

test.each(broken)('a part that %s makes it not ready and is named', async (_how, probe, detail) => {
  const { ready, checks } = (await start({ redis: probe, records: works })).current()
  expect(ready).toBe(false)
  expect(checks['redis']).toEqual({ ready: false, detail })
  expect(checks['records']).toEqual({ ready: true })
})

test('a part that recovers makes it ready again', async () => {
  let isWell = false
  const started = await start({ redis: async () => (isWell ? undefined : 'down') })
  expect(started.current().ready).toBe(false)
  isWell = true
  await expect.poll(() => started.current().ready, { timeout: 5_000 }).toBe(true)
})

test('a process that drains is not ready, whatever works', async () => {
  const started = await start({ redis: works })
  started.drain()
  expect(started.current()).toMatchObject({ ready: false, checks: { lifecycle: { ready: false } } })
})
