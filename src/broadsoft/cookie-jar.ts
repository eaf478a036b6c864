type Cookie = { readonly name: string; readonly value: string; readonly path: string; readonly isSecure: boolean }

const COOKIES_MAX = 32
const COOKIE_LENGTH_MAX = 4096

/**
 * The cookies of one node. BroadWorks' JSESSIONID (and a load balancer's cookie) keeps a client on the
 * XSP that holds its channel, so channel, heartbeats and acknowledgements must share a jar
 * (XSI Interface Specification 2020.07, p. 28, 340). Cookies are bound to the host that set them;
 * a `Domain` attribute is ignored.
 */
export class CookieJar {
  readonly #cookies = new Map<string, Cookie>()
  /** The same in the order in which they are sent: the longest path first. */
  #inOrder: readonly Cookie[] = []

  /** Takes in the Set-Cookie headers of an answer to a request for `path`. */
  store(setCookie: string | readonly string[] | undefined, path: string): void {
    if (setCookie === undefined) return
    for (const header of typeof setCookie === 'string' ? [setCookie] : setCookie) this.#storeOne(header, path)
    this.#inOrder = [...this.#cookies.values()].toSorted((a, b) => b.path.length - a.path.length)
  }

  /** The Cookie header for a request to `path`; undefined when there is none to send. */
  headerFor(path: string, isSecure: boolean): string | undefined {
    let header: string | undefined
    for (const cookie of this.#inOrder) {
      if (!isWithin(path, cookie.path) || (cookie.isSecure && !isSecure)) continue
      const pair = `${cookie.name}=${cookie.value}`
      header = header === undefined ? pair : `${header}; ${pair}`
    }
    return header
  }

  #storeOne(header: string, requestPath: string): void {
    if (header.length > COOKIE_LENGTH_MAX) return
    const [pair = '', ...attributes] = header.split(';').map((part) => part.trim())
    const equals = pair.indexOf('=')
    if (equals < 1 || /[^\x20-\x7e]/.test(pair)) return
    const values = new Map(attributes.map(readAttribute))
    const path = values.get('path')
    const cookie: Cookie = {
      name: pair.slice(0, equals),
      value: pair.slice(equals + 1),
      path: path?.startsWith('/') === true ? path : requestPath.slice(0, Math.max(1, requestPath.lastIndexOf('/'))),
      isSecure: values.has('secure'),
    }
    const key = `${cookie.path} ${cookie.name}`
    this.#cookies.delete(key)
    if (isExpired(values)) return
    this.#cookies.set(key, cookie)
    const oldest = this.#cookies.keys().next()
    if (this.#cookies.size > COOKIES_MAX && oldest.done !== true) this.#cookies.delete(oldest.value)
  }
}

const readAttribute = (attribute: string): [string, string] => {
  const equals = attribute.indexOf('=')
  return equals === -1
    ? [attribute.toLowerCase(), '']
    : [attribute.slice(0, equals).trim().toLowerCase(), attribute.slice(equals + 1).trim()]
}

/** Servers remove a cookie by Max-Age=0 or the year 1970; lifetimes that end later do not matter here. */
const isExpired = (attributes: ReadonlyMap<string, string>): boolean => {
  const maxAge = attributes.get('max-age')
  if (maxAge !== undefined) return !(Number(maxAge) > 0)
  const expires = attributes.get('expires')
  return expires !== undefined && Date.parse(expires) < 86_400_000
}

const isWithin = (path: string, cookiePath: string): boolean =>
  path === cookiePath || (path.startsWith(cookiePath) && (cookiePath.endsWith('/') || path[cookiePath.length] === '/'))
