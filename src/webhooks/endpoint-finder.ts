import type { Directory, EndpointSummary } from '../core/directory.ts'
import type { Endpoint, EndpointRepository } from '../core/endpoint.ts'
import type { Logger } from '../core/logger.ts'
import type { EndpointRef } from './delivery.ts'

export type EndpointFinderOptions = {
  readonly directory: Pick<Directory, 'endpointsOf'>
  readonly endpoints: Pick<EndpointRepository, 'find'>
  readonly log: Logger
}

/** How to send to an endpoint, now. */
export class EndpointFinder {
  readonly #options: EndpointFinderOptions

  constructor(options: EndpointFinderOptions) {
    this.#options = options
  }

  /**
   * Undefined when the endpoint was removed or may be sent nothing: the records decide that, because the
   * directory may be some seconds behind. `unknown` when the records do not answer.
   */
  async find({ appId, endpointId }: EndpointRef): Promise<EndpointSummary | Endpoint | 'unknown' | undefined> {
    const { endpoints, log } = this.#options
    const listed = this.listed({ appId, endpointId })
    if (listed !== undefined) return listed
    try {
      const recorded = await endpoints.find(appId, endpointId)
      return recorded?.enabled === true && recorded.verified ? recorded : undefined
    } catch (error) {
      log.warn({ endpoint_id: endpointId, err: error }, 'endpoint could not be read')
      return 'unknown'
    }
  }

  /** Without waiting for anything; undefined when only the records can tell. */
  listed({ appId, endpointId }: EndpointRef): EndpointSummary | undefined {
    const listed = this.#options.directory.endpointsOf(appId).find((endpoint) => endpoint.endpointId === endpointId)
    return listed?.enabled === true ? listed : undefined
  }
}
