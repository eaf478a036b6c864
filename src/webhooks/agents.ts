import { createSecureContext } from 'node:tls'
import type { SecureContext } from 'node:tls'
import { Agent, errors } from 'undici'
import type { buildConnector, Dispatcher } from 'undici'

export type AgentsOptions = {
  /** A connector of its own for each trust, so that no socket or session is shared between two. */
  readonly createConnector: (secureContext: SecureContext) => buildConnector.connector
  /** Sockets per origin. */
  readonly connections: number
}

/** Endpoints with their own authorities whose sockets are kept open at a time. */
const PRIVATE_AGENTS_MAX = 100
const ORIGINS_MAX = 4_096

/**
 * The connection pools: one agent for receivers that public authorities vouch for, one for each set of
 * private authorities, and one without keep-alive for what comes when there are too many origins.
 */
export class Agents {
  readonly #options: AgentsOptions
  readonly #public: Agent
  readonly #overflow: Agent
  /** By PEM; the one that was used last is the last. */
  readonly #private = new Map<string, Agent>()
  readonly #closing = new Set<Agent>()

  constructor(options: AgentsOptions) {
    this.#options = options
    // One for all connections: without it each would make its own, with all public authorities in it.
    const connect = options.createConnector(createSecureContext())
    this.#public = this.#create({ connect, maxOrigins: ORIGINS_MAX })
    this.#overflow = this.#create({ connect, pipelining: 0 })
  }

  /**
   * Hands a request to the pool of its trust. Throws when `caCertificates` cannot be read; whatever comes
   * later goes to the handler.
   */
  dispatch(
    options: Dispatcher.DispatchOptions,
    handler: Dispatcher.DispatchHandler,
    caCertificates: string | undefined,
  ): void {
    const agent = caCertificates === undefined ? this.#public : this.#privateAgent(caCertificates)
    agent.dispatch(options, handler)
  }

  /** Sends a request that was refused because of the origins that are in use (see {@link isFull}). */
  dispatchAlone(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    this.#overflow.dispatch(options, handler)
  }

  /** Ends all connections; what is under way fails. */
  async destroy(): Promise<void> {
    const all = [this.#public, this.#overflow, ...this.#private.values(), ...this.#closing]
    this.#private.clear()
    await Promise.all(all.map((agent) => agent.destroy()))
  }

  #privateAgent(caCertificates: string): Agent {
    const agent =
      this.#private.get(caCertificates) ??
      this.#create({ connect: this.#options.createConnector(createSecureContext({ ca: caCertificates })) })
    this.#private.delete(caCertificates)
    this.#private.set(caCertificates, agent)
    if (this.#private.size > PRIVATE_AGENTS_MAX) this.#closeOldest()
    return agent
  }

  #closeOldest(): void {
    const oldest = this.#private.entries().next()
    if (oldest.done === true) return
    const [caCertificates, agent] = oldest.value
    this.#private.delete(caCertificates)
    this.#closing.add(agent)
    // What it is sending is finished; nobody has to wait for that. A close that `destroy` overtakes is rejected.
    const forget = () => this.#closing.delete(agent)
    void agent.close().then(forget, forget)
  }

  #create(special: Agent.Options): Agent {
    return new Agent({
      connections: this.#options.connections,
      // One request on a socket at a time: a slow answer must not hold up the next event.
      pipelining: 1,
      allowH2: false,
      keepAliveTimeout: 20_000,
      keepAliveMaxTimeout: 60_000,
      keepAliveTimeoutThreshold: 2_000,
      // A socket was vetted when it was opened: let none live on after its name points elsewhere.
      clientTtl: 300_000,
      maxRequestsPerClient: 1_000,
      // Whoever sends has one timer for everything.
      headersTimeout: 0,
      bodyTimeout: 0,
      ...special,
    })
  }
}

/** Whether an agent refused a request because it has as many origins as it may have. */
export const isFull = (error: Error): boolean => error instanceof errors.MaxOriginsReachedError
