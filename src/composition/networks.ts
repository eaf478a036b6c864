import { broadsoft } from '../broadsoft/adapter.ts'
import { BroadsoftMetrics } from '../broadsoft/metrics.ts'
import { NetworkSupervisor } from '../control/network-supervisor.ts'
import { systemClock } from '../core/clock.ts'
import { Ingest } from '../ingest.ts'
import type { DataLoss } from '../state/store-watch.ts'
import { Watchdog } from '../watchdog.ts'
import type { Base } from './base.ts'
import type { RecordParts } from './records.ts'
import type { StateParts } from './state.ts'

/** The adapters of the networks, what takes their observations, and what looks after old calls. */
export function buildNetworks({ config, registry, log }: Base, records: RecordParts, state: StateParts) {
  const ingest = new Ingest({
    store: state.calls,
    directory: records.directory,
    metrics: state.metrics,
    clock: systemClock,
    log: log.child({ component: 'ingest' }),
  })
  const supervisor = new NetworkSupervisor({
    networks: records.networks,
    directory: records.directory,
    adapterTypes: [broadsoft(new BroadsoftMetrics(registry))],
    portsFor: (network) => ({
      sink: ingest,
      takesChannels: config.roles.has('channels'),
      leases: state.leases,
      generations: state.generations,
      confirmations: state.confirmations,
      instances: state.instances,
      applicationId: `callhalf-${network.networkId}`,
      log,
      clock: systemClock,
      random: Math.random,
    }),
    clock: systemClock,
    random: Math.random,
    log: log.child({ component: 'networks' }),
  })
  const recover = async (loss: DataLoss): Promise<void> => {
    state.generations.forgetAll()
    try {
      if (loss === 'emptied') await ingest.restoreAll()
      else ingest.forgetAll()
    } catch (error) {
      log.error({ err: error }, 'calls known from memory could not be put back')
    }
    for (const networkId of supervisor.running()) supervisor.resynchronise(networkId, undefined, `store_${loss}`)
  }
  // It handles its own failures.
  state.watch.onDataLoss((loss) => void recover(loss))
  const watchdog = new Watchdog({
    store: state.calls,
    directory: records.directory,
    networks: () => supervisor.running(),
    control: supervisor,
    releaser: ingest,
    dwell: config.dwell,
    clock: systemClock,
    log: log.child({ component: 'watchdog' }),
  })
  return { supervisor, watchdog }
}

export type NetworkParts = ReturnType<typeof buildNetworks>
