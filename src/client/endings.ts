/** What to do after a stream has ended: connect again, ask for new credentials first, or stop. */
export type Action = 'resume' | 'authenticate' | 'fix'

/** How a stream ended. */
export type Ending = {
  /** The name of a close code, or of what was seen here: `connection_lost`, `silent`, `open_timeout` … */
  readonly name: string
  readonly action: Action
  /** The WebSocket close code, if there was one. */
  readonly code?: number
  readonly retryAfterMs?: number
  /** For a developer. */
  readonly detail?: string
}

/**
 * The close codes of the gateway (docs/stream-protocol.md). A code that is not here is taken for a connection
 * that was lost.
 */
const CLOSE_CODES: Readonly<Record<number, { readonly name: string; readonly action: Action }>> = {
  1009: { name: 'message_too_large', action: 'fix' },
  4001: { name: 'draining', action: 'resume' },
  4002: { name: 'invalid_frame', action: 'fix' },
  4003: { name: 'unauthorized', action: 'authenticate' },
  4004: { name: 'subscribe_timeout', action: 'fix' },
  4005: { name: 'too_many_messages', action: 'fix' },
  4008: { name: 'slow_consumer', action: 'resume' },
  4010: { name: 'store_unavailable', action: 'resume' },
}

/** What a close code and its reason, JSON `{code, retry_after_ms?, detail?}`, say. */
export function readEnding(code: number, reason: string): Ending {
  const known = CLOSE_CODES[code] ?? { name: 'connection_lost', action: 'resume' }
  const { retry_after_ms: retryAfterMs, detail } = parseReason(reason)
  return {
    ...known,
    code,
    ...(typeof retryAfterMs === 'number' && retryAfterMs >= 0 && { retryAfterMs }),
    ...(typeof detail === 'string' && { detail }),
  }
}

function parseReason(reason: string): { readonly retry_after_ms?: unknown; readonly detail?: unknown } {
  try {
    const parsed: unknown = JSON.parse(reason)
    return typeof parsed === 'object' && parsed !== null ? parsed : {}
  } catch {
    return {}
  }
}
