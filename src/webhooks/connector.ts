import { isIP } from 'node:net'
import type { LookupFunction } from 'node:net'
import { buildConnector } from 'undici'
import { GatewayError } from '../core/errors.ts'
import type { AddressPolicy } from './address-policy.ts'
import type { Resolve, ResolvedAddress } from './resolver.ts'
import { bareHost, mustBeOpened } from './url-policy.ts'

type Permits = (address: string) => boolean

/**
 * Opens sockets to permitted addresses only. A host that is an address is judged before anything else,
 * because `net.connect` never asks `lookup` about one; a name is resolved here, refused if any of its
 * addresses is not permitted, and the socket dials the very addresses that were judged, so that a name
 * server cannot answer differently in between. The peer of the open socket is judged once more.
 * HTTP/2 is off: one GOAWAY would hit many events.
 */
export function createGuardedConnector({
  policy,
  resolve,
  timeoutMs,
}: {
  readonly policy: AddressPolicy
  readonly resolve: Resolve
  readonly timeoutMs: number
}): buildConnector.connector {
  const connectorFor = (permits: Permits) => {
    const connect = buildConnector({
      allowH2: false,
      timeout: timeoutMs,
      lookup: guardedLookup(resolve, permits),
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: 250,
    })
    return { connect, permits }
  }
  const toOpened = connectorFor((address) => policy.isOpened(address))
  const toPermitted = connectorFor((address) => policy.isPermitted(address))

  return (options, callback) => {
    const { connect, permits } = mustBeOpened(options) ? toOpened : toPermitted
    const host = bareHost(options.hostname)
    if (isIP(host) !== 0 && !permits(host)) return callback(blocked(), null)
    connect({ ...options, hostname: host }, (...[error, socket]) => {
      if (error !== null) return callback(error, null)
      if (socket.remoteAddress === undefined || !permits(socket.remoteAddress)) {
        socket.destroy()
        return callback(blocked(), null)
      }
      callback(null, socket)
    })
  }
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
