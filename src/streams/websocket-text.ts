import { allocateApart } from './own-memory.ts'

/** FIN and the opcode of a text message (RFC 6455 section 5.2). */
const FINAL_TEXT = 0x81
/** A whole unmasked ping without data (RFC 6455 section 5.5.2), which every client library answers by itself. */
export const WEBSOCKET_PING: Buffer = Buffer.from([0x89, 0])
/** Lengths from here on take two more bytes, or eight. */
const LENGTH_16 = 126
const LENGTH_64 = 65_536

/**
 * A text as one unmasked WebSocket message, as servers send it (RFC 6455 section 5.2), and the part of
 * the same memory that is the text itself. Made once, it serves any number of sockets; a socket on its own
 * would make the header anew for each message and write it apart.
 */
export function encodeWebSocketText(text: string): { readonly message: Buffer; readonly payload: Buffer } {
  const length = Buffer.byteLength(text)
  const headerBytes = length < LENGTH_16 ? 2 : length < LENGTH_64 ? 4 : 10
  const message = allocateApart(headerBytes + length)
  message[0] = FINAL_TEXT
  if (headerBytes === 2) message[1] = length
  else if (headerBytes === 4) {
    message[1] = 126
    message.writeUInt16BE(length, 2)
  } else {
    message[1] = 127
    message.writeBigUInt64BE(BigInt(length), 2)
  }
  message.write(text, headerBytes)
  return { message, payload: message.subarray(headerBytes) }
}
