import type { Ending } from './endings.ts'
import type { ClientFrame, ServerFrame } from './frames.ts'

/** What a stream can be read by: docs/stream-protocol.md. */
export type TransportName = 'websocket' | 'sse' | 'poll'

/** One stream from its opening to its end, whatever it is made of. */
export interface Connection {
  /** Resolves once; no frame is passed on afterwards. */
  readonly ended: Promise<Ending>
  /** What is sent while the connection is about to end is lost with it. */
  send(frame: ClientFrame): void
  /** Ends it because this side wants it; `name` is that of the ending, `closed` if absent. */
  close(name?: string): void
}

/** What every connection needs to know. */
export type ConnectionBase = {
  readonly subscribe: Extract<ClientFrame, { op: 'subscribe' }>
  /** Until something comes from the gateway. */
  readonly openTimeoutMs: number
  /** A connection without any sign of life for this long is dead. */
  readonly silenceMs: number
  readonly onFrame: (frame: ServerFrame) => void
}
