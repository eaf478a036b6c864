import type { TransportName } from './connection.ts'
import type { Ending } from './endings.ts'
import type { EventFrame, Filter, GapReason, Position, SnapshotCall } from './frames.ts'

/** The live calls, as a fresh start of everything that is derived from events. */
export type Snapshot = {
  readonly type: 'snapshot'
  /** Events were lost before it, and why; without it, nothing was. */
  readonly lost: GapReason | undefined
  readonly position: Position
  readonly calls: readonly SnapshotCall[]
}

/** That the client was too slow, and changes of calls were left out because later ones of them follow. */
export type Coalesced = { readonly type: 'coalesced'; readonly dropped: number }

/** What an iterator of the client yields. */
export type Update = EventFrame | Snapshot | Coalesced

/** What the client is doing. */
export type ClientState =
  | { readonly name: 'connecting' }
  /** Events arrive, or would; `recovered` when nothing was missed since the position before. */
  | { readonly name: 'live'; readonly recovered: boolean; readonly transport: TransportName }
  /** Will connect again after `retryInMs`, because of how the last attempt ended. */
  | { readonly name: 'waiting'; readonly retryInMs: number; readonly ending: Ending }
  /** For good; without `ending` because it was asked to. */
  | { readonly name: 'closed'; readonly ending?: Ending }

export type ConnectOptions = {
  /** Of the gateway: `https://gateway.example.net`, with the path under which it is reached. */
  readonly url: string
  readonly appId: string
  /** For a server, which may know the key. */
  readonly apiKey?: string
  /**
   * For a browser: asks your own server, which has the key, for a stream token. Called before each connect, and
   * before each request of a long poll.
   * A RefusedError ends the client; after anything else it is called again later.
   */
  readonly getToken?: (signal: AbortSignal) => Promise<string>
  readonly filter?: Filter | null
  /**
   * What a stream may be made of, the best first; WebSocket, server-sent events and long poll if absent. When the first
   * one fails twice before it was live, as behind a proxy that does not let it through, the others are tried.
   */
  readonly transports?: readonly TransportName[]
  /** Resume after this position. The mirror is complete a moment later, when its snapshot has come. */
  readonly after?: Position
  readonly onEvent?: (event: EventFrame) => void
  readonly onSnapshot?: (snapshot: Snapshot) => void
  readonly onCoalesced?: (coalesced: Coalesced) => void
  readonly onState?: (state: ClientState) => void
  /** Closes the client. */
  readonly signal?: AbortSignal
  readonly limits?: Partial<ClientLimits>
  /** Instead of the global ones. */
  readonly WebSocket?: typeof WebSocket
  readonly fetch?: typeof fetch
}

/** Times in milliseconds. */
export type ClientLimits = {
  /** For a token, and then for the connection to be open. */
  readonly openTimeoutMs: number
  /** Without any frame for so long, the connection is given up; a ping comes every 25 s. */
  readonly silenceMs: number
  /** For the answer to a command. */
  readonly commandTimeoutMs: number
  /** The wait after a failure is random and at most this; the bound doubles up to `backoffMaxMs`. */
  readonly backoffMinMs: number
  readonly backoffMaxMs: number
  /** After being live for so long, a connection counts as a success. */
  readonly stableMs: number
  /** Between the news of a subscriber and the request for its calls: the gateway may have many to tell. */
  readonly refreshDelayMs: number
}

export const DEFAULT_LIMITS: ClientLimits = {
  openTimeoutMs: 10_000,
  silenceMs: 50_000,
  commandTimeoutMs: 15_000,
  backoffMinMs: 500,
  backoffMaxMs: 30_000,
  stableMs: 10_000,
  refreshDelayMs: 500,
}
