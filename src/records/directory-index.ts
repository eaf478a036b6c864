import type { Assignment, EndpointSummary } from '../core/directory.ts'
import type { AppId, AppRef, EndpointId, NetworkId, NetworkRef, SubscriberId } from '../core/ids.ts'

/** What checking a presented API key needs. */
export type KeyEntry = { readonly keyId: string; readonly appId: AppId; readonly hash: Buffer }

const NONE: readonly never[] = []

/**
 * The directory's entries in memory, each found by one or two map look-ups. Lists are built when first
 * asked for and kept until one of their entries changes.
 */
export class DirectoryIndex {
  readonly #apps = new Map<string, AppRef>()
  readonly #networks = new Map<string, NetworkRef>()
  readonly #keys = new Map<string, KeyEntry>()
  readonly #byApp = new Map<string, Map<string, Assignment>>()
  readonly #bySubscriber = new Map<string, Map<string, readonly Assignment[]>>()
  readonly #endpoints = new Map<string, Map<string, EndpointSummary>>()
  readonly #lists = {
    assignments: new Map<string, readonly Assignment[]>(),
    subscribers: new Map<string, readonly SubscriberId[]>(),
    endpoints: new Map<string, readonly EndpointSummary[]>(),
  }
  #appList: readonly AppRef[] | undefined

  apps(): readonly AppRef[] {
    this.#appList ??= [...this.#apps.values()]
    return this.#appList
  }

  app(appId: AppId): AppRef | undefined {
    return this.#apps.get(appId)
  }

  network(networkId: NetworkId): NetworkRef | undefined {
    return this.#networks.get(networkId)
  }

  key(keyId: string): KeyEntry | undefined {
    return this.#keys.get(keyId)
  }

  assignmentsOf(networkId: NetworkId, subscriberId: SubscriberId): readonly Assignment[] {
    return this.#bySubscriber.get(networkId)?.get(subscriberId) ?? NONE
  }

  assignmentsOfApp(appId: AppId): readonly Assignment[] {
    return listOf(this.#lists.assignments, appId, () => [...(this.#byApp.get(appId)?.values() ?? NONE)])
  }

  subscribersOf(networkId: NetworkId): readonly SubscriberId[] {
    return listOf(this.#lists.subscribers, networkId, () =>
      // Every list of assignments has one: the last one takes the list with it.
      [...(this.#bySubscriber.get(networkId)?.values() ?? NONE)].flatMap((found) => found[0]?.subscriberId ?? []),
    )
  }

  endpointsOf(appId: AppId): readonly EndpointSummary[] {
    return listOf(this.#lists.endpoints, appId, () => [...(this.#endpoints.get(appId)?.values() ?? NONE)])
  }

  /** Sets what an app is now; without `app` it is gone, and its keys, assignments and endpoints with it. */
  setApp(appId: string, app: AppRef | undefined): void {
    this.#appList = undefined
    if (app !== undefined) {
      this.#apps.set(appId, app)
      return
    }
    this.#apps.delete(appId)
    for (const key of this.#keys.values()) if (key.appId === appId) this.#keys.delete(key.keyId)
    for (const subscriberId of this.#byApp.get(appId)?.keys() ?? NONE)
      this.setAssignment(appId, subscriberId, undefined)
    this.#endpoints.delete(appId)
    this.#lists.endpoints.delete(appId)
  }

  setNetwork(networkId: string, network: NetworkRef | undefined): void {
    if (network === undefined) this.#networks.delete(networkId)
    else this.#networks.set(networkId, network)
  }

  setKey(keyId: string, key: KeyEntry | undefined): void {
    if (key === undefined) this.#keys.delete(keyId)
    else this.#keys.set(keyId, key)
  }

  setAssignment(appId: string, subscriberId: string, assignment: Assignment | undefined): void {
    const ofApp = this.#byApp.get(appId) ?? new Map<string, Assignment>()
    const previous = ofApp.get(subscriberId)
    if (previous !== undefined) this.#unlink(previous)
    if (assignment === undefined) {
      ofApp.delete(subscriberId)
      if (ofApp.size === 0) this.#byApp.delete(appId)
    } else {
      ofApp.set(subscriberId, assignment)
      this.#byApp.set(appId, ofApp)
      this.#link(assignment)
    }
    this.#lists.assignments.delete(appId)
  }

  setEndpoint(appId: string, endpointId: EndpointId | string, endpoint: EndpointSummary | undefined): void {
    const ofApp = this.#endpoints.get(appId) ?? new Map<string, EndpointSummary>()
    if (endpoint === undefined) ofApp.delete(endpointId)
    else ofApp.set(endpointId, endpoint)
    if (ofApp.size === 0) this.#endpoints.delete(appId)
    else this.#endpoints.set(appId, ofApp)
    this.#lists.endpoints.delete(appId)
  }

  #link(assignment: Assignment): void {
    const { networkId } = assignment.network
    const ofNetwork = this.#bySubscriber.get(networkId) ?? new Map<string, readonly Assignment[]>()
    const others = ofNetwork.get(assignment.subscriberId) ?? NONE
    ofNetwork.set(assignment.subscriberId, [...others, assignment])
    this.#bySubscriber.set(networkId, ofNetwork)
    this.#lists.subscribers.delete(networkId)
  }

  #unlink(assignment: Assignment): void {
    const { networkId } = assignment.network
    const ofNetwork = this.#bySubscriber.get(networkId)
    const others = ofNetwork?.get(assignment.subscriberId)?.filter((other) => other !== assignment) ?? NONE
    if (others.length > 0) ofNetwork?.set(assignment.subscriberId, others)
    else ofNetwork?.delete(assignment.subscriberId)
    if (ofNetwork?.size === 0) this.#bySubscriber.delete(networkId)
    this.#lists.subscribers.delete(networkId)
  }
}

function listOf<Item>(lists: Map<string, readonly Item[]>, id: string, build: () => readonly Item[]): readonly Item[] {
  const kept = lists.get(id)
  if (kept !== undefined) return kept
  const built = build()
  // Nothing is kept for ids that nobody knows, or the map would grow with every wrong guess.
  if (built.length > 0) lists.set(id, built)
  return built
}
