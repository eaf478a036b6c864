import { Counter, Gauge } from 'prom-client'
import type { Registry } from 'prom-client'
import type { DeliveryFact } from '../core/delivery-record.ts'

/** What the recorder tells Prometheus. */
export class RecorderMetrics {
  readonly written: Counter<'kind'>
  /** Deliveries that ended, however they did. An alert belongs on `expired` and `dropped`. */
  readonly ended: Counter<'status' | 'class'>
  /** How far the records are behind: 0 when everything is written, and in a process that does not write. */
  readonly lagSeconds: Gauge
  /** Facts dropped before they were written: an alert belongs on this. */
  readonly lost: Counter<'reason'>

  constructor(registry: Registry) {
    const registers = [registry]
    this.written = new Counter({
      name: 'callhalf_webhook_records_written_total',
      help: 'Facts about deliveries written to the records, repetitions included',
      labelNames: ['kind'] satisfies (keyof Pick<DeliveryFact, 'kind'>)[],
      registers,
    })
    this.ended = new Counter({
      name: 'callhalf_webhook_ended_total',
      help: 'Deliveries that came to an end, by how; each is counted when its end is recorded, by the process that does it',
      labelNames: ['status', 'class'],
      registers,
    })
    this.lagSeconds = new Gauge({
      name: 'callhalf_webhook_records_lag_seconds',
      help: 'Age of the oldest fact about deliveries that is being written',
      registers,
    })
    this.lost = new Counter({
      name: 'callhalf_webhook_records_lost_total',
      help: 'Facts about deliveries that never reached the records: overflow (away for too long), refused or malformed',
      labelNames: ['reason'],
      registers,
    })
  }
}
