import type { Config } from '../config.ts'
import { systemClock } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'
import type { Service } from '../core/service.ts'
import { SandboxProvider } from '../provisioning/adapters/sandbox/provider.ts'
import { ZipwhipProvider } from '../provisioning/adapters/zipwhip/provider.ts'
import type { NumberProvider } from '../provisioning/model/provider.ts'
import { synchroniseProviders } from '../provisioning/requests/store/provider-registry.ts'
import type { ProvisioningDatabase } from '../provisioning/store/database.ts'

/** What providers are configured by. */
export type ProviderConfig = Pick<Config, 'provisioning'> & {
  readonly secrets: Pick<Config['secrets'], 'zipwhipProviderKey'>
}

/**
 * Who delivers what is ordered, by the id that products have. `clients` must run wherever a provider is asked, also
 * whether a number is eligible; `services`, where orders are carried out.
 */
export function buildProviders(
  { provisioning: config, secrets }: ProviderConfig,
  { database, log }: { readonly database: ProvisioningDatabase; readonly log: Logger },
) {
  const sandbox = new SandboxProvider({
    database,
    clock: systemClock,
    log: log.child({ component: 'sandbox' }),
    fulfilMs: config.sandboxDelayMs,
    portMs: config.sandboxDelayMs * 10,
  })
  const zipwhip = buildZipwhip(config.zipwhipProvider, secrets.zipwhipProviderKey)
  const all: readonly NumberProvider[] = [sandbox, ...zipwhip]
  const providers: ReadonlyMap<string, NumberProvider> = new Map(all.map((provider) => [provider.id, provider]))
  return { providers, sandbox, clients: zipwhip, services: [sandbox] }
}

/** None, unless one is configured. */
function buildZipwhip(
  server: Config['provisioning']['zipwhipProvider'],
  apiKey: string | undefined,
): readonly ZipwhipProvider[] {
  if (server === undefined || apiKey === undefined) return []
  return [new ZipwhipProvider({ baseUrl: server.url, apiKey, pollMs: server.pollMs, clock: systemClock })]
}

/** Writes down at start what providers there are and what they can do. */
export const buildRegistryService = (
  providers: ReadonlyMap<string, NumberProvider>,
  database: ProvisioningDatabase,
): Service => ({
  name: 'provider-registry',
  start: () => synchroniseProviders(database, [...providers.values()]),
  stop: () => Promise.resolve(),
})
