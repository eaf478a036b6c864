import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { childOf, parseXml, textOf } from '../../src/simulator/xml.ts'
import type { XmlElement } from '../../src/simulator/xml.ts'

export const ADMINISTRATOR = { username: 'admin@example.net', password: 'Secret123' } as const
export const EVENTS = '/com.broadsoft.xsi-events/v2.0'
export const ACTIONS = '/com.broadsoft.xsi-actions/v2.0'
export const CHANNEL_PATH = '/com.broadsoft.async/com.broadsoft.xsi-events/v2.0/channel'
const NAMESPACE = 'http://schema.broadsoft.com/xsi'

export type Answer = {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly bytes: Buffer
  readonly text: string
}

export type Ask = {
  readonly method?: string
  readonly body?: string
  readonly headers?: Readonly<Record<string, string>>
  /** `user:password`; null sends none; the administrator when left out. */
  readonly credentials?: string | null
  readonly ca?: string
}

const basic = (credentials: string): string => `Basic ${Buffer.from(credentials).toString('base64')}`

/** One request on a connection of its own. */
export function ask(url: string, options: Ask = {}): Promise<Answer> {
  const { method = 'GET', body, credentials = `${ADMINISTRATOR.username}:${ADMINISTRATOR.password}`, ca } = options
  return new Promise((resolve, reject) => {
    const send = url.startsWith('https:') ? httpsRequest : httpRequest
    const headers = { ...(credentials === null ? {} : { Authorization: basic(credentials) }), ...options.headers }
    const request = send(url, { method, headers, agent: false, ...(ca === undefined ? {} : { ca }) }, (response) => {
      const parts: Buffer[] = []
      response.on('data', (part: Buffer) => parts.push(part))
      response.on('error', reject)
      response.on('end', () => {
        const bytes = Buffer.concat(parts)
        resolve({ status: response.statusCode ?? 0, headers: response.headers, bytes, text: bytes.toString('utf8') })
      })
    })
    request.on('error', reject)
    request.end(body)
  })
}

/** A JSON request to the control API; the caller says what it expects back. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller's expectation, as with a cast
export async function control<Body = unknown>(
  url: string,
  method: string,
  body?: unknown,
): Promise<{ readonly status: number; readonly body: Body }> {
  const answer = await ask(url, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- tests compare every field that they use
  return { status: answer.status, body: (answer.text === '' ? undefined : JSON.parse(answer.text)) as Body }
}

/** Resolves with the first value that is not undefined or false; rejects after `timeoutMs`. */
export async function eventually<Value>(
  probe: () => Value | undefined | false | Promise<Value | undefined | false>,
  what: string,
  timeoutMs = 3_000,
): Promise<Value> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const value = await probe()
    if (value !== undefined && value !== false) return value
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

export type SeenEvent = {
  readonly document: string
  readonly root: XmlElement
  readonly id: string
  readonly type: string
  readonly sequence: number
  readonly subscriptionId: string
  readonly targetId: string | undefined
  readonly data: XmlElement
}

/** A channel on a raw TCP socket: keeps the HTTP chunks exactly as they came. */
export class RawChannel {
  readonly chunks: Buffer[] = []
  head = ''
  isClosed = false
  readonly #socket: Socket
  #rest = Buffer.alloc(0)

  constructor(url: string, request: string) {
    const { hostname, port } = new URL(url)
    this.#socket = connect({ host: hostname, port: Number(port) })
    this.#socket.on('data', (part) => this.#read(part))
    this.#socket.on('close', () => (this.isClosed = true))
    this.#socket.on('error', () => (this.isClosed = true))
    this.#socket.write(request)
  }

  write(text: string): void {
    this.#socket.write(text)
  }

  close(): void {
    this.#socket.destroy()
  }

  get status(): number {
    return Number(/^HTTP\/1\.1 (\d+)/.exec(this.head)?.[1] ?? 0)
  }

  get body(): Buffer {
    return Buffer.concat(this.chunks)
  }

  /** The complete documents so far, declarations included. */
  get documents(): readonly string[] {
    return this.body
      .toString('utf8')
      .split(/(?=<\?xml)/)
      .filter((document) => /(<\/[\w:]+>|\/>)$/.test(document) && isWhole(document))
  }

  get events(): readonly SeenEvent[] {
    return this.documents.filter((document) => document.includes('xsi:SubscriptionEvent')).map(readEvent)
  }

  get channelId(): string {
    return /<channelId>([^<]+)</.exec(this.body.toString('utf8'))?.[1] ?? ''
  }

  async opened(): Promise<this> {
    await eventually(() => this.channelId !== '', 'the channel reply')
    return this
  }

  async event(type: string, count = 1): Promise<SeenEvent> {
    return eventually(() => this.events.filter((event) => event.type === type)[count - 1], `${type} (${count})`)
  }

  #read(part: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, part])
    if (this.head === '') {
      const end = this.#rest.indexOf('\r\n\r\n')
      if (end < 0) return
      this.head = this.#rest.subarray(0, end).toString('latin1')
      this.#rest = this.#rest.subarray(end + 4)
    }
    for (;;) {
      const line = this.#rest.indexOf('\r\n')
      if (line < 0) return
      const size = Number.parseInt(this.#rest.subarray(0, line).toString('latin1'), 16)
      if (this.#rest.length < line + 2 + size + 2) return
      if (size > 0) this.chunks.push(this.#rest.subarray(line + 2, line + 2 + size))
      this.#rest = this.#rest.subarray(line + 2 + size + 2)
    }
  }
}

const isWhole = (document: string): boolean => {
  const name = /^<\?xml[^>]*\?>\s*<([\w:]+)/.exec(document)?.[1] ?? ''
  return document.endsWith(`</${name}>`) || /^<\?xml[^>]*\?>\s*<[^<>]*\/>$/.test(document)
}

function readEvent(document: string): SeenEvent {
  const root = parseXml(document)
  const data = childOf(root, 'eventData')
  if (data === undefined) throw new Error(`no eventData in ${document}`)
  return {
    document,
    root,
    id: textOf(root, 'eventID') ?? '',
    type: (data.attributes?.['type'] ?? '').replace('xsi:', ''),
    sequence: Number(textOf(root, 'sequenceNumber')),
    subscriptionId: textOf(root, 'subscriptionId') ?? '',
    targetId: textOf(root, 'targetId'),
    data,
  }
}

export type ChannelOptions = {
  readonly set?: string
  readonly application?: string
  readonly priority?: number
  readonly weight?: number
  readonly expires?: number
  readonly credentials?: string
}

const tag = (name: string, value: string | number | undefined): string =>
  value === undefined ? '' : `<${name}>${value}</${name}>`

/** Opens a channel and waits for its reply. */
export async function openChannel(url: string, options: ChannelOptions = {}): Promise<RawChannel> {
  const { credentials = `${ADMINISTRATOR.username}:${ADMINISTRATOR.password}`, set = 'set-1' } = options
  const body =
    `<?xml version="1.0" encoding="UTF-8"?><Channel xmlns="${NAMESPACE}">${tag('channelSetId', set)}` +
    `${tag('priority', options.priority)}${tag('weight', options.weight)}${tag('expires', options.expires)}` +
    `${tag('applicationId', options.application)}</Channel>`
  const request =
    `POST ${CHANNEL_PATH} HTTP/1.1\r\nHost: xsp\r\nAuthorization: ${basic(credentials)}\r\n` +
    `Content-Type: application/xml; charset=UTF-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  const channel = new RawChannel(url, request)
  await eventually(() => channel.status !== 0, 'the head of the channel reply')
  return channel.status === 200 ? channel.opened() : channel
}

export type SubscribeOptions = {
  readonly set?: string
  readonly application?: string
  readonly event?: string
  readonly expires?: number
  readonly credentials?: string
}

/** Subscribes; `path` is below the events context, `/user/…`. */
export async function subscribe(
  url: string,
  path: string,
  options: SubscribeOptions = {},
): Promise<Answer & { readonly subscriptionId: string }> {
  const body =
    `<?xml version="1.0" encoding="UTF-8"?><Subscription xmlns="${NAMESPACE}">${tag('event', options.event ?? 'Advanced Call')}` +
    `${tag('expires', options.expires)}${tag('channelSetId', options.set ?? 'set-1')}` +
    `${tag('applicationId', options.application ?? 'app')}</Subscription>`
  const { credentials } = options
  const answer = await ask(url + EVENTS + path, {
    method: 'POST',
    body,
    ...(credentials === undefined ? {} : { credentials }),
  })
  return { ...answer, subscriptionId: /<subscriptionId>([^<]+)</.exec(answer.text)?.[1] ?? '' }
}

/** Answers an event. */
export const acknowledge = (url: string, eventId: string, status = 200): Promise<Answer> =>
  ask(`${url}${EVENTS}/channel/eventresponse`, {
    method: 'POST',
    body:
      `<?xml version="1.0" encoding="UTF-8"?><EventResponse xmlns="${NAMESPACE}">` +
      `<eventID>${eventId}</eventID><statusCode>${status}</statusCode><reason>OK</reason></EventResponse>`,
  })
