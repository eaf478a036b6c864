import type { Assignment, Directory, EndpointSummary } from '../../src/core/directory.ts'
import type { AppId, AppRef, NetworkId, NetworkRef, SubscriberId } from '../../src/core/ids.ts'

/** A directory that knows what the test gave it. */
export class FixedDirectory implements Directory {
  assignments: readonly Assignment[]
  readonly #networks: readonly NetworkRef[]

  constructor({ assignments, networks }: { assignments: readonly Assignment[]; networks: readonly NetworkRef[] }) {
    this.assignments = assignments
    this.#networks = networks
  }

  apps(): readonly AppRef[] {
    return [...new Map(this.assignments.map(({ app }) => [app.appId, app])).values()]
  }

  app(appId: AppId): AppRef | undefined {
    return this.apps().find((app) => app.appId === appId)
  }

  network(networkId: NetworkId): NetworkRef | undefined {
    return this.#networks.find((network) => network.networkId === networkId)
  }

  key(): undefined {
    return undefined
  }

  assignmentsOf(networkId: NetworkId, subscriberId: SubscriberId): readonly Assignment[] {
    return this.assignments.filter(
      ({ network, subscriberId: known }) => network.networkId === networkId && known === subscriberId,
    )
  }

  assignmentsOfApp(appId: AppId): readonly Assignment[] {
    return this.assignments.filter(({ app }) => app.appId === appId)
  }

  subscribersOf(networkId: NetworkId): readonly SubscriberId[] {
    const known = this.assignments.filter(({ network }) => network.networkId === networkId)
    return [...new Set(known.map(({ subscriberId }) => subscriberId))]
  }

  endpointsOf(): readonly EndpointSummary[] {
    return []
  }

  onChange(): () => void {
    return () => undefined
  }
}
