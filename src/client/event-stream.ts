/** One server-sent event, or the news that a position was reached (`event` is empty then). */
export type StreamEvent = { readonly event: string; readonly id: string | undefined; readonly data: string }

/** More without an end of the event is not the gateway's. */
const EVENT_CHARS_MAX = 64 * 1024 * 1024

/**
 * Takes the text of a `text/event-stream` apart (HTML standard, 9.2.6), however it is cut into pieces. What has
 * no data is handed on, too: a ping is a comment with an id.
 */
export class EventStreamParser {
  readonly #onEvent: (event: StreamEvent) => void
  /** An unfinished line, in pieces: a long one comes in many. */
  #rest: string[] = []
  #restChars = 0
  #endsWithReturn = false
  #event = ''
  #id: string | undefined
  #data: string[] = []
  #isEmpty = true

  constructor(onEvent: (event: StreamEvent) => void) {
    this.#onEvent = onEvent
  }

  /** Throws a RangeError for an event without an end. */
  push(text: string): void {
    // The line feed of a pair that was cut in two.
    const from = this.#endsWithReturn && text.startsWith('\n') ? 1 : 0
    if (text !== '') this.#endsWithReturn = text.endsWith('\r')
    const lines = text.slice(from).split(/\r\n|\n|\r/)
    const last = lines.pop() ?? ''
    for (const line of lines) {
      this.#take(this.#rest.join('') + line)
      this.#rest = []
      this.#restChars = 0
    }
    if (last === '') return
    this.#rest.push(last)
    this.#restChars += last.length
    if (this.#restChars > EVENT_CHARS_MAX) throw new RangeError('an event without an end')
  }

  #take(line: string): void {
    if (line === '') return this.#dispatch()
    this.#isEmpty = false
    const colon = line.indexOf(':')
    const field = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    if (field === 'event') this.#event = value
    else if (field === 'id') this.#id = value
    else if (field === 'data') this.#data.push(value)
  }

  #dispatch(): void {
    if (this.#isEmpty) return
    const event = { event: this.#event, id: this.#id, data: this.#data.join('\n') }
    this.#event = ''
    this.#id = undefined
    this.#data = []
    this.#isEmpty = true
    this.#onEvent(event)
  }
}
