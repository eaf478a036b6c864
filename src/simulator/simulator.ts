import { randomUUID } from 'node:crypto'
import { systemClock } from '../core/clock.ts'
import type { TimerClock } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'
import type { Service } from '../core/service.ts'
import { callRoutes } from './actions/call-commands.ts'
import { conferenceRoutes } from './actions/conference-commands.ts'
import { transferRoutes } from './actions/transfer-commands.ts'
import { userRoutes } from './actions/user-resources.ts'
import { Backend } from './backend.ts'
import { createSelfSignedCertificate } from './certificate.ts'
import { ControlServer } from './control/server.ts'
import { channelRoutes } from './events-api/channel.ts'
import { eventResponseRoutes } from './events-api/event-response.ts'
import { heartbeatRoutes } from './events-api/heartbeat.ts'
import { subscriptionRoutes } from './events-api/subscription.ts'
import { Router } from './route.ts'
import type { SimulatorSettings } from './settings.ts'
import { Xsp } from './xsp.ts'

export type SimulatorOptions = {
  /** Loopback only: the control API has no authentication. */
  readonly host?: '127.0.0.1'
  /** One XSP for each port; 0 is any free one. Default: one XSP on any port. */
  readonly ports?: readonly number[]
  /** Port of the control API; default 0, any free one. */
  readonly controlPort?: number
  /** The administrator whose credentials a client uses. */
  readonly username: string
  readonly password: string
  /** HTTPS at the XSPs: with the given PEM pair, or with a certificate made at the start. */
  readonly https?: boolean | { readonly key: string; readonly cert: string }
  /** Initial settings; the others have their defaults. */
  readonly settings?: Partial<SimulatorSettings>
  readonly log: Logger
  readonly clock?: TimerClock
  /** Uniform in [0, 1). */
  readonly random?: () => number
}

// The first match wins, so that `calls/conference/hold` is not taken for a call named "conference".
const ROUTER = new Router([
  ...eventResponseRoutes,
  ...heartbeatRoutes,
  ...channelRoutes,
  ...subscriptionRoutes,
  ...conferenceRoutes,
  ...callRoutes,
  ...transferRoutes,
  ...userRoutes,
])

/**
 * A Cisco BroadWorks deployment as seen through XSI: one or more XSPs in front of shared state, with
 * users, calls that live by themselves, and a control API that rings phones and breaks things. After
 * `stop` it cannot be started again: make a new one.
 */
export class Simulator implements Service {
  readonly name = 'simulator'
  readonly #options: SimulatorOptions
  #backend: Backend | undefined
  #control: ControlServer | undefined
  #xsps: readonly Xsp[] = []
  #controlUrl = ''
  #caCertificate: string | undefined

  constructor(options: SimulatorOptions) {
    this.#options = options
  }

  /** The base URLs of the XSPs, without the context path; empty before the start. */
  get xspUrls(): readonly string[] {
    return this.#xsps.map((xsp) => xsp.url)
  }

  get controlUrl(): string {
    return this.#controlUrl
  }

  /** PEM of the certificate made at the start, for a client's list of trusted authorities. */
  get caCertificate(): string | undefined {
    return this.#caCertificate
  }

  /** Throws GatewayError `invalid_request` for unusable settings; rejects when a port is taken. */
  async start(): Promise<void> {
    const { host = '127.0.0.1', ports = [0], controlPort = 0, username, password, https = false } = this.#options
    const clock = this.#options.clock ?? systemClock
    const backend = new Backend({
      administrator: { username, password },
      settings: this.#options.settings,
      clock,
      random: this.#options.random ?? Math.random,
      newId: randomUUID,
      log: this.#options.log,
    })
    const tls =
      https === true ? createSelfSignedCertificate({ host, now: clock.now() }) : https === false ? undefined : https
    if (https === true) this.#caCertificate = tls?.cert
    this.#backend = backend
    this.#xsps = ports.map(
      (port, index) => new Xsp({ index, host, port, tls, backend, router: ROUTER, urls: () => this.xspUrls }),
    )
    this.#control = new ControlServer(backend)
    try {
      for (const xsp of this.#xsps) await xsp.start()
      this.#controlUrl = await this.#control.start({ host, port: controlPort })
    } catch (error) {
      await this.#close()
      throw error
    }
    this.#options.log.info({ xsps: this.xspUrls, control: this.#controlUrl }, 'simulator started')
  }

  /** Breaks every connection; there is no work worth waiting for. */
  async stop(_deadline: AbortSignal): Promise<void> {
    await this.#close()
  }

  async #close(): Promise<void> {
    this.#backend?.stop()
    await this.#control?.stop()
    for (const xsp of this.#xsps) await xsp.stop()
    this.#backend = undefined
    this.#control = undefined
  }
}
