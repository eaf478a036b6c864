import { GatewayError } from '../core/errors.ts'

/** Answers that move a request elsewhere unchanged; 303 would change the method and is none of them. */
export const isRedirect = (status: number): boolean => [301, 302, 307, 308].includes(status)

/**
 * Where a redirect leads (BroadWorks: the user is homed on another cluster). The request follows with
 * its credentials, so only to what is in `allowed` (a node's origin, a host with its port, or a host
 * without one for any port), and never from https to http. Throws `provider_refused` otherwise.
 */
export function redirectTarget(from: URL, location: string | undefined, allowed: ReadonlySet<string>): URL {
  if (location === undefined || !URL.canParse(location, from.href)) throw refused('The network redirects to nowhere')
  const target = new URL(location, from)
  const isDowngrade = from.protocol === 'https:' && target.protocol !== 'https:'
  if (isDowngrade || !/^https?:$/.test(target.protocol) || target.username !== '' || target.password !== '') {
    throw refused('The network redirects to a URL that is not safe')
  }
  if (![target.origin, target.host, target.hostname].some((name) => allowed.has(name))) {
    throw new GatewayError('provider_refused', {
      detail: 'The network redirects to a host that is not allowed',
      fields: { host: target.host },
    })
  }
  target.hash = ''
  return target
}

const refused = (detail: string): GatewayError => new GatewayError('provider_refused', { detail })
