import type { ClientFrame, Problem, ReplyFrame } from './frames.ts'
import type { StreamRequests } from './requests.ts'

/** A command as a stream takes it. */
export type CommandFrame = Exclude<ClientFrame, { op: 'subscribe' | 'filter' }>

/**
 * Carries a command out by the request that is the same as it, for streams that only go one way. Rejects when
 * no answer came: then nobody can say whether it was carried out.
 */
export async function requestCommand(
  requests: StreamRequests,
  frame: CommandFrame,
  signal: AbortSignal,
): Promise<ReplyFrame> {
  const base = { type: 'reply' as const, request_id: frame.request_id }
  const { path, init } = toRequest(frame)
  const answering = requests.send(path, init, signal)
  if (answering === undefined) return { ...base, status: 403, problem: NEEDS_KEY }
  const response = await answering
  const text = await response.text()
  const body: unknown = text === '' ? undefined : JSON.parse(text)
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN)
  return {
    ...base,
    status: response.status,
    ...(response.ok ? { body } : { problem: toProblem(response.status, body) }),
    ...(response.headers.get('idempotent-replayed') === 'true' && { idempotent_replayed: true }),
    ...(Number.isFinite(seconds) && { retry_after_ms: seconds * 1_000 }),
  }
}

const NEEDS_KEY: Problem = {
  status: 403,
  code: 'needs_websocket',
  title: 'A stream that is not a WebSocket carries no commands',
  detail: 'Commands go over a WebSocket, or as requests with an API key; here is neither. Ask your own server.',
}

function toRequest(frame: CommandFrame) {
  if (frame.op === 'dial') {
    const { op: _op, request_id: _requestId, idempotency_key: key, ...body } = frame
    const headers = { 'content-type': 'application/json', 'idempotency-key': key }
    return { path: 'calls', init: { method: 'POST', headers, body: JSON.stringify(body) } }
  }
  const path = `calls/${encodeURIComponent(frame.call_id)}`
  if (frame.op === 'end') return { path, init: { method: 'DELETE' } }
  return { path: `${path}/${frame.op}`, init: { method: 'PUT' } }
}

/** Something between here and the gateway may answer in its own words. */
function toProblem(status: number, body: unknown): Problem {
  const isProblem = typeof body === 'object' && body !== null && 'code' in body && typeof body.code === 'string'
  return isProblem ? { ...body, status, code: String(body.code) } : { status, code: 'unknown' }
}
