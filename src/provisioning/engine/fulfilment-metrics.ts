import { Counter, Gauge, Histogram } from 'prom-client'
import type { Registry } from 'prom-client'

const CALL_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20]

/** What the order engine tells Prometheus. No label names a customer. */
export class FulfilmentMetrics {
  /** `call` is execute, poll, find or cancel; `outcome` what the provider said. */
  readonly calls: Counter<'provider' | 'call' | 'outcome'>
  readonly callSeconds: Histogram<'provider'>
  /** Fulfilments that need an operator. */
  readonly stuck: Counter<'provider'>
  readonly inFlight: Gauge<'provider'>
  /** How long the fulfilment that is due for the longest has been. */
  readonly queueAgeSeconds: Gauge
  readonly openOrders: Gauge<'state'>
  /** Callbacks of providers, by whether they named something that we know. */
  readonly reports: Counter<'provider' | 'known'>

  constructor(registry: Registry) {
    const registers = [registry]
    this.calls = new Counter({
      name: 'callhalf_provisioning_provider_calls_total',
      help: 'Calls to providers of numbers, by what they were for and what came of them',
      labelNames: ['provider', 'call', 'outcome'],
      registers,
    })
    this.callSeconds = new Histogram({
      name: 'callhalf_provisioning_provider_call_seconds',
      help: 'Duration of one call to a provider of numbers',
      labelNames: ['provider'],
      buckets: CALL_SECONDS,
      registers,
    })
    this.stuck = new Counter({
      name: 'callhalf_provisioning_stuck_total',
      help: 'Fulfilments that wait for an operator since',
      labelNames: ['provider'],
      registers,
    })
    this.inFlight = new Gauge({
      name: 'callhalf_provisioning_in_flight',
      help: 'Fulfilments worked on in this process',
      labelNames: ['provider'],
      registers,
    })
    this.queueAgeSeconds = new Gauge({
      name: 'callhalf_provisioning_queue_age_seconds',
      help: 'How long the fulfilment that has been due for the longest has waited, over all instances',
      registers,
    })
    this.openOrders = new Gauge({
      name: 'callhalf_provisioning_open_orders',
      help: 'Orders that are not final, over all instances',
      labelNames: ['state'],
      registers,
    })
    this.reports = new Counter({
      name: 'callhalf_provisioning_reports_total',
      help: 'Callbacks of providers, by whether they were about something known',
      labelNames: ['provider', 'known'],
      registers,
    })
  }
}
