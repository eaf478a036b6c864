import { isGatewayError } from '../core/errors.ts'
import type { Ack, AckReply } from './acknowledger.ts'
import type { ChannelRequest } from './build.ts'
import { buildChannel, buildEventResponse } from './build.ts'
import type { XsiClient, XsiRequest, XsiStream } from './client.ts'
import type { HeartbeatReply } from './heartbeat.ts'
import { pathSegment } from './paths.ts'

export type ChannelRequestsOptions = {
  readonly client: XsiClient
  /** The context of XSI-Events, without `/v2.0`. */
  readonly eventsPath: string
  /** The context that streams, without `/v2.0`; used for channel add only (2020.07, p. 340). */
  readonly channelPath: string
  /** Aborts every request of the channel. */
  readonly signal: AbortSignal
}

/** What a channel's refresh said: the seconds granted, or why there are none. */
export type RefreshReply =
  | { readonly type: 'granted'; readonly expiresSeconds: number }
  | { readonly type: 'channel_gone' | 'unauthorized' | 'failed' }

const HEARTBEAT_TIMEOUT_MS = 10_000
const ACK_TIMEOUT_MS = 5_000
const DELETE_TIMEOUT_MS = 2_000

/**
 * The requests about one channel. All but the first must reach the node that holds the stream, so each
 * names it (XSI Interface Specification 2020.07, p. 340, 344, 345, 375).
 */
export class ChannelRequests {
  readonly #options: ChannelRequestsOptions

  constructor(options: ChannelRequestsOptions) {
    this.#options = options
  }

  /** Opens the stream; rejects as `XsiClient.openStream` does. */
  open(node: URL, request: ChannelRequest): Promise<XsiStream> {
    const { client, channelPath, signal } = this.#options
    return client.openStream({ node, path: `${channelPath}/v2.0/channel`, body: buildChannel(request), signal })
  }

  async heartbeat(node: URL, channelId: string, intervalMs: number): Promise<HeartbeatReply> {
    const status = await this.#send({
      node,
      method: 'PUT',
      path: `${this.#channelUrl(channelId)}/heartbeat`,
      timeoutMs: Math.min(HEARTBEAT_TIMEOUT_MS, Math.max(intervalMs, 1000)),
    })
    if (status === 401) return 'unauthorized'
    if (status === 404) return 'channel_gone'
    return isSuccess(status) ? 'taken' : 'failed'
  }

  /** Asks for a longer life; only `expires` can be changed. */
  async refresh(node: URL, channelId: string, expiresSeconds: number): Promise<RefreshReply> {
    const { client, signal } = this.#options
    const body = buildChannel({ expiresSeconds })
    try {
      const response = await client.request({ node, method: 'PUT', path: this.#channelUrl(channelId), body, signal })
      if (response.status === 401) return { type: 'unauthorized' }
      if (response.status === 404) return { type: 'channel_gone' }
      if (!isSuccess(response.status)) return { type: 'failed' }
      const granted = response.document?.type === 'channel' ? response.document.expiresSeconds : undefined
      return { type: 'granted', expiresSeconds: granted ?? expiresSeconds }
    } catch (error) {
      return { type: isGatewayError(error, 'provider_unauthorized') ? 'unauthorized' : 'failed' }
    }
  }

  async acknowledge(node: URL, { eventId, status }: Ack): Promise<AckReply> {
    const reason = status === 200 ? 'OK' : 'Server Internal Error'
    const answered = await this.#send({
      node,
      method: 'POST',
      path: `${this.#options.eventsPath}/v2.0/channel/eventresponse`,
      body: buildEventResponse({ eventId, statusCode: status, reason }),
      timeoutMs: ACK_TIMEOUT_MS,
      // Saying the same of the same event twice does no harm.
      isIdempotent: true,
    })
    if (isSuccess(answered)) return 'taken'
    if (answered === 401) return 'unauthorized'
    if (answered === 404) return 'channel_gone'
    return answered !== undefined && answered < 500 && answered !== 429 ? 'refused' : 'unreachable'
  }

  /** Whether the node took the delete. `signal` is the caller's: the channel's own may be over. */
  async remove(node: URL, channelId: string, signal: AbortSignal): Promise<boolean> {
    const path = this.#channelUrl(channelId)
    const status = await this.#send({ node, method: 'DELETE', path, timeoutMs: DELETE_TIMEOUT_MS, signal })
    return isSuccess(status)
  }

  /** The status; undefined when there is no answer. */
  async #send(request: Omit<XsiRequest, 'signal'> & { readonly signal?: AbortSignal }): Promise<number | undefined> {
    try {
      const response = await this.#options.client.request({ signal: this.#options.signal, ...request })
      return response.status
    } catch (error) {
      return isGatewayError(error, 'provider_unauthorized') ? 401 : undefined
    }
  }

  #channelUrl(channelId: string): string {
    return `${this.#options.eventsPath}/v2.0/channel/${pathSegment(channelId)}`
  }
}

const isSuccess = (status: number | undefined): boolean => status !== undefined && status >= 200 && status < 300
