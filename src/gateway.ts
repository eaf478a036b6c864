import { collectDefaultMetrics, Registry } from 'prom-client'
import type { Base } from './composition/base.ts'
import { buildHttp } from './composition/http.ts'
import { buildNetworks } from './composition/networks.ts'
import { buildRecords } from './composition/records.ts'
import { buildState } from './composition/state.ts'
import { buildEventRelay } from './composition/event-relay.ts'
import { buildProvisioning } from './composition/provisioning.ts'
import { buildWebhooks } from './composition/webhooks.ts'
import type { Config, Role } from './config.ts'
import { systemClock } from './core/clock.ts'
import type { Logger } from './core/logger.ts'
import type { Service } from './core/service.ts'
import type { HttpServer } from './http/server.ts'
import { Lifecycle } from './lifecycle.ts'
import { createLogger } from './logger.ts'
import { Readiness } from './readiness.ts'
import { loadOrCreateSecrets, type Secrets } from './secrets.ts'

/**
 * One gateway process: builds every object, starts the services in order and stops them in reverse, so
 * that on shutdown readiness fails and streams are closed first and the stores last.
 */
export class Gateway {
  readonly dataDir: string
  readonly adminKey: string
  /** Where the admin key stands, unless it came from the environment. */
  readonly adminKeyFile: string | undefined
  readonly #shutdownMs: number
  readonly #parts: Parts
  readonly #lifecycle: Lifecycle

  constructor(config: Config, secrets: Secrets) {
    this.dataDir = config.dataDir
    this.adminKey = secrets.adminKey
    this.adminKeyFile = secrets.adminKeyFile
    this.#shutdownMs = config.shutdown.timeoutMs
    this.#parts = build(config, secrets, createLogger(config.logLevel))
    this.#lifecycle = new Lifecycle(this.#parts.services, this.#parts.log)
  }

  /** Reads or makes the secrets in the data directory, then builds. */
  static async create(config: Config): Promise<Gateway> {
    return new Gateway(config, await loadOrCreateSecrets(config))
  }

  /** Where it listens; only after `start`. */
  get url(): string {
    return this.#parts.server.url
  }

  /** Rejects, leaving nothing behind, when a part does not start. */
  start(): Promise<void> {
    return this.#lifecycle.start()
  }

  /** Drains and stops within the configured time. */
  stop(): Promise<void> {
    this.#parts.readiness.drain()
    return this.#lifecycle.stop(AbortSignal.timeout(this.#shutdownMs))
  }
}

type Parts = {
  /** In starting order. */
  readonly services: readonly Service[]
  readonly readiness: Readiness
  readonly server: HttpServer
  readonly log: Logger
}

function build(config: Config, secrets: Secrets, log: Logger): Parts {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry, prefix: 'callhalf_' })
  const base: Base = { config, secrets, registry, log }
  const records = buildRecords(base)
  const state = buildState(base)
  const networks = buildNetworks(base, records, state)
  const webhooks = buildWebhooks(base, records, state)
  const readiness = new Readiness({
    probes: {
      redis: async () => ((await state.connection.ping()) ? undefined : 'does not answer'),
      records: async () => {
        await records.records.check()
        return undefined
      },
    },
    clock: systemClock,
  })
  const relay = buildEventRelay({
    ...base,
    records: records.records,
    directory: records.directory,
    eventLog: state.eventLog,
  })
  const provisioning = buildProvisioning({
    ...base,
    records: records.records,
    apps: records.apps,
    operatorEvents: records.operatorEvents,
    onOrder: () => relay.wake(),
  })
  const { server, hub, services } = buildHttp(base, { records, state, networks, webhooks, provisioning, readiness })
  const has = (role: Role) => config.roles.has(role)
  return {
    services: [
      ...state.services,
      ...records.services,
      // Before anything can append to a log: a new endpoint starts at the top of the log as it is seen.
      ...(has('webhooks') ? webhooks.services : []),
      webhooks.probes,
      hub,
      networks.supervisor,
      ...(has('channels') ? [networks.watchdog] : []),
      ...(has('provisioning') ? [...provisioning.services, relay] : []),
      readiness,
      ...services,
    ],
    readiness,
    server,
    log,
  }
}
