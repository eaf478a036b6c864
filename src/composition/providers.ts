import type { Config } from '../config.ts'
import { systemClock } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'
import type { Service } from '../core/service.ts'
import { SandboxProvider } from '../provisioning/adapters/sandbox/provider.ts'
import type { Fulfiller } from '../provisioning/engine/fulfiller.ts'
import type { NumberProvider } from '../provisioning/model/provider.ts'
import type { ProvisioningDatabase } from '../provisioning/store/database.ts'

/** Who delivers what is ordered, by the id that products have. */
export function buildProviders(
  config: Config['provisioning'],
  { database, log }: { readonly database: ProvisioningDatabase; readonly log: Logger },
) {
  const sandbox = new SandboxProvider({
    database,
    clock: systemClock,
    log: log.child({ component: 'sandbox' }),
    fulfilMs: config.sandboxDelayMs,
    portMs: config.sandboxDelayMs * 10,
  })
  const providers: ReadonlyMap<string, NumberProvider> = new Map([[sandbox.id, sandbox]])
  return { providers, sandbox, services: [sandbox] }
}

/** Hands what providers tell of their own accord to the engine. */
export function buildNoticeService(
  providers: ReadonlyMap<string, NumberProvider>,
  fulfiller: Pick<Fulfiller, 'report'>,
): Service {
  let stops: readonly (() => void)[] = []
  return {
    name: 'provider-notices',
    start: () => {
      stops = [...providers.values()].flatMap(
        (provider) =>
          provider.listen?.(({ idempotencyKey, result }) =>
            fulfiller.report(provider.id, idempotencyKey, result.lines),
          ) ?? [],
      )
      return Promise.resolve()
    },
    stop: () => {
      for (const stop of stops) stop()
      stops = []
      return Promise.resolve()
    },
  }
}
