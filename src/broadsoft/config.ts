import { X509Certificate } from 'node:crypto'
import { BlockList, isIP } from 'node:net'
import * as v from 'valibot'

/** What a network's XSI subscriptions are made for (XSI Interface Specification 2020.07, p. 347). */
const SUBSCRIBE_SCOPES = ['user', 'group', 'enterprise', 'system'] as const

/**
 * `config` of a BroadWorks network. Names are those of the admin API. Times are seconds.
 *
 * Plain `http` is accepted only for hosts that are not public (loopback and private addresses,
 * `localhost`, names without a dot), because every XSI request carries the administrator's password.
 */
export const BroadsoftConfigSchema = v.pipe(
  v.strictObject({
    xsp: v.pipe(
      v.array(nodeUrl()),
      v.minLength(1, 'at least one XSP URL is needed'),
      v.maxLength(16, 'at most 16 XSP URLs are used'),
      v.check((nodes) => new Set(nodes).size === nodes.length, 'an XSP URL is listed twice'),
      v.description('Base URLs of the XSPs, one event channel each; list the nodes, not their load balancer'),
    ),
    username: v.pipe(
      text(161),
      v.regex(/^[^:]+$/, 'a user id has no colon'),
      v.description('BroadWorks user id of an administrator whose scope covers the subscribers'),
    ),
    password: v.pipe(v.string(), v.minLength(1), v.maxLength(255)),
    subscribe: v.optional(v.picklist(SUBSCRIBE_SCOPES), 'user'),
    enterprise_id: v.optional(pathId()),
    group_id: v.optional(pathId()),
    ca: v.optional(
      v.pipe(
        v.string(),
        v.maxLength(65_536),
        v.check(isCertificate, 'not a PEM certificate'),
        v.description('PEM certificates trusted besides the public ones'),
      ),
    ),
    redirect_hosts: v.pipe(
      v.optional(v.pipe(v.array(hostName()), v.maxLength(64)), []),
      v.description('Hosts that a redirect may lead to, besides those of xsp; they will be sent the credentials'),
    ),
    heartbeat_seconds: v.optional(v.pipe(v.number(), v.minValue(1), v.maxValue(60)), 15),
    expires_seconds: v.pipe(
      v.optional(v.pipe(v.number(), v.integer(), v.minValue(3600), v.maxValue(2_147_483_647)), 86_400),
      v.description('Lifetime asked for channels and subscriptions; what the network grants is used'),
    ),
    subscribe_per_second: v.optional(v.pipe(v.number(), v.minValue(1), v.maxValue(1000)), 50),
    actions_path: v.optional(contextPath(), '/com.broadsoft.xsi-actions'),
    events_path: v.optional(contextPath(), '/com.broadsoft.xsi-events'),
    channel_path: v.optional(contextPath(), '/com.broadsoft.async/com.broadsoft.xsi-events'),
  }),
  v.forward(
    v.check(
      ({ subscribe, enterprise_id }) =>
        (subscribe !== 'group' && subscribe !== 'enterprise') || enterprise_id !== undefined,
      'a group or enterprise subscription needs enterprise_id',
    ),
    ['enterprise_id'],
  ),
  v.forward(
    v.check(
      ({ subscribe, group_id }) => subscribe !== 'group' || group_id !== undefined,
      'a group subscription needs group_id',
    ),
    ['group_id'],
  ),
)
export type BroadsoftConfig = v.InferOutput<typeof BroadsoftConfigSchema>

/** Fields of the config that are kept encrypted and never returned. */
export const BROADSOFT_SECRET_FIELDS: readonly string[] = ['password']

/** Whether requests to this node carry the password in clear text. */
export const isPlainText = (node: string): boolean => node.startsWith('http:')

function text(maxLength: number) {
  return v.pipe(v.string(), v.trim(), v.minLength(1), v.maxLength(maxLength))
}

/** An id that becomes a path segment: BroadWorks does not allow `/` in it (2020.07, p. 351). */
function pathId() {
  return v.pipe(text(80), v.regex(/^[^/]+$/, 'an id has no slash'))
}

function hostName() {
  return v.pipe(
    text(253),
    v.toLowerCase(),
    v.regex(
      /^[a-z0-9.-]+(:\d{1,5})?$|^\[[0-9a-f:.]+\](:\d{1,5})?$/,
      'a host name, with a port if it is not the usual one',
    ),
  )
}

/** The path of a BroadWorks web context; a trailing slash or `/v2.0` is taken off, as clients append it. */
function contextPath() {
  return v.pipe(
    text(200),
    v.regex(/^\/[\w./-]*$/, 'a path begins with / and has letters, digits and . _ -'),
    v.transform((path) => path.replace(/\/+$/, '').replace(/\/v2\.0$/i, '')),
  )
}

function nodeUrl() {
  return v.pipe(
    text(300),
    v.check((value) => URL.canParse(value), 'not a URL'),
    v.check((value) => /^https?:$/.test(protocolOf(value)), 'an XSP URL begins with https:// (or http://)'),
    v.check(
      (value) => isBare(value),
      'an XSP URL has only a host and a port; set the paths with actions_path and events_path',
    ),
    v.check(
      (value) => protocolOf(value) !== 'http:' || isPrivateHost(hostOf(value)),
      'http is allowed only for private hosts: the password would be readable',
    ),
    v.transform((value) => new URL(value).origin),
  )
}

const protocolOf = (value: string): string => (URL.canParse(value) ? new URL(value).protocol : '')
const hostOf = (value: string): string => (URL.canParse(value) ? new URL(value).hostname : '')

function isBare(value: string): boolean {
  if (!URL.canParse(value)) return false
  const url = new URL(value)
  return (
    url.hostname !== '' &&
    url.username === '' &&
    url.password === '' &&
    url.pathname === '/' &&
    url.search === '' &&
    url.hash === ''
  )
}

function isPrivateHost(host: string): boolean {
  const address = host.replace(/^\[|\]$/g, '')
  const family = isIP(address)
  if (family === 0) return !host.includes('.') || host.endsWith('.localhost') || host.endsWith('.internal')
  const privates = new BlockList()
  for (const [network, prefix] of [
    ['10.0.0.0', 8],
    ['127.0.0.0', 8],
    ['169.254.0.0', 16],
    ['172.16.0.0', 12],
    ['192.168.0.0', 16],
  ] as const) {
    privates.addSubnet(network, prefix, 'ipv4')
  }
  privates.addAddress('::1', 'ipv6')
  privates.addSubnet('fc00::', 7, 'ipv6')
  privates.addSubnet('fe80::', 10, 'ipv6')
  return privates.check(address, family === 4 ? 'ipv4' : 'ipv6')
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).subject !== undefined
  } catch {
    return false
  }
}
