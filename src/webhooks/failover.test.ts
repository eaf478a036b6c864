import { afterEach, expect, test } from 'vitest'
import { messageOf, targetAt } from '../../test/support/deliverer.ts'
import { DelivererRig } from '../../test/support/deliverer-rig.ts'
import { WebhookReceiver } from '../../test/support/webhook-receiver.ts'
import type { Answer } from '../../test/support/webhook-receiver.ts'
import type { AttemptMessage, AttemptReport } from './attempt.ts'
import type { Deliverer } from './deliverer.ts'

const rig = new DelivererRig()
afterEach(() => rig.clean())

const unusedUrl = async (): Promise<string> => {
  const receiver = await new WebhookReceiver().start()
  const { url } = receiver
  await receiver.stop()
  return url
}

type Pair = { readonly url: string; readonly failoverUrl: string }

const send = (
  deliverer: Deliverer,
  { url, failoverUrl }: Pair,
  message: Partial<AttemptMessage> = {},
  signal = new AbortController().signal,
) => deliverer.attempt(targetAt(url, { failoverUrl }), messageOf(message), signal)

const summary = (reports: readonly AttemptReport[]) =>
  reports.map(({ target, outcome }) => `${target} ${outcome.kind === 'failed' ? outcome.reason : outcome.kind}`)

const answering =
  (status: number): Answer =>
  (res) =>
    res.writeHead(status).end()

test('the failover URL gets the same message, marked and counted, when the primary refuses', async () => {
  const failover = await rig.startReceiver()
  const pair = { url: await unusedUrl(), failoverUrl: failover.url }
  const reports = await send(rig.start(), pair, { number: 4, messageId: 'msg_9' })
  expect(summary(reports)).toEqual(['primary connect_refused', 'failover delivered'])
  expect(failover.received[0]?.headers).toMatchObject({
    'webhook-id': 'msg_9',
    'callhalf-attempt': '5',
    'callhalf-target': 'failover',
    'callhalf-event': 'call.ringing',
  })
})

test('the failover URL is not tried any more when the event has expired meanwhile', async () => {
  const primary = await rig.startReceiver(() => undefined)
  const failover = await rig.startReceiver()
  const pair = { url: primary.url, failoverUrl: failover.url }
  const reports = await send(rig.start(), pair, { timeoutMs: 1_000, expiresInMs: 300 })
  expect(summary(reports)).toEqual(['primary timeout'])
  expect(failover.received).toEqual([])
})

test.each([502, 503, 504])('the failover URL is tried after a %d', async (status) => {
  const primary = await rig.startReceiver(answering(status))
  const failover = await rig.startReceiver()
  const reports = await send(rig.start(), { url: primary.url, failoverUrl: failover.url })
  expect(summary(reports)).toEqual(['primary http_status', 'failover delivered'])
  expect(primary.received[0]?.headers['callhalf-target']).toBeUndefined()
})

test.each([200, 307, 400, 401, 404, 410, 429, 500])(
  'a %d is the receiver’s word, and nobody else is asked',
  async (status) => {
    const primary = await rig.startReceiver(answering(status))
    const failover = await rig.startReceiver()
    const reports = await send(rig.start(), { url: primary.url, failoverUrl: failover.url })
    expect(reports).toHaveLength(1)
    expect(failover.received).toHaveLength(0)
  },
)

test('a primary that hangs gets 60 % of the time, and the failover URL the rest', async () => {
  const primary = await rig.startReceiver(() => undefined)
  const failover = await rig.startReceiver(() => undefined)
  const startedAt = performance.now()
  const reports = await send(rig.start(), { url: primary.url, failoverUrl: failover.url }, { timeoutMs: 1_000 })
  const ms = performance.now() - startedAt
  expect(summary(reports)).toEqual(['primary timeout', 'failover timeout'])
  expect(reports[0]?.timing.totalMs).toBeGreaterThanOrEqual(595)
  expect(reports[0]?.timing.totalMs).toBeLessThan(750)
  expect(ms).toBeLessThan(1_150)
})

test('an attempt that is stopped before the primary is known has no report', async () => {
  const stopping = new AbortController()
  const primary = await rig.startReceiver(() => stopping.abort())
  const failover = await rig.startReceiver()
  const pair = { url: primary.url, failoverUrl: failover.url }
  expect(await send(rig.start(), pair, {}, stopping.signal)).toEqual([])
  expect(failover.received).toHaveLength(0)
})

test('an attempt that is stopped during the failover has the primary’s report', async () => {
  const stopping = new AbortController()
  const failover = await rig.startReceiver(() => stopping.abort())
  const pair = { url: await unusedUrl(), failoverUrl: failover.url }
  expect(summary(await send(rig.start(), pair, {}, stopping.signal))).toEqual(['primary connect_refused'])
})

test('a primary that was down three times is passed over, probed every ten seconds, and comes back', async () => {
  let now = 0
  let status = 503
  const primary = await rig.startReceiver((res) => res.writeHead(status).end())
  const failover = await rig.startReceiver()
  const pair = { url: primary.url, failoverUrl: failover.url }
  const deliverer = rig.start({ clock: { now: () => now, monotonic: () => now } })
  const round = async () => summary(await send(deliverer, pair))

  for (let i = 0; i < 3; i += 1) expect(await round()).toEqual(['primary http_status', 'failover delivered'])
  expect(await round()).toEqual(['failover delivered'])
  now = 9_999
  expect(await round()).toEqual(['failover delivered'])
  now = 10_000
  expect(await round()).toEqual(['primary http_status', 'failover delivered'])
  expect(await round()).toEqual(['failover delivered'])
  status = 200
  now = 20_000
  expect(await round()).toEqual(['primary delivered'])
  expect(await round()).toEqual(['primary delivered'])
})

test('when the failover URL comes first and is down, the primary is tried after all', async () => {
  let status = 503
  const primary = await rig.startReceiver((res) => res.writeHead(status).end())
  const failover = await rig.startReceiver((res) => res.writeHead(status === 503 ? 200 : 502).end())
  const pair = { url: primary.url, failoverUrl: failover.url }
  const deliverer = rig.start()
  for (let i = 0; i < 3; i += 1) await send(deliverer, pair)
  status = 200
  expect(summary(await send(deliverer, pair))).toEqual(['failover http_status', 'primary delivered'])
  expect(primary.received.at(-1)?.headers['callhalf-attempt']).toBe('2')
  expect(summary(await send(deliverer, pair))).toEqual(['primary delivered'])
})
