import { isIP } from 'node:net'

/** Why a URL can never be a webhook's, whatever it resolves to. */
export type UrlRefusal = 'malformed' | 'too_long' | 'scheme' | 'credentials' | 'port'

export type UrlInspection =
  | {
      readonly ok: true
      readonly url: URL
      /**
       * Only addresses that the operator opened will do, because the URL is something that a public
       * receiver would not be: plain http, an unusual port, or a name of the local network.
       */
      readonly mustBeOpened: boolean
    }
  | { readonly ok: false; readonly reason: UrlRefusal }

const URL_LENGTH_MAX = 2_048

/** Everything about a webhook URL that can be judged without resolving its name. */
export function inspectUrl(text: string): UrlInspection {
  if (text.length > URL_LENGTH_MAX) return { ok: false, reason: 'too_long' }
  const url = URL.parse(text)
  if (url === null) return { ok: false, reason: 'malformed' }
  // The canonical form is what is kept and judged again before each attempt: percent-encoding made it longer.
  if (url.href.length > URL_LENGTH_MAX) return { ok: false, reason: 'too_long' }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return { ok: false, reason: 'scheme' }
  if (url.username !== '' || url.password !== '') return { ok: false, reason: 'credentials' }
  if (url.port === '0') return { ok: false, reason: 'port' }
  return { ok: true, url, mustBeOpened: mustBeOpened(url) }
}

/** The rule behind {@link inspectUrl}, asked again for every connection. */
export function mustBeOpened(target: {
  readonly protocol: string
  readonly hostname: string
  readonly port: string
}): boolean {
  return target.protocol !== 'https:' || isServicePort(target.port) || isLocalName(target.hostname)
}

/** Well-known ports belong to other protocols, which must not be spoken to by our means. */
const isServicePort = (port: string): boolean => port !== '' && port !== '443' && Number(port) < 1_024

const LOCAL_SUFFIXES = ['localhost', 'local', 'internal', 'intranet', 'lan', 'home', 'corp', 'private', 'home.arpa']

/** Names that mean something only inside somebody's network (RFC 6761, RFC 6762, RFC 8375 and custom). */
export function isLocalName(hostname: string): boolean {
  const name = bareHost(hostname).replace(/\.+$/, '').toLowerCase()
  if (isIP(name) !== 0) return false
  return !name.includes('.') || LOCAL_SUFFIXES.some((suffix) => name === suffix || name.endsWith(`.${suffix}`))
}

/** A host without the brackets that a URL puts around an IPv6 address. */
export const bareHost = (hostname: string): string => hostname.replace(/^\[|\]$/g, '')
