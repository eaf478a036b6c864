/** A Redis that sentinels watch: they are asked for the primary at each connect. */
export type SentinelAddress = {
  readonly sentinels: readonly { readonly host: string; readonly port: number }[]
  /** Of the primary, as the sentinels know it. */
  readonly name: string
  /** TLS to Redis and to the sentinels. */
  readonly isEncrypted: boolean
  readonly username?: string
  readonly password?: string
  readonly db?: number
  readonly sentinelUsername?: string
  readonly sentinelPassword?: string
}

const SENTINEL_PORT = 26_379
/** `redis+sentinel://user:password@host1:26379,host2:26379/name/0?sentinel_password=…` */
const SENTINEL_URL = /^redis(s?)\+sentinel:\/\/(?:([^@/?#]*)@)?([^@/?#]+)\/([^/?#]+)(?:\/(\d{1,5}))?(?:\?([^#]*))?$/
const SENTINEL_PARAMETERS = new Set(['sentinel_username', 'sentinel_password'])

/**
 * What a REDIS_URL names: a server (`redis://`, `rediss://` with TLS), or the primary that sentinels know by a
 * name (`redis+sentinel://`, `rediss+sentinel://`). Undefined when it is neither.
 */
export function parseRedisUrl(text: string): { readonly url: string } | SentinelAddress | undefined {
  if (!/^rediss?\+sentinel:/.test(text)) {
    return /^rediss?:\/\/\S+$/.test(text) && URL.canParse(text) ? { url: text } : undefined
  }
  const match = SENTINEL_URL.exec(text)
  if (match === null) return undefined
  const [, secure, login, hosts = '', name = '', db, query] = match
  try {
    const sentinels = hosts.split(',').map(parseHost)
    const parameters = new URLSearchParams(query)
    if ([...parameters.keys()].some((key) => !SENTINEL_PARAMETERS.has(key))) return undefined
    const sentinelUsername = parameters.get('sentinel_username')
    const sentinelPassword = parameters.get('sentinel_password')
    return {
      sentinels,
      name: decodeURIComponent(name),
      isEncrypted: secure === 's',
      ...parseLogin(login),
      ...(db !== undefined && { db: Number(db) }),
      ...(sentinelUsername !== null && { sentinelUsername }),
      ...(sentinelPassword !== null && { sentinelPassword }),
    }
  } catch {
    return undefined
  }
}

/** Throws what URL throws for what is no host. */
function parseHost(text: string): { readonly host: string; readonly port: number } {
  const { hostname, port, pathname } = new URL(`redis://${text}`)
  if (hostname === '' || pathname !== '') throw new URIError('not a host')
  return { host: hostname.replaceAll(/^\[|\]$/g, ''), port: port === '' ? SENTINEL_PORT : Number(port) }
}

/** Throws URIError for a damaged percent-encoding. */
function parseLogin(login: string | undefined): { readonly username?: string; readonly password?: string } {
  if (login === undefined) return {}
  const colon = login.indexOf(':')
  const username = decodeURIComponent(colon === -1 ? login : login.slice(0, colon))
  const password = colon === -1 ? undefined : decodeURIComponent(login.slice(colon + 1))
  return { ...(username !== '' && { username }), ...(password !== undefined && { password }) }
}
