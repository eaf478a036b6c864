import type { Closing } from './close-codes.ts'
import type { Frame } from './frame.ts'

/** One client's connection as a session sees it: a WebSocket or an SSE response. */
export interface Transport {
  readonly kind: 'websocket' | 'sse'
  /** Bytes handed over by `send` and not yet taken by the operating system. */
  readonly bufferedBytes: number
  /**
   * Hands over a frame; never waits, never throws. `onFlushed` is called when the frame has left this
   * process or the connection is gone.
   */
  send(frame: Frame, onFlushed: () => void): void
  /** Asks the peer for a sign of life; false when it has not answered the question before. */
  probe(): boolean
  /** Says goodbye and ends the connection; cuts it off when the peer does not take part in that. */
  close(closing: Closing): void
  /** Cuts the connection off. */
  terminate(): void
}
