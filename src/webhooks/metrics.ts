import { Counter, Gauge, Histogram } from 'prom-client'
import type { Registry } from 'prom-client'

/** What the delivery engine tells Prometheus. No label names a tenant. */
export class WebhookMetrics {
  /** `outcome` is `delivered`, `gone` or a failure reason. */
  readonly attempts: Counter<'outcome'>
  readonly attemptSeconds: Histogram
  /** From the moment an event was taken from the log to the receiver's 2xx. */
  readonly deliverySeconds: Histogram
  /** Events given up, by reason: an alert belongs on this. */
  readonly dropped: Counter<'reason'>
  /** Entries of a log that could not be read any more. */
  readonly gaps: Counter<'reason'>
  /** Wake-ups that the sweeper had to repeat. */
  readonly healed: Counter
  readonly inFlight: Gauge
  /** Events taken from a log and not yet delivered. */
  readonly pending: Gauge

  constructor(registry: Registry) {
    const registers = [registry]
    const seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
    this.attempts = new Counter({
      name: 'callhalf_webhook_attempts_total',
      help: 'HTTP requests sent to webhook endpoints',
      labelNames: ['outcome'],
      registers,
    })
    this.attemptSeconds = new Histogram({
      name: 'callhalf_webhook_attempt_seconds',
      help: 'Duration of one HTTP request to a webhook endpoint',
      buckets: seconds,
      registers,
    })
    this.deliverySeconds = new Histogram({
      name: 'callhalf_webhook_delivery_seconds',
      help: 'Time from taking an event from the log to its delivery, retries included',
      buckets: [...seconds, 60, 600, 3_600, 21_600, 86_400, 259_200],
      registers,
    })
    this.dropped = new Counter({
      name: 'callhalf_webhook_dropped_total',
      help: 'Events that were given up for an endpoint',
      labelNames: ['reason'],
      registers,
    })
    this.gaps = new Counter({
      name: 'callhalf_webhook_log_gaps_total',
      help: 'Gaps in an app log met while dispatching',
      labelNames: ['reason'],
      registers,
    })
    this.healed = new Counter({
      name: 'callhalf_webhook_wakeups_healed_total',
      help: 'Wake-ups that had been lost and were repeated',
      registers,
    })
    this.inFlight = new Gauge({
      name: 'callhalf_webhook_in_flight',
      help: 'HTTP requests to webhook endpoints under way in this process',
      registers,
    })
    this.pending = new Gauge({
      name: 'callhalf_webhook_pending',
      help: 'Events taken from the logs and not yet delivered, over all instances',
      registers,
    })
  }
}
