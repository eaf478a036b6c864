import ipaddr from 'ipaddr.js'
import * as v from 'valibot'
import { parseRedisUrl } from './state/redis-url.ts'

/** What a process can do: everything, unless some of it is left to other processes. */
export const ROLES = ['http', 'channels', 'webhooks', 'provisioning'] as const

/** From the one that writes the most. */
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const

const wholeNumber = (message: string, { min, max }: { readonly min: number; readonly max: number }) =>
  v.pipe(
    v.string(),
    v.regex(/^\d{1,9}$/, message),
    v.transform(Number),
    v.minValue(min, message),
    v.maxValue(max, message),
  )

const words = <const Word extends string>(allowed: readonly Word[], message: string) =>
  v.pipe(
    v.string(),
    v.transform(splitList),
    v.minLength(1, message),
    v.array(v.picklist(allowed, message)),
    v.transform((list): ReadonlySet<Word> => new Set(list)),
  )

/** Only the beginning is checked: drivers accept more than URL does, such as `postgres://user@/db?host=/run`. */
const url = (pattern: RegExp, message: string) => v.pipe(v.string(), v.regex(pattern, message))

const REDIS_MESSAGE =
  'a URL such as redis://user:password@host:6379/0, rediss://host or redis+sentinel://host1:26379,host2:26379/name'
const CIDR_MESSAGE = 'a list of networks in CIDR notation, separated by commas, such as 10.0.0.0/8,fd00::/8'
const SERVER_URL_MESSAGE =
  'an https URL, or an http one of this machine, without user, query and fragment, such as https://provision.example.net/api/20140925'
const ORIGINS_MESSAGE = 'a list of origins, separated by commas, such as https://app.example.net'
const SECRET_KEY_MESSAGE = '32 random bytes in base64 (make one with: openssl rand -base64 32)'
const ROLES_MESSAGE = `a list of roles, separated by commas, out of ${ROLES.join(', ')}`

/** One schema for every variable; the message says what would be right, and never what was given. */
export const VARIABLES = {
  CALLHALF_PORT: v.optional(wholeNumber('a port, 0 to 65535 (0: any free one)', { min: 0, max: 65_535 }), '8080'),
  CALLHALF_HOST: v.optional(
    v.pipe(v.string(), v.regex(/^[A-Za-z0-9.:_%-]+$/, 'a host name or an address to listen on')),
    '127.0.0.1',
  ),
  CALLHALF_TLS_CERT: v.optional(v.string()),
  CALLHALF_TLS_KEY: v.optional(v.string()),
  CALLHALF_DATA_DIR: v.optional(v.string(), './data'),
  CALLHALF_ADMIN_KEY: v.optional(
    v.pipe(v.string(), v.regex(/^[\x21-\x7e]{16,256}$/, '16 to 256 printable ASCII characters without spaces')),
  ),
  CALLHALF_SECRET_KEY: v.optional(v.pipe(v.string(), v.rawTransform(decodeSecretKey))),
  CALLHALF_ROLES: v.optional(words(ROLES, ROLES_MESSAGE), ROLES.join(',')),
  CALLHALF_ALLOW_PRIVATE_TARGETS: v.optional(
    v.pipe(
      v.string(),
      v.transform(splitList),
      v.check((ranges) => ranges.every((range) => ipaddr.isValidCIDR(range)), CIDR_MESSAGE),
    ),
    '',
  ),
  CALLHALF_STREAMS_PER_APP: v.optional(
    wholeNumber('a number of streams, 1 to 100000', { min: 1, max: 100_000 }),
    '5000',
  ),
  CALLHALF_STREAM_ORIGINS: v.optional(
    v.pipe(
      v.string(),
      v.transform(splitList),
      v.check((origins) => origins.every((origin) => URL.parse(origin)?.origin === origin), ORIGINS_MESSAGE),
    ),
    '',
  ),
  CALLHALF_LOG_EVENTS: v.optional(
    wholeNumber('a number of events, 100 to 1000000', { min: 100, max: 1_000_000 }),
    '20000',
  ),
  CALLHALF_LOG_HOURS: v.optional(wholeNumber('a whole number of hours, 1 to 168', { min: 1, max: 168 }), '24'),
  CALLHALF_CHECK_RINGING_SECONDS: v.optional(
    wholeNumber('a whole number of seconds, 10 to 3600', { min: 10, max: 3_600 }),
    '90',
  ),
  CALLHALF_CHECK_ANSWERED_SECONDS: v.optional(
    wholeNumber('a whole number of seconds, 10 to 28800', { min: 10, max: 28_800 }),
    '14400',
  ),
  CALLHALF_WEBHOOK_VERIFICATION: v.optional(v.picklist(['off', 'required'], 'off or required'), 'off'),
  CALLHALF_DELIVERY_RETENTION_HOURS: v.optional(
    wholeNumber('a whole number of hours, 1 to 8760', { min: 1, max: 8_760 }),
    '72',
  ),
  CALLHALF_NUMBER_AGING_DAYS: v.optional(
    wholeNumber('a whole number of days, 0 to 3650', { min: 0, max: 3_650 }),
    '90',
  ),
  CALLHALF_PROVIDER_WAIT_DAYS: v.optional(wholeNumber('a whole number of days, 1 to 365', { min: 1, max: 365 }), '30'),
  CALLHALF_SANDBOX_CATALOGUE: v.optional(v.picklist(['auto', 'on', 'off'], 'auto, on or off'), 'auto'),
  CALLHALF_SANDBOX_DELAY_MS: v.optional(
    wholeNumber('a whole number of milliseconds, 0 to 3600000', { min: 0, max: 3_600_000 }),
    '1000',
  ),
  CALLHALF_ZIPWHIP_ERRORS: v.optional(v.picklist(['status', 'ok'], 'status or ok'), 'status'),
  CALLHALF_ZIPWHIP_PROVIDER_URL: v.optional(
    v.pipe(
      v.string(),
      v.check((text) => isServerUrl(text), SERVER_URL_MESSAGE),
      v.transform((text) => new URL(text)),
    ),
  ),
  CALLHALF_ZIPWHIP_PROVIDER_KEY: v.optional(
    v.pipe(v.string(), v.regex(/^[\x21-\x7e]{1,512}$/, '1 to 512 printable ASCII characters without spaces')),
  ),
  CALLHALF_ZIPWHIP_PROVIDER_POLL_SECONDS: v.optional(
    wholeNumber('a whole number of seconds, 1 to 3600', { min: 1, max: 3_600 }),
    '15',
  ),
  CALLHALF_LOG_LEVEL: v.optional(v.picklist(LOG_LEVELS, `one of ${LOG_LEVELS.join(', ')}`), 'info'),
  CALLHALF_SHUTDOWN_SECONDS: v.optional(wholeNumber('a whole number of seconds, 1 to 600', { min: 1, max: 600 }), '25'),
  CALLHALF_DRAIN_DELAY_SECONDS: v.optional(
    wholeNumber('a whole number of seconds, 0 to 300', { min: 0, max: 300 }),
    '0',
  ),
  CALLHALF_DATABASE_POOL_SIZE: v.optional(wholeNumber('a number of connections, 2 to 200', { min: 2, max: 200 }), '10'),
  REDIS_URL: v.optional(
    v.pipe(
      v.string(),
      v.check((text) => parseRedisUrl(text) !== undefined, REDIS_MESSAGE),
    ),
  ),
  DATABASE_URL: v.optional(url(/^postgres(ql)?:\/\/\S+$/, 'a URL that begins with postgres:// or postgresql://')),
}

/** The key goes there in a URL, so it must be encrypted on its way. */
function isServerUrl(text: string): boolean {
  const parsed = URL.parse(text)
  if (parsed === null || parsed.username !== '' || parsed.password !== '') return false
  if (parsed.search !== '' || parsed.hash !== '') return false
  const isHere = ['localhost', '127.0.0.1', '[::1]'].includes(parsed.hostname)
  return parsed.protocol === 'https:' || (parsed.protocol === 'http:' && isHere)
}

function decodeSecretKey({ dataset, addIssue, NEVER }: v.RawTransformContext<string>): Uint8Array {
  const text = dataset.value
  const bytes = Buffer.from(text, 'base64')
  // Buffer skips what is not base64, so the length alone would accept a damaged key.
  if (bytes.length === 32 && /^[A-Za-z0-9+/_-]{43}=?$/.test(text)) return bytes
  addIssue({ message: SECRET_KEY_MESSAGE })
  return NEVER
}

/** The parts of a list that is separated by commas, without those that are empty. */
export function splitList(text: string): string[] {
  const parts = text.split(',').map((part) => part.trim())
  return parts.filter((part) => part !== '')
}
