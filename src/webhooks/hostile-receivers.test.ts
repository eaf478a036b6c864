import { afterAll, beforeAll, expect, test } from 'vitest'
import { createDeliverer, messageOf, targetAt } from '../../test/support/deliverer.ts'
import { startHostileReceivers } from '../../test/support/hostile-receivers.ts'
import type { HostileReceiver } from '../../test/support/hostile-receivers.ts'
import { WebhookReceiver } from '../../test/support/webhook-receiver.ts'
import type { Deliverer } from './deliverer.ts'
import { nameOf } from './outcome.ts'

const TIMEOUT_MS = 400
let receivers: readonly HostileReceiver[] = []
let stopReceivers: () => Promise<void>
let deliverer: Deliverer

beforeAll(async () => {
  const started = await startHostileReceivers()
  receivers = started.receivers
  stopReceivers = started.stop
  deliverer = createDeliverer()
  deliverer.start()
})
afterAll(async () => {
  await deliverer.stop()
  await stopReceivers()
})

const attempt = async (url: string) => {
  const beganAt = performance.now()
  const message = messageOf({ timeoutMs: TIMEOUT_MS })
  const [report] = await deliverer.attempt(targetAt(url), message, new AbortController().signal)
  return { report, ms: performance.now() - beganAt }
}

test('every attempt at a hostile receiver ends by its deadline, as what it is', async () => {
  expect(receivers.length).toBeGreaterThanOrEqual(15)
  for (const { name, url, outcome, lasts } of receivers) {
    // Several at a time, and one that may find a socket of theirs.
    const attempts = [...(await Promise.all([attempt(url), attempt(url), attempt(url)])), await attempt(url)]
    for (const { report, ms } of attempts) {
      expect({
        name,
        outcome: report && nameOf(report.outcome),
        inTime: ms < TIMEOUT_MS + 300 && (lasts === undefined || ms > TIMEOUT_MS - 10),
        keptTooMuch: (report?.response?.length ?? 0) > 4_096,
      }).toEqual({ name, outcome, inTime: true, keptTooMuch: false })
    }
  }
})

const urlOf = (name: string): string => receivers.find((receiver) => receiver.name === name)?.url ?? ''

test('what is delivered in spite of it has its status and the beginning of its body', async () => {
  expect((await attempt(urlOf('endless body'))).report).toMatchObject({
    outcome: { kind: 'delivered', status: 200 },
    response: 'x'.repeat(4_096),
  })
  expect((await attempt(urlOf('body that never goes on'))).report).toMatchObject({ response: 'ok' })
  expect((await attempt(urlOf('a byte every 100 ms'))).report?.response).toMatch(/^\.{2,4}$/)
  expect((await attempt(urlOf('body shorter than it says'))).report).toMatchObject({ response: 'ab' })
})

test('hostile receivers do not slow down others', async () => {
  const receiver = await new WebhookReceiver().start()
  const hostile = receivers.flatMap(({ url }) => Array.from({ length: 10 }, () => attempt(url)))
  const friendly = await Promise.all(Array.from({ length: 50 }, () => attempt(receiver.url)))
  for (const { report } of friendly) expect(report?.outcome).toEqual({ kind: 'delivered', status: 200 })
  await Promise.all(hostile)
  await receiver.stop()
})
