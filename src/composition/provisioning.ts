import type { Registry } from 'prom-client'
import type { AppRepository } from '../core/app.ts'
import { systemClock } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'
import type { OperatorEventRepository } from '../core/operator-event.ts'
import type { Service } from '../core/service.ts'
import { seedCatalogue } from '../provisioning/adapters/sandbox/seed-catalogue.ts'
import { EligibilityJudge } from '../provisioning/eligibility/judge.ts'
import { ExpirySweeper } from '../provisioning/engine/expiry-sweeper.ts'
import { Fulfiller } from '../provisioning/engine/fulfiller.ts'
import { FulfilmentMetrics } from '../provisioning/engine/fulfilment-metrics.ts'
import { Ordering } from '../provisioning/engine/ordering.ts'
import { toProvisioningDatabase, type ProvisioningDatabase } from '../provisioning/store/database.ts'
import { ProvisioningKeys } from '../provisioning/store/keys.ts'
import { LineTypes } from '../provisioning/store/line-types.ts'
import { recordQuestion } from '../provisioning/store/provider-calls.ts'
import type { Records } from '../records/connection.ts'
import { buildFaces } from './faces.ts'
import { buildRequestRunner } from './request-runner.ts'
import { buildProviders, buildRegistryService, type ProviderConfig } from './providers.ts'

/** What provisioning is built on. */
export type ProvisioningBase = {
  readonly config: ProviderConfig
  readonly registry: Registry
  readonly log: Logger
  readonly records: Records
  readonly apps: Pick<AppRepository, 'find'>
  readonly operatorEvents: Pick<OperatorEventRepository, 'append'>
  /** An order was placed or cancelled, and apps are to be told. */
  readonly onOrder?: () => void
}

/** The inventory, the engine that carries orders out, and the APIs over them. */
export function buildProvisioning(base: ProvisioningBase) {
  const { config, registry, log, records, apps, operatorEvents, onOrder } = base
  const database = toProvisioningDatabase(records)
  const clock = systemClock
  const keys = new ProvisioningKeys(database)
  const { providers, sandbox, clients, services: providerServices } = buildProviders(config, { database, log })
  const { agingDays, providerWaitDays } = config.provisioning
  const settings = { providers, agingDays, providerWaitDays }
  const fulfiller = new Fulfiller({
    database,
    settings,
    metrics: new FulfilmentMetrics(registry),
    operatorEvents,
    clock,
    random: Math.random,
    log: log.child({ component: 'fulfiller' }),
    onProgress: () => runner.wake(),
  })
  const sweeper = new ExpirySweeper({ database, clock, log: log.child({ component: 'expiry-sweeper' }), registry })
  const wake = () => {
    fulfiller.wake()
    runner.wake()
    onOrder?.()
  }
  const ordering = new Ordering({ database, settings, clock, wake })
  const runner = buildRequestRunner({
    database,
    ordering,
    cipher: records.cipher,
    log,
    registry,
    ...(onOrder !== undefined && { onEvent: onOrder }),
  })
  const lineTypes = new LineTypes(database)
  const judge = new EligibilityJudge({
    database,
    lineTypes,
    providers,
    record: (provider) => (detail) => database.query((db) => recordQuestion(db, provider, detail)),
  })
  const faces = buildFaces({
    database,
    ordering,
    keys,
    judge,
    lineTypes,
    apps,
    providers: new Set(providers.keys()),
    adapters: [...providers.values()],
    sandbox,
    cipher: records.cipher,
    onRequestsDue: wake,
    zipwhipAlwaysOk: config.provisioning.zipwhipAlwaysOk,
    log: log.child({ component: 'provisioning' }),
  })
  return {
    keys,
    faces,
    /** For every process that serves these APIs or carries orders out. */
    clients,
    services: [
      buildSeed(base, database),
      buildRegistryService(providers, database),
      ...providerServices,
      sweeper,
      fulfiller,
      runner,
    ],
  }
}

export type ProvisioningParts = ReturnType<typeof buildProvisioning>

/** Fills an empty catalogue, if that is wanted. */
const buildSeed = ({ config, log }: ProvisioningBase, database: ProvisioningDatabase): Service => ({
  name: 'sandbox-catalogue',
  start: async () => {
    if (config.provisioning.seedsSandbox && (await seedCatalogue(database)))
      log.info({}, 'an invented catalogue was made')
  },
  stop: () => Promise.resolve(),
})
