import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { ReleaseCause } from '../core/call.ts'
import type { IngestMetrics } from '../core/ingest-metrics.ts'
import type { Rule } from '../core/transition.ts'

/** Metrics of call state and of its writer. */
export class StateMetrics implements IngestMetrics {
  readonly #observations: Counter<'outcome' | 'rule'>
  readonly #commitSeconds: Histogram
  readonly #conflicts: Counter
  readonly #fenced: Counter
  readonly #ghosts: Counter<'cause'>
  readonly #leases: Counter<'event'>
  readonly #dataLosses: Counter
  readonly #instances: Gauge

  constructor(registry: Registry) {
    const registers = [registry]
    this.#observations = new Counter({
      name: 'callhalf_observations_total',
      help: 'Reports of networks about calls, by what they changed and the rule that decided',
      labelNames: ['outcome', 'rule'],
      registers,
    })
    this.#commitSeconds = new Histogram({
      name: 'callhalf_commit_seconds',
      help: 'Round trip of the script that stores a change',
      buckets: [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25, 1],
      registers,
    })
    this.#conflicts = new Counter({
      name: 'callhalf_commit_conflicts_total',
      help: 'Changes decided again because another writer was first',
      registers,
    })
    this.#fenced = new Counter({
      name: 'callhalf_commits_fenced_total',
      help: 'Changes refused because the sender had lost its lease',
      registers,
    })
    this.#ghosts = new Counter({
      name: 'callhalf_ghosts_released_total',
      help: 'Calls ended without a report of the network that they ended',
      labelNames: ['cause'],
      registers,
    })
    this.#leases = new Counter({
      name: 'callhalf_leases_total',
      help: 'Leases granted to this process, and those it lost',
      labelNames: ['event'],
      registers,
    })
    this.#dataLosses = new Counter({
      name: 'callhalf_store_data_losses_total',
      help: 'Times that Redis was found restarted, failed over or emptied',
      registers,
    })
    this.#instances = new Gauge({
      name: 'callhalf_instances_live',
      help: 'Gateway instances on this Redis that are alive, as this one knows',
      registers,
    })
  }

  /** Alive, this one included. */
  instances(count: number): void {
    this.#instances.set(count)
  }

  observed(outcome: 'changed' | 'noop' | 'dropped' | 'unassigned', rule: Rule | undefined): void {
    this.#observations.inc({ outcome, rule: rule ?? '' })
  }

  committed(seconds: number): void {
    this.#commitSeconds.observe(seconds)
  }

  conflicted(): void {
    this.#conflicts.inc()
  }

  fenced(): void {
    this.#fenced.inc()
  }

  ghostReleased(cause: ReleaseCause): void {
    this.#ghosts.inc({ cause })
  }

  leaseGranted(): void {
    this.#leases.inc({ event: 'granted' })
  }

  leaseLost(): void {
    this.#leases.inc({ event: 'lost' })
  }

  dataLost(): void {
    this.#dataLosses.inc()
  }
}
