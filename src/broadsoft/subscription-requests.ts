import { GatewayError, isGatewayError } from '../core/errors.ts'
import { buildSubscription } from './build.ts'
import type { XsiClient, XsiResponse } from './client.ts'
import { refusalError } from './errors.ts'
import type { BroadsoftMetrics } from './metrics.ts'
import type { XsiSubscription } from './parse.ts'
import { pathSegment } from './paths.ts'
import type { SubscriptionTarget } from './subscription-target.ts'
import { listQuery, targetPath } from './subscription-target.ts'

/** The event package with every call event (XSD `EventPackage`). */
export const CALL_PACKAGE = 'Advanced Call'

/** A subscription that the network granted. */
export type GrantedSubscription = { readonly subscriptionId: string; readonly expiresSeconds: number }

export type SubscriptionRequestsOptions = {
  readonly network: string
  readonly client: XsiClient
  /** The context of XSI-Events, without `/v2.0`. */
  readonly eventsPath: string
  readonly channelSetId: string
  readonly applicationId: string
  readonly expiresSeconds: number
  readonly metrics: BroadsoftMetrics
}

type Operation = 'create' | 'refresh' | 'delete' | 'list'

/** A list of ten thousand subscriptions is some 5 MB. */
const LIST_BYTES_MAX = 67_108_864
const LIST_TIMEOUT_MS = 60_000

/**
 * The requests about subscriptions (XSI Interface Specification 2020.07, p. 346-350, 367-369). Unlike
 * those about a channel, any node answers them. They reject with `provider_*` or
 * `subscriber_not_found`.
 */
export class SubscriptionRequests {
  readonly #options: SubscriptionRequestsOptions

  constructor(options: SubscriptionRequestsOptions) {
    this.#options = options
  }

  /** The subscriptions of our application to a target; undefined means all users. */
  async list(target: SubscriptionTarget | undefined, signal: AbortSignal): Promise<readonly XsiSubscription[]> {
    const { applicationId } = this.#options
    const query = new URLSearchParams({ ...listQuery(target), extAppId: applicationId })
    const response = await this.#send('list', { method: 'GET', path: `/subscription?${query.toString()}`, signal })
    if (response.document?.type !== 'subscription-list') throw unexpected('no SubscriptionList')
    return response.document.subscriptions.filter((subscription) => subscription.applicationId === applicationId)
  }

  /**
   * Adds a subscription. The network keeps one per subscriber, target, package and application, so a
   * repetition replaces what was there and leaves nothing behind (2020.07, p. 347).
   */
  async create(target: SubscriptionTarget, signal: AbortSignal): Promise<GrantedSubscription> {
    const { channelSetId, applicationId, expiresSeconds } = this.#options
    const body = buildSubscription({ event: CALL_PACKAGE, expiresSeconds, channelSetId, applicationId })
    return this.#granted(await this.#send('create', { method: 'POST', path: targetPath(target), body, signal }))
  }

  /** Renews a subscription, which for a user also brings a new snapshot; undefined when it does not exist. */
  async refresh(subscriptionId: string, signal: AbortSignal): Promise<GrantedSubscription | undefined> {
    const body = buildSubscription({ expiresSeconds: this.#options.expiresSeconds })
    const path = `/subscription/${pathSegment(subscriptionId)}`
    try {
      return this.#granted(await this.#send('refresh', { method: 'PUT', path, body, signal }))
    } catch (error) {
      if (isMissing(error)) return undefined
      throw error
    }
  }

  /** Deletes a subscription; one that does not exist is no failure. */
  async remove(subscriptionId: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#send('delete', { method: 'DELETE', path: `/subscription/${pathSegment(subscriptionId)}`, signal })
    } catch (error) {
      if (!isMissing(error)) throw error
    }
  }

  #granted(response: XsiResponse): GrantedSubscription {
    if (response.document?.type !== 'subscription') throw unexpected('no Subscription')
    const { subscriptionId, expiresSeconds } = response.document.subscription
    return { subscriptionId, expiresSeconds: expiresSeconds ?? this.#options.expiresSeconds }
  }

  async #send(
    operation: Operation,
    request: {
      readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
      readonly path: string
      readonly body?: string
      readonly signal: AbortSignal
    },
  ): Promise<XsiResponse> {
    const { client, eventsPath, metrics, network } = this.#options
    const count = (outcome: string) => metrics.subscriptionRequests.inc({ network, operation, outcome })
    try {
      const response = await client.request({
        ...request,
        path: `${eventsPath}/v2.0${request.path}`,
        isIdempotent: true,
        ...(operation === 'list' ? { bodyBytesMax: LIST_BYTES_MAX, timeoutMs: LIST_TIMEOUT_MS } : {}),
      })
      if (response.status < 200 || response.status >= 300) throw refusalError(response, 'user')
      count('ok')
      return response
    } catch (error) {
      if (!request.signal.aborted) count(isGatewayError(error) ? error.code : 'internal')
      throw error
    }
  }
}

/** An unknown id is answered 403 with ErrorInfo 110862 (2020.07, p. 368), by some nodes 404. */
const isMissing = (error: unknown): boolean => isGatewayError(error, 'provider_refused', 'subscriber_not_found')

const unexpected = (detail: string): GatewayError => new GatewayError('protocol_error', { detail })
