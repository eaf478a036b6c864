import type { Registry } from 'prom-client'
import { Counter, Gauge } from 'prom-client'
import type { LogGap } from '../core/event-log.ts'
import type { CloseName } from './close-codes.ts'
import type { Transport } from './transport.ts'

/** How a subscribe was answered: resumed, fresh on request, or fresh because resuming was impossible. */
export type SubscribeOutcome = 'recovered' | 'fresh' | LogGap

/** What a client is connected by. */
export type StreamKind = Transport['kind'] | 'long_poll'

/** Counts what streams do. */
export class StreamMetrics {
  readonly #sessions: Gauge<'transport'>
  readonly #frames: Counter
  readonly #subscribes: Counter<'outcome'>
  readonly #gaps: Counter<'reason'>
  readonly #closes: Counter<'reason'>
  readonly #slowConsumers: Counter
  readonly #coalesced: Counter
  readonly #refusals: Counter<'reason'>
  /** Counted here first: a counter of the registry costs too much for every client of every event. */
  #framesSent = 0

  constructor(registry: Registry) {
    const registers = [registry]
    this.#sessions = new Gauge({
      name: 'callhalf_stream_sessions',
      help: 'Open stream sessions',
      labelNames: ['transport'],
      registers,
    })
    this.#frames = new Counter({
      name: 'callhalf_stream_frames_sent_total',
      help: 'Frames put on their way to clients',
      registers,
      collect: () => {
        this.#frames.inc(this.#framesSent)
        this.#framesSent = 0
      },
    })
    this.#subscribes = new Counter({
      name: 'callhalf_stream_subscribes_total',
      help: 'Subscribes by outcome: recovered, fresh, or why resuming was impossible',
      labelNames: ['outcome'],
      registers,
    })
    this.#gaps = new Counter({
      name: 'callhalf_stream_gaps_total',
      help: 'Gaps told to sessions after they had subscribed',
      labelNames: ['reason'],
      registers,
    })
    this.#closes = new Counter({
      name: 'callhalf_stream_closes_total',
      help: 'Sessions that the gateway ended, by close code name',
      labelNames: ['reason'],
      registers,
    })
    this.#slowConsumers = new Counter({
      name: 'callhalf_stream_slow_consumers_total',
      help: 'Sessions ended because the client read too slowly',
      registers,
    })
    this.#coalesced = new Counter({
      name: 'callhalf_stream_coalesced_frames_total',
      help: 'Frames left out for slow clients because later ones of the same calls followed',
      registers,
    })
    this.#refusals = new Counter({
      name: 'callhalf_stream_refusals_total',
      help: 'Streams that were not opened because of a limit, by reason',
      labelNames: ['reason'],
      registers,
    })
  }

  opened(kind: StreamKind): void {
    this.#sessions.inc({ transport: kind })
  }

  ended(kind: StreamKind): void {
    this.#sessions.dec({ transport: kind })
  }

  refused(reason: 'too_many_streams' | 'overloaded'): void {
    this.#refusals.inc({ reason })
  }

  sent(frames: number): void {
    this.#framesSent += frames
  }

  coalesced(frames: number): void {
    this.#coalesced.inc(frames)
  }

  subscribed(outcome: SubscribeOutcome): void {
    this.#subscribes.inc({ outcome })
  }

  gap(reason: LogGap): void {
    this.#gaps.inc({ reason })
  }

  closed(name: CloseName): void {
    this.#closes.inc({ reason: name })
    if (name === 'slow_consumer') this.#slowConsumers.inc()
  }
}
