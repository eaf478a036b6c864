import type { Assignment, Directory } from '../core/directory.ts'
import type { AppId, SubscriberId } from '../core/ids.ts'

/** The subscribers that an app may see at the moment, as a set: asked for every entry of its log. */
export class AssignedSubscribers {
  readonly #directory: Pick<Directory, 'assignmentsOfApp'>
  readonly #appId: AppId
  #list: readonly Assignment[] | undefined
  #ids: ReadonlySet<SubscriberId> = new Set()

  constructor(directory: Pick<Directory, 'assignmentsOfApp'>, appId: AppId) {
    this.#directory = directory
    this.#appId = appId
  }

  /** Another set after each change. */
  get ids(): ReadonlySet<SubscriberId> {
    const list = this.#directory.assignmentsOfApp(this.#appId)
    // The directory gives the same list for as long as nothing in it changes.
    if (list !== this.#list) {
      this.#list = list
      this.#ids = new Set(list.map(({ subscriberId }) => subscriberId))
    }
    return this.#ids
  }

  /** Whether the app may see what is about this subscriber, or about none. */
  canSee(subscriberId: SubscriberId | undefined): boolean {
    return subscriberId === undefined || this.ids.has(subscriberId)
  }
}
