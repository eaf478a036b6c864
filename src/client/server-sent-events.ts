import type { Ending } from './endings.ts'
import { readEnding } from './endings.ts'
import type { StreamEvent } from './event-stream.ts'
import { EventStreamParser } from './event-stream.ts'
import type { Position, ServerFrame } from './frames.ts'
import { parseFrame } from './frames.ts'
import type { ReadStream } from './http-connection.ts'

/** Reads a stream as server-sent events (docs/stream-protocol.md). */
export const readServerSentEvents: ReadStream = async ({ requests, query, onFrame, signal }) => {
  const { body, headers } = await requests.openEventStream(query, signal)
  if (body === null || headers.get('content-type')?.startsWith('text/event-stream') !== true) {
    throw new TypeError('the answer is not an event stream')
  }
  let ending: Ending | undefined
  const parser = new EventStreamParser((event) => {
    if (event.event === 'close') ending ??= readGoodbye(event.data)
    else if (!signal.aborted) takeEvent(event, onFrame)
  })
  const decoder = new TextDecoder()
  const reader = body.getReader()
  try {
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return { name: 'connection_lost', action: 'resume' }
      parser.push(decoder.decode(value, { stream: true }))
      if (ending !== undefined) return ending
    }
  } finally {
    // Ends the request; whatever becomes of that.
    reader.cancel().catch(() => undefined)
  }
}

function takeEvent({ data, id }: StreamEvent, onFrame: (frame: ServerFrame) => void): void {
  const frame = data === '' ? toPing(id) : parseFrame(data)
  if (frame !== undefined) onFrame(frame)
}

function toPing(id: string | undefined): ServerFrame {
  const position = readPosition(id)
  return { type: 'ping', ...(position !== undefined && { position }) }
}

function readPosition(id: string | undefined): Position | undefined {
  const [, epoch, offset] = /^(\d+):(\d+)$/.exec(id ?? '') ?? []
  return epoch === undefined ? undefined : { epoch, offset: Number(offset) }
}

/** `{"type":"close","code":4001,"reason":{…}}` */
function readGoodbye(data: string): Ending {
  const goodbye: unknown = JSON.parse(data)
  const isKnown = typeof goodbye === 'object' && goodbye !== null && 'code' in goodbye && 'reason' in goodbye
  return isKnown
    ? readEnding(Number(goodbye.code), JSON.stringify(goodbye.reason))
    : { name: 'connection_lost', action: 'resume' }
}
