import { lookup, Resolver } from 'node:dns/promises'
import { setTimeout } from 'node:timers/promises'
import { GatewayError } from '../core/errors.ts'
import { isLocalName } from './url-policy.ts'

export type ResolvedAddress = { readonly address: string; readonly family: 4 | 6 }

/** All addresses of a host name. Rejects with `webhook_url_refused` (reason `unresolvable`) when there are none. */
export type Resolve = (hostname: string) => Promise<readonly ResolvedAddress[]>

/** How long after the addresses of one family those of the other are waited for. */
const GRACE_MS = 100

/**
 * Resolves public names with queries of our own, which end after about `timeoutMs`, or shortly after one
 * family has been answered, and run beside each other: the system's resolver has four threads for the whole process, and four slow name servers of
 * one tenant would stop everybody. Names of the local network (`localhost`, a container's name) are only
 * known to the system's resolver; they are asked only when `localNames` says that any could be reached.
 */
export function createResolver({
  timeoutMs,
  localNames,
  servers,
}: {
  readonly timeoutMs: number
  readonly localNames: boolean
  /** Name servers to ask for public names instead of the system's, as `address` or `address:port`. */
  readonly servers?: readonly string[]
}): Resolve {
  return async (hostname) => {
    const addresses = isLocalName(hostname)
      ? await resolveLocal(hostname, localNames)
      : await resolvePublic(hostname, { timeoutMs, servers })
    if (addresses.length === 0) throw unresolvable()
    return addresses
  }
}

async function resolvePublic(
  hostname: string,
  { timeoutMs, servers }: { readonly timeoutMs: number; readonly servers: readonly string[] | undefined },
): Promise<readonly ResolvedAddress[]> {
  // The second try waits longer than the first: both together take about timeoutMs.
  const resolver = new Resolver({ timeout: Math.ceil(timeoutMs / 4), tries: 2, maxTimeout: timeoutMs })
  if (servers !== undefined) resolver.setServers(servers)
  const queries = [resolver.resolve4(hostname), resolver.resolve6(hostname)] as const
  // Some name servers say nothing about the family that a name does not have.
  const grace = new AbortController()
  const endGrace = async () => {
    await Promise.any(queries)
    await setTimeout(GRACE_MS, undefined, { signal: grace.signal })
    resolver.cancel()
  }
  // Without an answer, or when both have come, there is nothing to be given up.
  endGrace().catch(() => undefined)
  const [four, six] = await Promise.allSettled(queries)
  grace.abort()
  if (four.status === 'rejected' && six.status === 'rejected') throw unresolvable(four.reason)
  return [
    ...(six.status === 'fulfilled' ? six.value : []).map((address) => ({ address, family: 6 as const })),
    ...(four.status === 'fulfilled' ? four.value : []).map((address) => ({ address, family: 4 as const })),
  ]
}

async function resolveLocal(hostname: string, allowed: boolean): Promise<readonly ResolvedAddress[]> {
  if (!allowed) throw unresolvable()
  const found = await lookup(hostname, { all: true }).catch((cause: unknown) => {
    throw unresolvable(cause)
  })
  return found.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 }))
}

const unresolvable = (cause?: unknown): GatewayError =>
  new GatewayError('webhook_url_refused', {
    detail: 'The host name does not resolve',
    fields: { field: 'url', reason: 'unresolvable' },
    cause,
  })
