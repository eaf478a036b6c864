/**
 * Shows an app's live calls in the terminal and keeps them current over the stream.
 *
 *   CALLHALF_API_KEY=… node examples/live-calls.ts --app <app_id> [--url http://127.0.0.1:8080]
 *
 * The two rules that make it right: start anew from each snapshot, and let only newer events replace what
 * is known of a call. After a disconnect it resumes behind the last position; it stops when its key or its
 * app is gone.
 */
import process, { env, stdout } from 'node:process'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import * as v from 'valibot'

const PositionSchema = v.object({ epoch: v.string(), offset: v.number() })
const CallSchema = v.object({
  call_id: v.string(),
  subscriber_id: v.string(),
  remote_number: v.string(),
  remote_name: v.optional(v.string()),
  direction: v.string(),
  state: v.string(),
  sequence_number: v.string(),
})
const FrameSchema = v.object({
  type: v.string(),
  position: v.optional(PositionSchema),
  snapshot: v.optional(v.array(CallSchema)),
  event: v.optional(v.string()),
  data: v.optional(v.unknown()),
  reason: v.optional(v.string()),
})
const CloseReasonSchema = v.object({ retry_after_ms: v.optional(v.number()) })
const TokenSchema = v.object({ token: v.string() })
type Position = v.InferOutput<typeof PositionSchema>
type Call = v.InferOutput<typeof CallSchema>
type Frame = v.InferOutput<typeof FrameSchema>

/** What to do after the stream ended. */
type Ending = { readonly isFinal: boolean; readonly waitMs: number; readonly text: string }

const RECONNECT_MS = 2_000
/**
 * Codes after which the same again would end the same way: fix the client. 4003 is none of them: whether
 * the key still counts shows when it asks for the next token.
 */
const FINAL_CODES: readonly number[] = [4002, 4004, 1009]
/** Of a request for a token: the key or the app is gone, which no repetition changes. */
const FINAL_STATUSES: readonly number[] = [401, 404]

/** The gateway will not let this client in. */
class RefusedError extends Error {}

class LiveCalls {
  readonly #calls = new Map<string, Call>()
  #position: Position | null = null

  get position(): Position | null {
    return this.#position
  }

  apply(frame: Frame): void {
    if (frame.snapshot !== undefined) {
      this.#calls.clear()
      for (const call of frame.snapshot) this.#calls.set(keyOf(call), call)
    }
    if (frame.event?.startsWith('call.')) this.#applyEvent(v.parse(CallSchema, frame.data))
    if (frame.position !== undefined) this.#position = frame.position
  }

  /** The calls as lines of text, for the terminal. */
  render(status: string): string {
    const lines = [...this.#calls.values()].map((call) => {
      const arrow = call.direction === 'incoming' ? '<-' : '->'
      const remote = `${call.remote_number || 'withheld'} ${call.remote_name ?? ''}`.trim()
      return `${call.state.padEnd(12)} ${call.subscriber_id.padEnd(32)} ${arrow} ${remote}`
    })
    return [`${lines.length} live calls (${status})`, '', ...lines, ''].join('\n')
  }

  #applyEvent(call: Call): void {
    const known = this.#calls.get(keyOf(call))
    if (known !== undefined && Number(call.sequence_number) <= Number(known.sequence_number)) return
    if (call.state === 'released') this.#calls.delete(keyOf(call))
    else this.#calls.set(keyOf(call), call)
  }
}

const keyOf = (call: Call): string => `${call.subscriber_id} ${call.call_id}`

/** A browser would get the token from its own server, so that the API key stays there. */
async function fetchToken(streamUrl: string, key: string): Promise<string> {
  const response = await fetch(`${streamUrl}-tokens`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}` },
    signal: AbortSignal.timeout(10_000),
  })
  if (!response.ok) {
    const text = `no stream token: ${response.status} ${await response.text()}`
    throw FINAL_STATUSES.includes(response.status) ? new RefusedError(text) : new Error(text)
  }
  return v.parse(TokenSchema, await response.json()).token
}

/** Follows the stream until it ends. */
async function follow(streamUrl: string, key: string, calls: LiveCalls): Promise<Ending> {
  const token = await fetchToken(streamUrl, key)
  const socket = new WebSocket(streamUrl.replace(/^http/, 'ws'), ['callhalf.v1', `callhalf.token.${token}`])
  socket.addEventListener('open', () => socket.send(JSON.stringify({ op: 'subscribe', after: calls.position })))
  socket.addEventListener('message', ({ data }) => {
    const frame = v.parse(FrameSchema, JSON.parse(String(data)))
    calls.apply(frame)
    draw(calls.render(frame.type === 'gap' ? `events were lost: ${frame.reason}` : 'connected'))
  })
  return new Promise((resolve) => {
    socket.addEventListener('close', ({ code, reason }) => resolve(readEnding(code, reason)))
  })
}

function readEnding(code: number, reason: string): Ending {
  const closing = reason === '' ? {} : v.parse(CloseReasonSchema, JSON.parse(reason))
  return {
    isFinal: FINAL_CODES.includes(code),
    waitMs: closing.retry_after_ms ?? RECONNECT_MS,
    text: `closed with ${code} ${reason}`,
  }
}

const draw = (text: string): void => {
  stdout.write(stdout.isTTY ? `\u001B[2J\u001B[H${text}` : `${text}\n`)
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { app: { type: 'string' }, url: { type: 'string', default: 'http://127.0.0.1:8080' } },
  })
  const key = env['CALLHALF_API_KEY']
  if (values.app === undefined || key === undefined) {
    stdout.write('Usage: CALLHALF_API_KEY=… node examples/live-calls.ts --app <app_id> [--url <gateway>]\n')
    return 2
  }
  const streamUrl = `${values.url}/apps/${encodeURIComponent(values.app)}/stream`
  const calls = new LiveCalls()
  for (;;) {
    const ending = await follow(streamUrl, key, calls).catch((error: unknown): Ending => ({
      isFinal: error instanceof RefusedError,
      waitMs: RECONNECT_MS,
      text: String(error),
    }))
    draw(calls.render(ending.text))
    if (ending.isFinal) return 1
    await delay(ending.waitMs)
  }
}

process.exitCode = await main()
