import { isIP, Socket } from 'node:net'
import type { LookupFunction } from 'node:net'
import type { SecureContext } from 'node:tls'
import { buildConnector, errors } from 'undici'
import type { Clock } from '../core/clock.ts'
import { GatewayError } from '../core/errors.ts'
import type { AddressPolicy } from './address-policy.ts'
import type { ConnectionLog } from './connection-log.ts'
import type { Resolve, ResolvedAddress } from './resolver.ts'
import { bareHost, mustBeOpened } from './url-policy.ts'

type Permits = (address: string) => boolean

export type ConnectorOptions = {
  readonly policy: AddressPolicy
  readonly resolve: Resolve
  readonly clock: Pick<Clock, 'monotonic'>
  /** For the name's resolution, the connection and TLS together. */
  readonly timeoutMs: number
  /** Where to remember how each socket was opened. */
  readonly log: ConnectionLog
  /** What certificates are verified against. */
  readonly secureContext: SecureContext
  /** What makes the connectors that open sockets: undici's. */
  readonly build?: typeof buildConnector
}

/**
 * Opens sockets to permitted addresses only. A host that is an address is judged before anything else,
 * because `net.connect` never asks `lookup` about one; a name is resolved here, refused if any of its
 * addresses is not permitted, and the socket dials the very addresses that were judged, so that a name
 * server cannot answer differently in between. The peer of the open socket is judged once more.
 * HTTP/2 is off: one GOAWAY would hit many events.
 */
export function createGuardedConnector(options: ConnectorOptions): buildConnector.connector {
  const { policy, resolve, timeoutMs, secureContext, build = buildConnector } = options
  const connectorFor = (permits: Permits) => {
    const connect = build({
      allowH2: false,
      timeout: timeoutMs,
      lookup: guardedLookup(resolve, permits),
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: 250,
      secureContext,
    })
    return { connect, permits }
  }
  const toOpened = connectorFor((address) => policy.isOpened(address))
  const toPermitted = connectorFor((address) => policy.isPermitted(address))

  return (target, callback) => {
    const { connect, permits } = mustBeOpened(target) ? toOpened : toPermitted
    const host = bareHost(target.hostname)
    if (isIP(host) !== 0 && !permits(host)) return callback(blocked(), null)
    const watch = new ConnectionWatch(options)
    // undici's connector returns its socket, although its type does not say so.
    const opening: unknown = connect({ ...target, hostname: host }, (...[error, socket]) => {
      watch.end()
      if (error !== null) return callback(error, null)
      const { remoteAddress } = socket
      if (remoteAddress === undefined || !permits(remoteAddress)) {
        socket.destroy()
        return callback(blocked(), null)
      }
      watch.report(socket, remoteAddress)
      callback(null, readInSlices(socket))
    })
    if (opening instanceof Socket) watch.begin(opening)
  }
}

/** Measures one connection's phases, and ends it in time: undici's own timers are half a second coarse. */
class ConnectionWatch {
  readonly #options: ConnectorOptions
  readonly #openedAt: number
  #timer: NodeJS.Timeout | undefined
  #isOver = false
  #resolvedAt: number | undefined
  #connectedAt: number | undefined

  constructor(options: ConnectorOptions) {
    this.#options = options
    this.#openedAt = options.clock.monotonic()
  }

  begin(socket: Socket): void {
    if (this.#isOver) return
    const { clock, timeoutMs } = this.#options
    this.#timer = setTimeout(() => socket.destroy(new errors.ConnectTimeoutError()), timeoutMs)
    socket.once('lookup', () => {
      this.#resolvedAt = clock.monotonic()
    })
    socket.once('connect', () => {
      this.#connectedAt = clock.monotonic()
    })
  }

  end(): void {
    this.#isOver = true
    clearTimeout(this.#timer)
  }

  report(socket: Socket, remoteAddress: string): void {
    const readyAt = this.#options.clock.monotonic()
    const dialledAt = this.#resolvedAt ?? this.#openedAt
    const connectedAt = this.#connectedAt ?? readyAt
    this.#options.log.add(socket, {
      openedAt: this.#openedAt,
      remoteAddress,
      ...(this.#resolvedAt !== undefined && { dnsMs: this.#resolvedAt - this.#openedAt }),
      connectMs: connectedAt - dialledAt,
      ...('encrypted' in socket && { tlsMs: readyAt - connectedAt }),
    })
  }
}

/** The head of a usual answer fits in. */
const SLICE_BYTES = 512

/**
 * Lets what arrived be read a little at a time, and not at all once the socket is destroyed. When an answer
 * has too many headers undici's parser destroys the socket, but it goes on with the bytes that it has and
 * makes an error, stack trace included, for each header to come: 30,000 of them in one read of 64 kB, for
 * which the whole process would stand still.
 */
function readInSlices(socket: Socket): Socket {
  const read = socket.read.bind(socket)
  socket.read = (size) => {
    if (size !== undefined) return read(size)
    if (socket.destroyed) return null
    const { readableLength } = socket
    return readableLength > SLICE_BYTES ? read(SLICE_BYTES) : read()
  }
  return socket
}

function guardedLookup(resolve: Resolve, permits: Permits): LookupFunction {
  const vet = async (hostname: string): Promise<readonly [ResolvedAddress, ...ResolvedAddress[]]> => {
    const [first, ...rest] = await resolve(hostname)
    if (first === undefined || ![first, ...rest].every(({ address }) => permits(address))) throw blocked()
    return [first, ...rest]
  }
  const answer = async (...[hostname, options, callback]: Parameters<LookupFunction>): Promise<void> => {
    let addresses: Awaited<ReturnType<typeof vet>>
    try {
      addresses = await vet(hostname)
    } catch (error) {
      return callback(error instanceof Error ? error : blocked(), [])
    }
    if (options.all === true) return callback(null, [...addresses])
    callback(null, addresses[0].address, addresses[0].family)
  }
  // Every way out of `answer` is a callback.
  return (...args) => void answer(...args)
}

const blocked = (): GatewayError =>
  new GatewayError('webhook_url_refused', {
    detail: 'The host is not on the public internet',
    fields: { field: 'url', reason: 'blocked_address' },
  })
