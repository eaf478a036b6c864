import { Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { WebhookMetrics } from './metrics.ts'

const OCCURRED_AT = 1_700_000_000_000

const attempt = {
  class: 'act_now',
  number: 1,
  isReplay: false,
  occurredAt: OCCURRED_AT,
  startedAt: OCCURRED_AT + 4,
  timing: { dnsMs: 1, connectMs: 2, tlsMs: 3, firstByteMs: 10, totalMs: 17 },
  outcome: 'delivered',
  reused: false,
} as const

const linesOf = async (registry: Registry, name: string) =>
  (await registry.metrics()).split('\n').filter((line) => line.startsWith(name))

test('the latency counts from the event to the request, and on to the status', async () => {
  const registry = new Registry()
  new WebhookMetrics(registry).countAttempt(attempt)
  expect(await linesOf(registry, 'callhalf_webhook_send_latency_seconds_sum')).toEqual([
    'callhalf_webhook_send_latency_seconds_sum{class="act_now",attempt="first"} 0.01',
  ])
  expect(await linesOf(registry, 'callhalf_webhook_delivery_latency_seconds_sum')).toEqual([
    'callhalf_webhook_delivery_latency_seconds_sum{class="act_now",attempt="first"} 0.02',
  ])
  expect(await linesOf(registry, 'callhalf_webhook_attempts_total')).toEqual([
    'callhalf_webhook_attempts_total{outcome="delivered",class="act_now"} 1',
  ])
  expect(await linesOf(registry, 'callhalf_webhook_connections_total')).toEqual([
    'callhalf_webhook_connections_total{reused="false"} 1',
  ])
})

test('a retry has a latency of its own, and one that fails none until the status', async () => {
  const registry = new Registry()
  const metrics = new WebhookMetrics(registry)
  metrics.countAttempt({ ...attempt, number: 2, outcome: 'http_status', reused: true })
  expect(await linesOf(registry, 'callhalf_webhook_send_latency_seconds_count')).toEqual([
    'callhalf_webhook_send_latency_seconds_count{class="act_now",attempt="retry"} 1',
  ])
  expect(await linesOf(registry, 'callhalf_webhook_delivery_latency_seconds_count')).toEqual([])
})

test('a replay, and a request that nobody answered, count as attempts and have no latency', async () => {
  const registry = new Registry()
  const metrics = new WebhookMetrics(registry)
  metrics.countAttempt({ ...attempt, isReplay: true })
  metrics.countAttempt({ ...attempt, outcome: 'timeout', timing: { totalMs: 5_000 }, reused: undefined })
  expect(await linesOf(registry, 'callhalf_webhook_attempts_total')).toEqual([
    'callhalf_webhook_attempts_total{outcome="delivered",class="act_now"} 1',
    'callhalf_webhook_attempts_total{outcome="timeout",class="act_now"} 1',
  ])
  expect(await linesOf(registry, 'callhalf_webhook_send_latency_seconds_count')).toEqual([])
})

test('an event whose time is ahead of our clock has a latency of 0', async () => {
  const registry = new Registry()
  new WebhookMetrics(registry).countAttempt({ ...attempt, occurredAt: OCCURRED_AT + 60_000 })
  expect(await linesOf(registry, 'callhalf_webhook_delivery_latency_seconds_sum')).toEqual([
    'callhalf_webhook_delivery_latency_seconds_sum{class="act_now",attempt="first"} 0',
  ])
})
