import type { Closing } from './close-codes.ts'
import type { Frame, Sendable } from './frame.ts'

/** One client's connection as a session sees it: a WebSocket or an SSE response. */
export interface Transport {
  readonly kind: 'websocket' | 'sse'
  /**
   * Whether it holds as much as it should, because the client reads slower than it is sent to.
   */
  readonly isCongested: boolean
  /** Hands over what is to be sent; never waits, never throws, takes it even if it is congested. */
  send(part: Sendable): void
  /** Calls the listener once when it is not congested any more, which it must be now; one at a time. */
  onceReady(listener: () => void): void
  /**
   * Asks the peer for a sign of life, and sends the ping with it if there is one; false, and nothing is done, when
   * it has not answered the question before.
   */
  probe(ping: Frame | undefined): boolean
  /** Says goodbye and ends the connection; cuts it off when the peer does not take part in that. */
  close(closing: Closing): void
  /** Cuts the connection off. */
  terminate(): void
}
