import { GatewayError } from '../core/errors.ts'

export type FramerOptions = {
  /** The largest document taken, in bytes; a larger one means a broken peer. */
  readonly documentBytesMax: number
  readonly depthMax?: number
}

const DEPTH_MAX_DEFAULT = 64
/** A larger buffer is given back after the document that needed it. */
const PENDING_BYTES_KEPT = 65_536

// Where the scanner stands between two bytes: first outside of markup, then in tags, then in the rest.
const BETWEEN = 0 // outside a root element, in white space
const TEXT = 1
const OPEN = 2 // after <
const NAME = 3 // of a start tag
const TAG = 4 // in a start tag, after its name
const VALUE = 5 // in a quoted attribute value
const EMPTY = 6 // after the / of an empty element
const CLOSE_START = 7 // after </
const CLOSE_NAME = 8
const CLOSE_END = 9 // white space after the name of an end tag
const BANG = 10 // after <!
const COMMENT_START = 11 // after <!-
const COMMENT = 12
const CDATA_START = 13 // in <![CDATA[
const CDATA = 14
const INSTRUCTION_TARGET = 15 // after <?
const INSTRUCTION = 16
const AFTER_MISC = 17 // at the end of a comment or instruction

const LF = 0x0a
const CR = 0x0d
const TAB = 0x09
const SPACE = 0x20
const BANG_SIGN = 0x21
const DOUBLE_QUOTE = 0x22
const AMPERSAND = 0x26
const QUOTE = 0x27
const HYPHEN = 0x2d
const SLASH = 0x2f
const LESS = 0x3c
const EQUALS = 0x3d
const GREATER = 0x3e
const QUESTION = 0x3f
const LEFT_BRACKET = 0x5b
const RIGHT_BRACKET = 0x5d

const CDATA_OPENING = Buffer.from('CDATA[')
const HASH_START = 0x811c9dc5
const HASH_PRIME = 0x01000193
/** FNV-1a of the target `xml`, the only instruction that may stand only at the start of a document. */
const XML_TARGET_HASH = [0x78, 0x6d, 0x6c].reduce((hash, byte) => Math.imul(hash ^ byte, HASH_PRIME), HASH_START)

/**
 * Cuts a byte stream into the XML documents that follow each other in it. On an XSI channel every
 * document has a declaration of its own and nothing separates them, while reads split and join them
 * at will (XSI Interface Specification 2020.07, p. 340), even within a UTF-8 sequence.
 *
 * A state machine over bytes: each byte is looked at once, whatever the chunks, and nothing is decoded
 * (every byte that matters is ASCII, and in UTF-8 none of those occurs inside another character). A
 * document is handed out as soon as its root element closes. Names of open elements are kept as hashes,
 * to notice an end tag that does not match where it happens: a lost one would otherwise swallow the
 * documents after it. Whether a document is well-formed is the parser's to say.
 *
 * After a throw the stream has no known position: every later call throws the same error.
 */
export class Framer {
  readonly #documentBytesMax: number
  readonly #depthMax: number
  readonly #names: Int32Array
  #state = BETWEEN
  #depth = 0
  #hash = HASH_START
  /** Bytes matched so far of a delimiter that may be split: `--`, `]]`, `CDATA[`, `?`. */
  #matched = 0
  #quote = 0
  /** The declaration of the next document has been seen, its root has not. */
  #declared = false
  #pending: Buffer = Buffer.alloc(0)
  #pendingBytes = 0
  #failure: GatewayError | undefined

  constructor({ documentBytesMax, depthMax = DEPTH_MAX_DEFAULT }: FramerOptions) {
    this.#documentBytesMax = documentBytesMax
    this.#depthMax = depthMax
    this.#names = new Int32Array(depthMax)
  }

  /**
   * The documents that this chunk completes, each a buffer of its own. Throws `protocol_error` on a
   * document over the bound, a DOCTYPE, text outside a root element, tags that do not match, or
   * elements nested too deeply.
   */
  push(chunk: Uint8Array): readonly Buffer[] {
    if (this.#failure !== undefined) throw this.#failure
    try {
      return this.#scan(chunk)
    } catch (error) {
      if (error instanceof GatewayError) this.#failure = error
      this.#pending = Buffer.alloc(0)
      throw error
    }
  }

  /** To be called at the end of the stream. Throws `protocol_error` when it ended within a document. */
  end(): void {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#state !== BETWEEN || this.#depth > 0 || this.#declared) {
      throw broken('the stream ended within a document')
    }
  }

  #scan(chunk: Uint8Array): readonly Buffer[] {
    const documents: Buffer[] = []
    // Where the bytes of the current document begin in this chunk; -1 while none has begun.
    let start = this.#pendingBytes > 0 ? 0 : -1

    for (let i = 0; i < chunk.length; i += 1) {
      if (this.#state === TEXT || (this.#state === CDATA && this.#matched === 0)) {
        const next = chunk.indexOf(this.#state === TEXT ? LESS : RIGHT_BRACKET, i)
        if (next === -1) break
        i = next
      } else if (this.#state === NAME || this.#state === CLOSE_NAME || this.#state === VALUE) {
        i = this.#state === VALUE ? this.#skipValue(chunk, i) : this.#skipName(chunk, i)
        if (i === chunk.length) break
      }
      const byte = chunk[i] ?? 0
      if (this.#state >= BANG) this.#stepMisc(byte)
      else if (this.#state >= OPEN) this.#stepTag(byte)
      else this.#stepContent(byte)

      if (start === -1 && this.#state !== BETWEEN) start = i
      if (this.#state === AFTER_MISC) {
        this.#state = this.#depth > 0 ? TEXT : BETWEEN
        if (this.#depth === 0 && !this.#declared) {
          // Comments and instructions between documents belong to none.
          start = -1
          this.#pendingBytes = 0
        }
      } else if (this.#state === TEXT && this.#depth === 0) {
        documents.push(this.#complete(chunk.subarray(start, i + 1)))
        start = -1
        this.#state = BETWEEN
        this.#declared = false
      }
    }

    if (start >= 0) this.#keep(chunk.subarray(start))
    return documents
  }

  /** Most bytes are of names: takes those up to the first that ends one, or that none can hold. */
  #skipName(chunk: Uint8Array, from: number): number {
    let hash = this.#hash
    let i = from
    for (; i < chunk.length; i += 1) {
      const byte = chunk[i] ?? 0
      if (!isNameByte(byte)) break
      hash = Math.imul(hash ^ byte, HASH_PRIME)
    }
    this.#hash = hash
    return i
  }

  #skipValue(chunk: Uint8Array, from: number): number {
    let i = from
    while (i < chunk.length && chunk[i] !== this.#quote && chunk[i] !== LESS) i += 1
    return i
  }

  #stepContent(byte: number): void {
    if (byte === LESS) this.#state = OPEN
    else if (this.#state === BETWEEN && !isSpace(byte)) throw broken('there is text outside a root element')
  }

  #stepTag(byte: number): void {
    switch (this.#state) {
      case OPEN:
        return this.#stepOpen(byte)
      case NAME:
        if (byte === GREATER || byte === SLASH || isSpace(byte)) {
          this.#openElement()
          this.#state = byte === GREATER ? TEXT : byte === SLASH ? EMPTY : TAG
        } else this.#hash = continueName(this.#hash, byte)
        return
      case TAG:
        if (byte === GREATER) this.#state = TEXT
        else if (byte === SLASH) this.#state = EMPTY
        else if (byte === LESS) throw broken('a tag is not closed')
        else if (byte === QUOTE || byte === DOUBLE_QUOTE) {
          this.#quote = byte
          this.#state = VALUE
        }
        return
      case VALUE:
        if (byte === this.#quote) this.#state = TAG
        else if (byte === LESS) throw broken('an attribute value is not closed')
        return
      case EMPTY:
        if (byte !== GREATER) throw broken('a tag is malformed')
        this.#depth -= 1
        this.#state = TEXT
        return
      case CLOSE_START:
        this.#hash = startName(byte)
        this.#state = CLOSE_NAME
        return
      default:
        return this.#stepClose(byte)
    }
  }

  #stepOpen(byte: number): void {
    if (byte === SLASH) {
      if (this.#depth === 0) throw broken('an end tag has no start tag')
      this.#state = CLOSE_START
    } else if (byte === QUESTION) {
      this.#hash = HASH_START
      this.#state = INSTRUCTION_TARGET
    } else if (byte === BANG_SIGN) {
      this.#state = BANG
    } else {
      this.#hash = startName(byte)
      this.#state = NAME
    }
  }

  #openElement(): void {
    if (this.#depth >= this.#depthMax) throw broken('elements are nested too deeply')
    this.#names[this.#depth] = this.#hash
    this.#depth += 1
  }

  #stepClose(byte: number): void {
    if (byte === GREATER) {
      this.#depth -= 1
      if (this.#names[this.#depth] !== this.#hash) throw broken('tags do not match')
      this.#state = TEXT
    } else if (isSpace(byte)) this.#state = CLOSE_END
    else if (this.#state === CLOSE_END) throw broken('an end tag is malformed')
    else this.#hash = continueName(this.#hash, byte)
  }

  #stepMisc(byte: number): void {
    switch (this.#state) {
      case BANG:
        if (byte !== HYPHEN && (byte !== LEFT_BRACKET || this.#depth === 0)) {
          throw broken('a document type is not allowed')
        }
        this.#matched = 0
        this.#state = byte === HYPHEN ? COMMENT_START : CDATA_START
        return
      case COMMENT_START:
        if (byte !== HYPHEN) throw broken('a comment is malformed')
        this.#state = COMMENT
        return
      case COMMENT:
        if (byte === HYPHEN) this.#matched = Math.min(this.#matched + 1, 2)
        else if (byte === GREATER && this.#matched === 2) this.#state = AFTER_MISC
        else this.#matched = 0
        return
      case CDATA_START:
        if (byte !== CDATA_OPENING[this.#matched]) throw broken('a CDATA section is malformed')
        this.#matched += 1
        if (this.#matched < CDATA_OPENING.length) return
        this.#matched = 0
        this.#state = CDATA
        return
      case CDATA:
        if (byte === RIGHT_BRACKET) this.#matched = Math.min(this.#matched + 1, 2)
        else if (byte === GREATER && this.#matched === 2) this.#state = TEXT
        else this.#matched = 0
        return
      case INSTRUCTION_TARGET:
        return this.#stepTarget(byte)
      default:
        if (byte === GREATER && this.#matched === 1) this.#state = AFTER_MISC
        else this.#matched = byte === QUESTION ? 1 : 0
    }
  }

  #stepTarget(byte: number): void {
    if (byte !== QUESTION && !isSpace(byte)) {
      this.#hash = continueName(this.#hash, byte)
      return
    }
    if (this.#hash === XML_TARGET_HASH) {
      if (this.#depth > 0 || this.#declared) throw broken('a declaration stands within a document')
      this.#declared = true
    }
    this.#matched = byte === QUESTION ? 1 : 0
    this.#state = INSTRUCTION
  }

  /** The document that ends with `rest`, copied, so that it does not hold on to the chunk. */
  #complete(rest: Uint8Array): Buffer {
    const size = this.#pendingBytes + rest.byteLength
    if (size > this.#documentBytesMax) throw broken('a document is too large')
    const document = Buffer.allocUnsafeSlow(size)
    document.set(this.#pending.subarray(0, this.#pendingBytes))
    document.set(rest, this.#pendingBytes)
    this.#pendingBytes = 0
    if (this.#pending.byteLength > PENDING_BYTES_KEPT) this.#pending = Buffer.alloc(0)
    return document
  }

  /** Adds to the half document. The buffer doubles, so each byte is copied twice on average at most. */
  #keep(part: Uint8Array): void {
    const size = this.#pendingBytes + part.byteLength
    if (size > this.#documentBytesMax) throw broken('a document is too large')
    if (size > this.#pending.byteLength) {
      const grown = Buffer.allocUnsafeSlow(Math.max(2 * size, 1024))
      grown.set(this.#pending.subarray(0, this.#pendingBytes))
      this.#pending = grown
    }
    this.#pending.set(part, this.#pendingBytes)
    this.#pendingBytes = size
  }
}

const isSpace = (byte: number): boolean => byte === SPACE || byte === LF || byte === CR || byte === TAB

const startName = (byte: number): number => {
  if (byte === HYPHEN || (byte >= 0x30 && byte <= 0x39)) throw broken('a tag is malformed')
  return continueName(HASH_START, byte)
}

/** Refuses what no name can hold, so that broken markup is noticed where it happens. */
const continueName = (hash: number, byte: number): number => {
  if (!isNameByte(byte)) throw broken('a tag is malformed')
  return Math.imul(hash ^ byte, HASH_PRIME)
}

const isNameByte = (byte: number): boolean =>
  byte > QUESTION ||
  (byte > SPACE && byte !== LESS && byte !== GREATER && byte !== SLASH && byte !== EQUALS && byte !== AMPERSAND)

const broken = (detail: string): GatewayError => new GatewayError('protocol_error', { detail })
