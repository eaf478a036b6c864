import { join, resolve } from 'node:path'
import ipaddr from 'ipaddr.js'
import * as v from 'valibot'
import { GatewayError } from './core/errors.ts'
import { parseRedisUrl } from './state/redis-url.ts'

const ROLES = ['http', 'channels', 'webhooks', 'provisioning'] as const
export type Role = (typeof ROLES)[number]

const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const

/** What the environment says, by capability. Holds no secret: those are in `secrets`. */
export type Config = {
  /** Folder of everything that the gateway keeps itself; absolute. */
  readonly dataDir: string
  readonly roles: ReadonlySet<Role>
  readonly logLevel: (typeof LOG_LEVELS)[number]
  readonly http: {
    readonly host: string
    readonly port: number
    /** Files in PEM, absolute; undefined: plain HTTP. */
    readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined
  }
  /** `embedded` applies when `secrets.redisUrl` is undefined. */
  readonly redis: { readonly embedded: { readonly dataDir: string; readonly searchPath: string } }
  /** `dataDir` holds PGlite when `secrets.databaseUrl` is undefined. */
  readonly records: { readonly dataDir: string; readonly poolSize: number }
  readonly webhooks: {
    /** Ranges in CIDR notation that webhooks may reach besides public addresses. */
    readonly allowPrivateTargets: readonly string[]
    /** Whether a URL must prove that it wants webhooks before any is sent. */
    readonly requiresVerification: boolean
    /** How long what has become of deliveries is kept. */
    readonly retentionMs: number
  }
  readonly provisioning: {
    /** For how many days nobody gets a number after its service has ended. */
    readonly agingDays: number
    /** After how many days an operator is asked about what a provider has taken and does not finish. */
    readonly providerWaitDays: number
    /** Whether an empty catalogue is filled with the sandbox's invented one. */
    readonly seedsSandbox: boolean
    /** How long the sandbox takes for what a carrier does. */
    readonly sandboxDelayMs: number
    /** Whether the Zipwhip API answers errors with status 200, too. */
    readonly zipwhipAlwaysOk: boolean
    /** A Zipwhip server that products can be delivered by; its key is in `secrets`. */
    readonly zipwhipProvider: { readonly url: URL; readonly pollMs: number } | undefined
  }
  readonly streams: {
    /** Streams of one app that may be open on this instance. */
    readonly perAppMax: number
    /** Origins of web pages that may open streams; empty: any, as tokens tell who is who. */
    readonly origins: readonly string[]
  }
  /** How much of an app's log is kept for those who resume. */
  readonly log: { readonly lengthMax: number; readonly ageMaxMs: number }
  /** How long a call may ring, or be answered, without any change before the network is asked about it. */
  readonly dwell: { readonly ringingMs: number; readonly answeredMs: number }
  readonly shutdown: {
    readonly timeoutMs: number
    /** How long requests and streams are still taken after readiness has failed. */
    readonly drainDelayMs: number
  }
  readonly secrets: ConfiguredSecrets
}

type SecretValues = {
  readonly adminKey: string | undefined
  /** 32 bytes. */
  readonly secretKey: Uint8Array | undefined
  /** May hold a password. */
  readonly redisUrl: string | undefined
  readonly databaseUrl: string | undefined
  readonly zipwhipProviderKey: string | undefined
}

/** The secrets that the environment gives; shows only which are set, however it is printed. */
class ConfiguredSecrets implements SecretValues {
  readonly #values: SecretValues

  constructor(values: SecretValues) {
    this.#values = values
  }

  get adminKey(): string | undefined {
    return this.#values.adminKey
  }

  get secretKey(): Uint8Array | undefined {
    return this.#values.secretKey
  }

  get redisUrl(): string | undefined {
    return this.#values.redisUrl
  }

  get databaseUrl(): string | undefined {
    return this.#values.databaseUrl
  }

  get zipwhipProviderKey(): string | undefined {
    return this.#values.zipwhipProviderKey
  }

  toJSON(): Readonly<Record<string, string>> {
    return Object.fromEntries(
      Object.entries(this.#values).map(([name, value]) => [name, value === undefined ? '[unset]' : '[redacted]']),
    )
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return `ConfiguredSecrets ${JSON.stringify(this)}`
  }
}

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

/** One entry for every variable; the message says what would be right, and never what was given. */
const VARIABLES = {
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

/** Variables of the other commands, which may well be set where the gateway runs. */
const OTHER_VARIABLES = new Set([
  'CALLHALF_API_KEY',
  'CALLHALF_APP_ID',
  'CALLHALF_SIMULATOR_CONTROL_PORT',
  'CALLHALF_SIMULATOR_PORT',
  'CALLHALF_URL',
])

const EnvironmentSchema = v.object(VARIABLES)

/** Everything that is wrong with the configuration: one sentence for each variable, without its value. */
export class ConfigError extends GatewayError {
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super('invalid_request', { detail: ['The configuration is not valid:', ...problems].join('\n  - ') })
    this.problems = problems
  }
}

/** The configuration in `env`; an empty variable counts as unset. Throws one ConfigError for all problems. */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ''))
  const parsed = v.safeParse(EnvironmentSchema, given)
  const problems = [
    ...(parsed.issues ?? []).map((issue) => `${v.getDotPath(issue)?.split('.')[0]} must be ${issue.message}`),
    ...findUnknown(Object.keys(given)),
    ...findUnshared(given),
    ...findUnpaired(given),
  ]
  if (!parsed.success || problems.length > 0) throw new ConfigError([...new Set(problems)])
  const values = parsed.output
  const dataDir = resolve(values.CALLHALF_DATA_DIR)
  return {
    dataDir,
    roles: values.CALLHALF_ROLES,
    logLevel: values.CALLHALF_LOG_LEVEL,
    http: { host: values.CALLHALF_HOST, port: values.CALLHALF_PORT, tls: tlsFiles(values) },
    redis: { embedded: { dataDir: join(dataDir, 'redis'), searchPath: env['PATH'] ?? '' } },
    records: { dataDir: join(dataDir, 'records'), poolSize: values.CALLHALF_DATABASE_POOL_SIZE },
    webhooks: {
      allowPrivateTargets: values.CALLHALF_ALLOW_PRIVATE_TARGETS,
      requiresVerification: values.CALLHALF_WEBHOOK_VERIFICATION === 'required',
      retentionMs: values.CALLHALF_DELIVERY_RETENTION_HOURS * 3_600_000,
    },
    provisioning: {
      agingDays: values.CALLHALF_NUMBER_AGING_DAYS,
      providerWaitDays: values.CALLHALF_PROVIDER_WAIT_DAYS,
      seedsSandbox:
        values.CALLHALF_SANDBOX_CATALOGUE === 'on' ||
        (values.CALLHALF_SANDBOX_CATALOGUE === 'auto' && values.DATABASE_URL === undefined),
      sandboxDelayMs: values.CALLHALF_SANDBOX_DELAY_MS,
      zipwhipAlwaysOk: values.CALLHALF_ZIPWHIP_ERRORS === 'ok',
      zipwhipProvider: values.CALLHALF_ZIPWHIP_PROVIDER_URL && {
        url: values.CALLHALF_ZIPWHIP_PROVIDER_URL,
        pollMs: values.CALLHALF_ZIPWHIP_PROVIDER_POLL_SECONDS * 1_000,
      },
    },
    streams: { perAppMax: values.CALLHALF_STREAMS_PER_APP, origins: values.CALLHALF_STREAM_ORIGINS },
    log: { lengthMax: values.CALLHALF_LOG_EVENTS, ageMaxMs: values.CALLHALF_LOG_HOURS * 3_600_000 },
    dwell: {
      ringingMs: values.CALLHALF_CHECK_RINGING_SECONDS * 1_000,
      answeredMs: values.CALLHALF_CHECK_ANSWERED_SECONDS * 1_000,
    },
    shutdown: {
      timeoutMs: values.CALLHALF_SHUTDOWN_SECONDS * 1_000,
      drainDelayMs: values.CALLHALF_DRAIN_DELAY_SECONDS * 1_000,
    },
    secrets: new ConfiguredSecrets({
      adminKey: values.CALLHALF_ADMIN_KEY,
      secretKey: values.CALLHALF_SECRET_KEY,
      redisUrl: values.REDIS_URL,
      databaseUrl: values.DATABASE_URL,
      zipwhipProviderKey: values.CALLHALF_ZIPWHIP_PROVIDER_KEY,
    }),
  }
}

/** A misspelt variable would be ignored in silence otherwise. */
function findUnknown(names: readonly string[]): readonly string[] {
  const known = Object.keys(VARIABLES)
  return names
    .filter((name) => name.startsWith('CALLHALF_') && !known.includes(name) && !OTHER_VARIABLES.has(name))
    .map((name) => {
      const close = known.find((candidate) => editDistance(candidate, name) <= 3)
      return `${name} is not a variable of Callhalf${close === undefined ? '' : `: did you mean ${close}?`}`
    })
}

/** Processes that share the work must share the stores; the embedded ones serve one process. */
function findUnshared(given: Readonly<Record<string, string | undefined>>): readonly string[] {
  const roles = given['CALLHALF_ROLES']
  if (roles === undefined || ROLES.every((role) => splitList(roles).includes(role))) return []
  return ['REDIS_URL', 'DATABASE_URL']
    .filter((name) => given[name] === undefined)
    .map((name) => `${name} must be set when CALLHALF_ROLES leaves roles to other processes`)
}

/** Of each pair, both or none. */
const PAIRS = [
  // The API would be in the clear.
  { names: ['CALLHALF_TLS_CERT', 'CALLHALF_TLS_KEY'], reason: 'TLS needs the certificate and its key' },
  {
    names: ['CALLHALF_ZIPWHIP_PROVIDER_URL', 'CALLHALF_ZIPWHIP_PROVIDER_KEY'],
    reason: 'a Zipwhip server needs its URL and the key for it',
  },
] as const

function findUnpaired(given: Readonly<Record<string, string | undefined>>): readonly string[] {
  return PAIRS.flatMap(({ names, reason }) => {
    const missing = names.filter((name) => given[name] === undefined)
    return missing.length === 1 ? [`${missing.join()} must be set, too: ${reason}`] : []
  })
}

/** The key goes there in a URL, so it must be encrypted on its way. */
function isServerUrl(text: string): boolean {
  const parsed = URL.parse(text)
  if (parsed === null || parsed.username !== '' || parsed.password !== '') return false
  if (parsed.search !== '' || parsed.hash !== '') return false
  const isHere = ['localhost', '127.0.0.1', '[::1]'].includes(parsed.hostname)
  return parsed.protocol === 'https:' || (parsed.protocol === 'http:' && isHere)
}

function tlsFiles({
  CALLHALF_TLS_CERT: certFile,
  CALLHALF_TLS_KEY: keyFile,
}: {
  readonly CALLHALF_TLS_CERT?: string | undefined
  readonly CALLHALF_TLS_KEY?: string | undefined
}): Config['http']['tls'] {
  if (certFile === undefined || keyFile === undefined) return undefined
  return { certFile: resolve(certFile), keyFile: resolve(keyFile) }
}

function decodeSecretKey({ dataset, addIssue, NEVER }: v.RawTransformContext<string>): Uint8Array {
  const text = dataset.value
  const bytes = Buffer.from(text, 'base64')
  // Buffer skips what is not base64, so the length alone would accept a damaged key.
  if (bytes.length === 32 && /^[A-Za-z0-9+/_-]{43}=?$/.test(text)) return bytes
  addIssue({ message: SECRET_KEY_MESSAGE })
  return NEVER
}

function splitList(text: string): string[] {
  const parts = text.split(',').map((part) => part.trim())
  return parts.filter((part) => part !== '')
}

/** Levenshtein distance, one row at a time. */
function editDistance(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_unused, index) => index)
  for (const [i, leftCharacter] of left.split('').entries()) {
    const next = [i + 1]
    for (const [j, rightCharacter] of right.split('').entries()) {
      const replaced = (row[j] ?? 0) + (leftCharacter === rightCharacter ? 0 : 1)
      next.push(Math.min(replaced, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1))
    }
    row = next
  }
  return row.at(-1) ?? 0
}
