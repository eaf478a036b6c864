import { Counter, Gauge, Histogram } from 'prom-client'
import type { Registry } from 'prom-client'
import type { DeliveryClass } from '../core/delivery-policy.ts'
import type { AttemptOutcome, AttemptTiming } from '../core/delivery-record.ts'

/** Whether it was the first request for an event, or one after a failure. */
type AttemptKind = 'first' | 'retry'

/** What became of one request, as far as metrics tell. */
type MeasuredAttempt = {
  readonly class: DeliveryClass
  /** From 1. */
  readonly number: number
  readonly isReplay: boolean
  /** When the event happened, in milliseconds since the epoch; so is `startedAt`. */
  readonly occurredAt: number
  readonly startedAt: number
  readonly timing: AttemptTiming
  readonly outcome: AttemptOutcome
  readonly reused: boolean | undefined
}

/** Fine where deliveries are meant to be: between 5 and 50 ms. */
const FINE_SECONDS = [
  0.001, 0.0025, 0.005, 0.0075, 0.01, 0.0125, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.075, 0.1, 0.25, 0.5, 1, 2.5, 5,
  10,
]
const HOUR_SECONDS = 3_600
/** Up to where the last retry of a record may be. */
const LATENCY_SECONDS = [
  ...FINE_SECONDS,
  30,
  60,
  600,
  HOUR_SECONDS,
  6 * HOUR_SECONDS,
  24 * HOUR_SECONDS,
  72 * HOUR_SECONDS,
]

/** What the delivery engine tells Prometheus. No label names a tenant. */
export class WebhookMetrics {
  /** `outcome` is `delivered`, `gone` or a failure reason. */
  readonly #attempts: Counter<'outcome' | 'class'>
  readonly #attemptSeconds: Histogram
  readonly #sendLatencySeconds: Histogram<'class' | 'attempt'>
  readonly #deliveryLatencySeconds: Histogram<'class' | 'attempt'>
  readonly #connections: Counter<'reused'>
  /** Lanes worked on, by whether a job was needed for it. */
  readonly drains: Counter<'by'>
  /** Entries of a log that could not be read any more. */
  readonly gaps: Counter<'reason'>
  /** Wake-ups that the sweeper had to repeat. */
  readonly healed: Counter
  /** Endpoints that the gateway disabled. */
  readonly disabled: Counter<'reason'>
  readonly inFlight: Gauge
  /** Events taken from a log and not yet delivered. */
  readonly pending: Gauge
  /** Set by the sweeper from the store's `status`. */
  readonly breakers: Gauge<'state'>
  /** Age of the wake-up that has waited for a worker for the longest since it was due. */
  readonly queueAgeSeconds: Gauge
  /** Of lanes that have no wake-up because they wait for a slot or behind a gate; by the class of their first event. */
  readonly waitingAgeSeconds: Gauge<'class'>
  readonly clockOffsetSeconds: Gauge

  constructor(registry: Registry) {
    const registers = [registry]
    const gauge = (name: string, help: string) => new Gauge({ name, help, registers })
    const counter = <Label extends string>(name: string, help: string, ...labelNames: Label[]) =>
      new Counter({ name, help, labelNames, registers })
    const latency = (name: string, help: string) =>
      new Histogram({ name, help, labelNames: ['class', 'attempt'], buckets: LATENCY_SECONDS, registers })
    this.#attempts = counter(
      'callhalf_webhook_attempts_total',
      'HTTP requests sent to webhook endpoints',
      'outcome',
      'class',
    )
    this.#attemptSeconds = new Histogram({
      name: 'callhalf_webhook_attempt_seconds',
      help: 'Duration of one HTTP request to a webhook endpoint',
      buckets: FINE_SECONDS,
      registers,
    })
    this.#sendLatencySeconds = latency(
      'callhalf_webhook_send_latency_seconds',
      'Time from the event to its request being sent to an endpoint, replays left out',
    )
    this.#deliveryLatencySeconds = latency(
      'callhalf_webhook_delivery_latency_seconds',
      'Time from the event to the 2xx of an endpoint, replays left out',
    )
    this.#connections = counter(
      'callhalf_webhook_connections_total',
      'HTTP requests to webhook endpoints that reached a connection, by whether an earlier one had opened it',
      'reused',
    )
    this.drains = counter(
      'callhalf_webhook_drains_total',
      'Lanes worked on, at once (direct) or by a job of the queue',
      'by',
    )
    this.gaps = counter('callhalf_webhook_log_gaps_total', 'Gaps in an app log met while dispatching', 'reason')
    this.healed = counter('callhalf_webhook_wakeups_healed_total', 'Wake-ups that had been lost and were repeated')
    this.disabled = counter('callhalf_webhook_endpoints_disabled_total', 'Endpoints disabled by the gateway', 'reason')
    this.inFlight = gauge('callhalf_webhook_in_flight', 'HTTP requests to webhook endpoints under way in this process')
    this.pending = gauge(
      'callhalf_webhook_pending',
      'Events taken from the logs and not yet delivered, over all instances',
    )
    this.breakers = new Gauge({
      name: 'callhalf_webhook_breakers',
      help: 'Endpoints whose circuit breaker is not closed, over all instances',
      labelNames: ['state'],
      registers,
    })
    this.queueAgeSeconds = gauge(
      'callhalf_webhook_queue_age_seconds',
      'How long the oldest wake-up that is due has waited for a worker, over all instances',
    )
    this.waitingAgeSeconds = new Gauge({
      name: 'callhalf_webhook_waiting_age_seconds',
      help: 'Age of the oldest event that waits for a slot of its endpoint or behind its gate, over all instances',
      labelNames: ['class'],
      registers,
    })
    this.clockOffsetSeconds = gauge(
      'callhalf_redis_clock_offset_seconds',
      'How far the clock of Redis is ahead of the one of this machine; below 0.1 s it counts as 0',
    )
  }

  countAttempt(attempt: MeasuredAttempt): void {
    const { class: kind, occurredAt, startedAt, timing, outcome, reused } = attempt
    this.#attempts.inc({ outcome, class: kind })
    this.#attemptSeconds.observe(timing.totalMs / 1_000)
    if (reused !== undefined) this.#connections.inc({ reused: String(reused) })
    // Of a replay the time since the event says nothing about how fast the gateway is.
    if (attempt.isReplay) return
    const labels = { class: kind, attempt: (attempt.number === 1 ? 'first' : 'retry') satisfies AttemptKind }
    const { dnsMs = 0, connectMs = 0, tlsMs = 0, firstByteMs, totalMs } = timing
    const sentAt = startedAt + dnsMs + connectMs + tlsMs
    // Without an answer nobody knows whether it was sent at all.
    if (firstByteMs !== undefined) this.#sendLatencySeconds.observe(labels, seconds(sentAt - occurredAt))
    if (outcome !== 'delivered') return
    const answeredAt = firstByteMs === undefined ? startedAt + totalMs : sentAt + firstByteMs
    this.#deliveryLatencySeconds.observe(labels, seconds(answeredAt - occurredAt))
  }
}

/** Never negative: an event's time may be another machine's. */
const seconds = (ms: number): number => Math.max(0, ms) / 1_000
