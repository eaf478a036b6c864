import { isIP } from 'node:net'
import type { LookupFunction } from 'node:net'
import { buildConnector } from 'undici'

/**
 * What stands between the deliverer's guard and the network in tests of the guard: undici's own connector,
 * but every address that it is about to dial is written down, and only those of the loopback interface are
 * dialled.
 */
export class RecordingNet {
  /** Addresses that a socket was to be opened to, in order. */
  readonly dialled: string[] = []

  readonly build = (options: buildConnector.BuildOptions = {}): buildConnector.connector => {
    const lookup = 'lookup' in options ? options.lookup : undefined
    const connect = buildConnector({ ...options, ...(lookup !== undefined && { lookup: this.#record(lookup) }) })
    return (target, callback) => {
      if (isIP(target.hostname) !== 0 && !this.#allow(target.hostname)) return callback(refusal(), null)
      return connect(target, callback)
    }
  }

  #record(lookup: LookupFunction): LookupFunction {
    return (hostname, options, callback) =>
      lookup(hostname, options, (error, answer, family) => {
        if (error !== null) return callback(error, answer, family)
        const addresses = typeof answer === 'string' ? [answer] : answer.map(({ address }) => address)
        const allowed = addresses.map((address) => this.#allow(address))
        if (allowed.every(Boolean)) return callback(null, answer, family)
        callback(refusal(), answer, family)
      })
  }

  #allow(address: string): boolean {
    this.dialled.push(address)
    return address.startsWith('127.') || address === '::1'
  }
}

const refusal = (): NodeJS.ErrnoException =>
  Object.assign(new Error('this network ends at the loopback interface'), { code: 'ENETUNREACH' })
