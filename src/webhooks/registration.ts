import { isIP } from 'node:net'
import { GatewayError } from '../core/errors.ts'
import type { AddressPolicy } from './address-policy.ts'
import type { Resolve } from './resolver.ts'
import { bareHost, inspectUrl } from './url-policy.ts'
import type { UrlRefusal } from './url-policy.ts'

/** What is needed to judge a URL. */
export type UrlCheck = {
  readonly policy: AddressPolicy
  readonly resolve: Resolve
  /** Ends the wait for name servers. */
  readonly deadlineMs?: number
}

/**
 * Whether webhooks may be sent to `text`; resolves with its canonical form. Rejects with
 * `webhook_url_refused` and `reason` in its fields. The same is checked again at every connection: this
 * check is there to tell the app at once, not to be relied on.
 */
export async function checkEndpointUrl(
  text: string,
  { policy, resolve, deadlineMs = 5_000 }: UrlCheck,
): Promise<string> {
  const inspection = inspectUrl(text)
  if (!inspection.ok) throw refused(inspection.reason, REFUSALS[inspection.reason])
  const { url, mustBeOpened } = inspection
  const host = bareHost(url.hostname)
  const addresses = isIP(host) === 0 ? await resolveWithin(host, resolve, deadlineMs) : [host]
  if (addresses.length === 0) throw refused('unresolvable', 'The host name does not resolve')
  if (addresses.every((address) => policy.isOpened(address))) return url.href
  if (mustBeOpened) {
    throw refused(
      url.protocol === 'http:' ? 'https_required' : 'blocked_address',
      'Only https on port 443 or from 1024 up, to a public name, unless the operator opened the address (CALLHALF_ALLOW_PRIVATE_TARGETS)',
    )
  }
  if (!addresses.every((address) => policy.isPermitted(address))) {
    throw refused(
      'blocked_address',
      'The host is not on the public internet, and the operator has not opened its address (CALLHALF_ALLOW_PRIVATE_TARGETS)',
    )
  }
  return url.href
}

async function resolveWithin(host: string, resolve: Resolve, deadlineMs: number): Promise<readonly string[]> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(refused('unresolvable', 'The host name did not resolve in time')), deadlineMs)
  try {
    return (await Promise.race([resolve(host), late])).map(({ address }) => address)
  } finally {
    clearTimeout(timer)
  }
}

const REFUSALS: Readonly<Record<UrlRefusal, string>> = {
  malformed: 'It is not an absolute URL',
  too_long: 'It is longer than 2048 characters, percent-encoded where it has to be',
  scheme: 'The scheme must be https',
  credentials: 'It must not contain a user name or password',
  port: 'There is no port 0',
}

const refused = (reason: string, detail: string): GatewayError =>
  new GatewayError('webhook_url_refused', { detail, fields: { field: 'url', reason } })
