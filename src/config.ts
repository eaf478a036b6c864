import { join, resolve } from 'node:path'
import * as v from 'valibot'
import { checkVariables } from './config-checks.ts'
import { type LOG_LEVELS, type ROLES, VARIABLES } from './config-variables.ts'
import { GatewayError } from './core/errors.ts'

export type Role = (typeof ROLES)[number]

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
    ...checkVariables(given),
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
