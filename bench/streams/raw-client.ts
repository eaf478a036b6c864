import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'

const [TEXT, CLOSE, PING] = [0x1, 0x8, 0x9]
const FINAL = 0x80
const PONG_HEADER = 0x8a
const TEXT_HEADER = 0x81
const MASKED = 0x80
const EMPTY = Buffer.alloc(0)
/** Enough of a frame to say what it is. */
const PEEK_BYTES = 32

export type RawClientOptions = {
  readonly port: number
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  /**
   * Takes each text message: all of it if `isWhole`, otherwise only as much as says what it is, since
   * collecting the rest would cost the client more than the server.
   */
  readonly onText: (text: Buffer, client: RawClient) => void
  readonly isWhole: (client: RawClient) => boolean
  readonly onClose: (client: RawClient, code: number | undefined) => void
}

/**
 * A WebSocket client that does no more than it must (RFC 6455), the same for every server: with thousands of
 * clients on the machine of the server they must not be what is measured.
 */
export class RawClient {
  readonly socket: Socket
  /** Set while the server has not agreed to the upgrade. */
  #head: Buffer | undefined = EMPTY
  #rest: Buffer = EMPTY
  /** Bytes of the present message that nobody wants. */
  #skip = 0
  #closeCode: number | undefined
  readonly #options: RawClientOptions
  readonly #opened = Promise.withResolvers<void>()

  constructor(options: RawClientOptions) {
    this.#options = options
    this.socket = connect({ port: options.port, host: '127.0.0.1', noDelay: true })
    this.socket.on('error', () => undefined)
    this.socket.on('data', (chunk) => this.#read(chunk))
    this.socket.on('close', () => {
      this.#opened.reject(new Error('the connection was closed before it was open'))
      options.onClose(this, this.#closeCode)
    })
    // Whoever does not wait for it hears of the end by `onClose`.
    this.#opened.promise.catch(() => undefined)
    this.socket.write(handshake(options))
  }

  /** Resolves when the upgrade is done; rejects when it is refused. */
  get opened(): Promise<void> {
    return this.#opened.promise
  }

  /** Sends a text message, masked with zeros. */
  send(text: string): void {
    this.socket.write(maskedFrame(TEXT_HEADER, Buffer.from(text)))
  }

  /** Cuts the connection. */
  destroy(): void {
    this.socket.destroy()
  }

  #read(chunk: Buffer): void {
    if (this.#head !== undefined) {
      const rest = this.#readHead(chunk)
      if (rest === undefined) return
      this.#readFrames(rest)
    } else this.#readFrames(chunk)
  }

  #readHead(chunk: Buffer): Buffer | undefined {
    const head = Buffer.concat([this.#head ?? EMPTY, chunk])
    this.#head = head
    const end = head.indexOf('\r\n\r\n')
    if (end === -1) return undefined
    this.#head = undefined
    if (head.subarray(9, 12).toString('latin1') === '101') this.#opened.resolve()
    else this.#opened.reject(new Error(head.subarray(0, end).toString('latin1')))
    return head.subarray(end + 4)
  }

  #readFrames(chunk: Buffer): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    this.#rest = EMPTY
    let at = 0
    for (;;) {
      if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, bytes.length - at)
        this.#skip -= skipped
        at += skipped
        if (this.#skip > 0) return
      }
      const header = readHeader(bytes, at)
      if (header === undefined) break
      const start = at + header.bytes
      const available = bytes.length - start
      const isText = header.opcode === TEXT
      const needed = !isText || this.#options.isWhole(this) ? header.length : Math.min(header.length, PEEK_BYTES)
      if (available < needed) break
      const payload = bytes.subarray(start, start + needed)
      at = start + needed
      this.#skip = header.length - needed
      if (isText) this.#options.onText(payload, this)
      else this.#control(header.opcode, payload)
    }
    bytes = bytes.subarray(at)
    if (bytes.length > 0) this.#rest = Buffer.from(bytes)
  }

  #control(opcode: number, payload: Buffer): void {
    if (opcode === PING) this.socket.write(maskedFrame(PONG_HEADER, payload))
    if (opcode !== CLOSE) return
    this.#closeCode = payload.length >= 2 ? payload.readUInt16BE(0) : undefined
    this.socket.end()
  }
}

function handshake({ port, path, headers = {} }: Pick<RawClientOptions, 'port' | 'path' | 'headers'>): string {
  const lines = Object.entries({
    Host: `127.0.0.1:${port}`,
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': randomBytes(16).toString('base64'),
    ...headers,
  }).map(([name, value]) => `${name}: ${value}`)
  return [`GET ${path} HTTP/1.1`, ...lines, '', ''].join('\r\n')
}

/** Undefined while not all of the header is there. Servers mask nothing and send their messages whole. */
function readHeader(bytes: Buffer, at: number) {
  const [first, second] = [bytes[at], bytes[at + 1]]
  if (first === undefined || second === undefined) return undefined
  if ((first & FINAL) === 0) throw new Error('a fragmented message')
  const opcode = first & 0x0f
  const length = second & 0x7f
  if (length < 126) return { opcode, length, bytes: 2 }
  const headerBytes = length === 126 ? 4 : 10
  if (bytes.length < at + headerBytes) return undefined
  return {
    opcode,
    length: length === 126 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2)),
    bytes: headerBytes,
  }
}

function maskedFrame(header: number, payload: Buffer): Buffer {
  const isShort = payload.length < 126
  const head = Buffer.alloc(isShort ? 6 : 8)
  head[0] = header
  head[1] = MASKED | (isShort ? payload.length : 126)
  if (!isShort) head.writeUInt16BE(payload.length, 2)
  return Buffer.concat([head, payload])
}
