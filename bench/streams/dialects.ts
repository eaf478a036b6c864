import type { RawClient } from './raw-client.ts'

/** How to talk to a server as its own client library would. */
export type Dialect = 'callhalf' | 'bare' | 'socket.io'

/** What a message of the server is. */
export type Meaning = 'ready' | 'event' | 'other'

type Speech = {
  /** Said as soon as the connection is open. */
  readonly greet: (client: RawClient, after: string) => void
  readonly isReadyWhenOpen: boolean
  /** Understands the beginning of a message, and answers where an answer is due. */
  readonly hear: (text: Buffer, client: RawClient) => Meaning
}

const startsWith = (text: Buffer, prefix: Buffer): boolean =>
  text.length >= prefix.length && text.compare(prefix, 0, prefix.length, 0, prefix.length) === 0

const [EVENT, SUBSCRIBED] = [Buffer.from('{"type":"event"'), Buffer.from('{"type":"subscribed"')]

/**
 * The stream protocol of Callhalf; no protocol at all; and Engine.IO 4 with Socket.IO 5 in it (packet types
 * `0` open, `2` ping, `3` pong, `40` connect, `42` event).
 */
export const DIALECTS: Readonly<Record<Dialect, Speech>> = {
  callhalf: {
    // `after` is JSON: a position, or null.
    greet: (client, after) => client.send(`{"op":"subscribe","after":${after}}`),
    isReadyWhenOpen: false,
    hear: (text) => (startsWith(text, EVENT) ? 'event' : startsWith(text, SUBSCRIBED) ? 'ready' : 'other'),
  },
  bare: {
    greet: () => undefined,
    isReadyWhenOpen: true,
    hear: (text) => (startsWith(text, EVENT) ? 'event' : 'other'),
  },
  'socket.io': {
    greet: () => undefined,
    isReadyWhenOpen: false,
    hear(text, client) {
      const type = text.toString('latin1', 0, 2)
      if (type === '42') return 'event'
      if (type === '40') return 'ready'
      if (type.startsWith('0')) client.send('40')
      else if (type === '2') client.send('3')
      return 'other'
    },
  },
}
