import { Counter, Gauge, Histogram } from 'prom-client'
import type { Registry } from 'prom-client'

/** What became of an event. */
export type EventOutcome =
  | 'delivered'
  | 'ignored'
  | 'unassigned'
  | 'malformed'
  | 'rerouted'
  | 'undelivered'
  | 'failed'
  | 'subscription_ended'

const COVERAGE_STATES = ['wanted', 'active', 'stale', 'failed'] as const

/** Subscribers by coverage. */
export type CoverageCounts = Readonly<Record<(typeof COVERAGE_STATES)[number], number>>

/** Measurements of all BroadWorks networks of this process. Labels have few values: no subscriber, no call. */
export class BroadsoftMetrics {
  readonly channelsOpen: Gauge<'network' | 'node' | 'role'>
  readonly roleChanges: Counter<'network' | 'node' | 'role' | 'change'>
  readonly channelStopped: Gauge<'network' | 'node' | 'reason'>
  readonly channelEnds: Counter<'network' | 'node' | 'reason'>
  readonly heartbeatFailures: Counter<'network' | 'node'>
  readonly events: Counter<'network' | 'outcome'>
  readonly unknownTypes: Counter<'network'>
  readonly acks: Counter<'network' | 'status'>
  readonly ackSeconds: Histogram<'network'>
  readonly gaps: Counter<'network'>
  readonly resyncs: Counter<'network' | 'reason'>
  readonly snapshotReads: Counter<'network' | 'outcome'>
  readonly subscriptionRequests: Counter<'network' | 'operation' | 'outcome'>
  readonly subscribers: Gauge<'network' | 'state'>
  readonly #coverages = new Map<string, () => CoverageCounts>()

  constructor(registry: Registry) {
    const registers = [registry]
    const counter = <Label extends string>(name: string, help: string, labelNames: readonly Label[]) =>
      new Counter({ name: `callhalf_${name}_total`, help, labelNames, registers })
    const gauge = <Label extends string>(name: string, help: string, labelNames: readonly Label[]) =>
      new Gauge({ name: `callhalf_${name}`, help, labelNames, registers })

    const node = ['network', 'node'] as const
    const nodeReason = ['network', 'node', 'reason'] as const
    this.channelsOpen = gauge(
      'channels_open',
      'Whether the event channel to a node is open here (1) or not (0); role: the owner’s, or a standby’s',
      ['network', 'node', 'role'],
    )
    this.roleChanges = counter('channel_role_changes', 'Channels of a node that this instance took on or handed over', [
      'network',
      'node',
      'role',
      'change',
    ])
    this.channelStopped = gauge(
      'channel_stopped',
      'Alarm: a channel was given up and waits for an operator',
      nodeReason,
    )
    this.channelEnds = counter('channel_ends', 'Channels that ended or could not be opened, by reason', nodeReason)
    this.heartbeatFailures = counter('channel_heartbeat_failures', 'Heartbeats that were not answered with 200', node)
    this.events = counter('channel_events', 'Events received on channels, by what became of them', [
      'network',
      'outcome',
    ])
    this.unknownTypes = counter('channel_unknown_documents', 'Documents on channels of a type that is not known', [
      'network',
    ])
    this.acks = counter(
      'channel_acks',
      'Answers to events by status; none: left unanswered on purpose; failed: could not be sent',
      ['network', 'status'],
    )
    this.ackSeconds = new Histogram({
      name: 'callhalf_channel_ack_seconds',
      help: 'Time from the arrival of an event until the network has its acknowledgement',
      labelNames: ['network'],
      buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers,
    })
    this.gaps = counter('channel_gaps', 'Gaps found in the sequence numbers of subscriptions', ['network'])
    this.resyncs = counter('resyncs', 'Subscribers whose calls were asked to be confirmed anew, by reason', [
      'network',
      'reason',
    ])
    this.snapshotReads = counter('snapshot_reads', 'Reads of a subscriber’s calls by request, by outcome', [
      'network',
      'outcome',
    ])
    this.subscriptionRequests = counter('subscription_requests', 'Requests about subscriptions, by outcome', [
      'network',
      'operation',
      'outcome',
    ])
    this.subscribers = new Gauge({
      name: 'callhalf_network_subscribers',
      help: 'Subscribers by coverage: wanted, active, stale, failed',
      labelNames: ['network', 'state'],
      registers,
      collect: () => this.#collectCoverage(),
    })
  }

  /** Has the counts of a network asked for whenever metrics are read; the returned function ends that. */
  followCoverage(network: string, read: () => CoverageCounts): () => void {
    this.#coverages.set(network, read)
    return () => {
      this.#coverages.delete(network)
      for (const state of COVERAGE_STATES) this.subscribers.remove({ network, state })
    }
  }

  #collectCoverage(): void {
    for (const [network, read] of this.#coverages) {
      const counts = read()
      for (const state of COVERAGE_STATES) this.subscribers.set({ network, state }, counts[state])
    }
  }
}
