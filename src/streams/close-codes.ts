/**
 * Why the gateway ends a stream: the WebSocket close code, or the `code` of an SSE `close` event.
 * Code and name are contract. A client branches on `action`:
 *
 * - `resume`: connect again, at once or after `retry_after_ms`, and resume after the last position.
 * - `fix`: the client did something wrong; the same again ends the same way.
 * - `authenticate`: the credentials no longer count; get a key or token before connecting again.
 */
export const CLOSE_CODES = {
  draining: { code: 4001, action: 'resume', meaning: 'This instance is shutting down' },
  invalid_frame: { code: 4002, action: 'fix', meaning: 'The client sent something that is not the protocol' },
  unauthorized: {
    code: 4003,
    action: 'authenticate',
    meaning: 'The app, or the key that opened the stream, was removed',
  },
  subscribe_timeout: { code: 4004, action: 'fix', meaning: 'No subscribe frame came in time' },
  too_many_messages: { code: 4005, action: 'fix', meaning: 'The client sent more messages than it may' },
  slow_consumer: { code: 4008, action: 'resume', meaning: 'The client read too slowly for its events' },
  store_unavailable: { code: 4010, action: 'resume', meaning: 'The gateway cannot read the events at the moment' },
} as const satisfies Record<
  string,
  { readonly code: number; readonly action: 'resume' | 'fix' | 'authenticate'; readonly meaning: string }
>

export type CloseName = keyof typeof CLOSE_CODES

/** How a stream ends. `retryAfterMs` is when to connect again; `detail` is one ASCII sentence for a developer. */
export type Closing = {
  readonly name: CloseName
  readonly retryAfterMs?: number
  readonly detail?: string
}

/** RFC 6455 section 5.5: a control frame holds 125 bytes, two of them the code. */
const REASON_BYTES_MAX = 123

/** The reason sent with the code: JSON `{code, retry_after_ms?, detail?}`, the detail cut to what fits. */
export function formatCloseReason({ name, retryAfterMs, detail }: Closing): string {
  const base = { code: name, ...(retryAfterMs !== undefined && { retry_after_ms: Math.round(retryAfterMs) }) }
  const bare = JSON.stringify(base)
  if (detail === undefined) return bare
  const room = REASON_BYTES_MAX - bare.length - ',"detail":""'.length
  // Anything but plain ASCII could take more than one byte per character, or be escaped by JSON.
  return JSON.stringify({ ...base, detail: detail.replaceAll(/[^ !#-[\]-~]/g, '?').slice(0, Math.max(0, room)) })
}
