import { setTimeout as delay } from 'node:timers/promises'
import {
  connect,
  type LiveCall,
  type Position,
  type StreamClient,
  type TransportName,
} from '../../src/client/client.ts'
import { BreakableNetwork } from '../../test/support/breakable-network.ts'
import type { Arrival } from '../soak/recording-app.ts'

/** A port on which nobody listens, so that whoever is away is refused. */
const NOWHERE = 1
const LIMITS = { backoffMinMs: 50, backoffMaxMs: 1_000, openTimeoutMs: 5_000, stableMs: 1_000, refreshDelayMs: 100 }

export type WandererOptions = {
  readonly appId: string
  readonly apiKey: string
  readonly transport: TransportName
  /** The port of an instance that is there. */
  readonly pickPort: () => number
}

/** A client of the library whose network goes away and comes back, and that writes down what it was told. */
export class Wanderer {
  readonly transport: TransportName
  readonly arrivals: Arrival[] = []
  /** When it was told that events were lost. */
  readonly gapsAnnouncedAt: number[] = []
  /** What contradicts a `recovered: true`, or the order of the log. */
  readonly problems: string[] = []
  recovered = 0
  fresh = 0
  readonly #options: WandererOptions
  readonly #network: BreakableNetwork
  readonly #client: StreamClient
  #isAway = false
  #last: Position | undefined

  private constructor(network: BreakableNetwork, options: WandererOptions) {
    this.#network = network
    this.#options = options
    this.transport = options.transport
    this.#client = connect({
      url: network.url,
      appId: options.appId,
      apiKey: options.apiKey,
      transports: [options.transport],
      limits: LIMITS,
      onState: (state) => {
        if (state.name !== 'live') return
        if (state.recovered) this.recovered += 1
        else this.fresh += 1
      },
      onEvent: ({ event, position, data }) => {
        this.#follow(position)
        if ('call_id' in data) this.arrivals.push(toArrival(data, { event, isSnapshot: false }))
      },
      onSnapshot: ({ calls, lost, position }) => {
        // A snapshot without a loss leaves the events where they were.
        if (lost !== undefined) this.gapsAnnouncedAt.push(performance.now())
        if (lost !== undefined || this.#last === undefined) this.#last = position
        for (const call of calls) this.arrivals.push(toArrival(call, { event: 'snapshot', isSnapshot: true }))
      },
    })
  }

  static async start(options: WandererOptions): Promise<Wanderer> {
    const network = await new BreakableNetwork(options.pickPort()).start()
    return new Wanderer(network, options)
  }

  get isLive(): boolean {
    return this.#client.state.name === 'live'
  }

  get position(): Position | undefined {
    return this.#client.position
  }

  calls(): ReadonlyMap<string, LiveCall> {
    return this.#client.calls()
  }

  /** Loses its network for a time, and has another instance at its end afterwards, perhaps. */
  async wander(awayMs: number): Promise<void> {
    this.#isAway = true
    this.#network.port = NOWHERE
    this.#network.break()
    await delay(awayMs)
    this.#isAway = false
    this.route()
  }

  /** Connections lead to an instance that is there from now on. */
  route(): void {
    if (!this.#isAway) this.#network.port = this.#options.pickPort()
  }

  async stop(): Promise<void> {
    await this.#client.close()
    await this.#network.stop()
  }

  /** Without a filter every entry of the log is told: each event follows on the one before it. */
  #follow(position: Position): void {
    const last = this.#last
    this.#last = position
    if (last === undefined) return
    const follows = last.epoch === position.epoch && position.offset === last.offset + 1
    if (follows) return
    this.problems.push(
      `${this.transport}: ${position.epoch}:${position.offset} was told after ${last.epoch}:${last.offset}`,
    )
  }
}

function toArrival(
  call: LiveCall,
  { event, isSnapshot }: { readonly event: string; readonly isSnapshot: boolean },
): Arrival {
  return {
    snapshot: isSnapshot,
    callId: call.call_id,
    subscriberId: call.subscriber_id,
    sequence: Number(call.sequence_number),
    state: call.state,
    event,
    synthetic: 'synthetic' in call && call.synthetic === true,
    at: performance.now(),
  }
}
