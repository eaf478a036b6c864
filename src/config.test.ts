import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { ConfigError, readConfig } from './config.ts'

const SECRET_KEY = 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8='

const problemsOf = (env: Readonly<Record<string, string>>): readonly string[] => {
  try {
    readConfig(env)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  return []
}

test('an empty environment gives every default', () => {
  const config = readConfig({ PATH: '/usr/bin', CALLHALF_DATA_DIR: '/srv/callhalf', CALLHALF_ADMIN_KEY: '' })
  expect(config).toMatchObject({
    dataDir: '/srv/callhalf',
    logLevel: 'info',
    http: { host: '127.0.0.1', port: 8080, tls: undefined },
    redis: { embedded: { dataDir: '/srv/callhalf/redis', searchPath: '/usr/bin' } },
    records: { dataDir: '/srv/callhalf/records', poolSize: 10 },
    webhooks: { allowPrivateTargets: [], requiresVerification: false, retentionMs: 259_200_000 },
    provisioning: {
      agingDays: 90,
      providerWaitDays: 30,
      seedsSandbox: true,
      sandboxDelayMs: 1_000,
      zipwhipAlwaysOk: false,
      zipwhipProvider: undefined,
    },
    streams: { perAppMax: 5_000, origins: [] },
    log: { lengthMax: 20_000, ageMaxMs: 86_400_000 },
    dwell: { ringingMs: 90_000, answeredMs: 14_400_000 },
    shutdown: { timeoutMs: 25_000, drainDelayMs: 0 },
  })
  expect([...config.roles]).toEqual(['http', 'channels', 'webhooks', 'provisioning'])
  expect(config.secrets.adminKey).toBeUndefined()
  expect(config.secrets.databaseUrl).toBeUndefined()
})

test('every variable that is set is read', () => {
  const config = readConfig({
    CALLHALF_PORT: '0',
    CALLHALF_HOST: '::1',
    CALLHALF_TLS_CERT: '/etc/callhalf/tls/cert.pem',
    CALLHALF_TLS_KEY: '/etc/callhalf/tls/key.pem',
    CALLHALF_DATA_DIR: '/d',
    CALLHALF_ADMIN_KEY: 'an-admin-key-of-32-characters-ok',
    CALLHALF_SECRET_KEY: SECRET_KEY,
    CALLHALF_ROLES: 'http, webhooks',
    CALLHALF_ALLOW_PRIVATE_TARGETS: '10.0.0.0/8, fd00::/8',
    CALLHALF_WEBHOOK_VERIFICATION: 'required',
    CALLHALF_DELIVERY_RETENTION_HOURS: '24',
    CALLHALF_STREAMS_PER_APP: '7',
    CALLHALF_STREAM_ORIGINS: 'https://app.example.net, http://localhost:3000',
    CALLHALF_LOG_EVENTS: '500',
    CALLHALF_LOG_HOURS: '2',
    CALLHALF_CHECK_RINGING_SECONDS: '30',
    CALLHALF_CHECK_ANSWERED_SECONDS: '600',
    CALLHALF_DRAIN_DELAY_SECONDS: '5',
    CALLHALF_LOG_LEVEL: 'debug',
    CALLHALF_SHUTDOWN_SECONDS: '3',
    CALLHALF_DATABASE_POOL_SIZE: '20',
    REDIS_URL: 'rediss://:pw@redis.example.net:6380/2',
    DATABASE_URL: 'postgres://u:pw@db.example.net/callhalf',
  })
  expect(config.http).toEqual({
    host: '::1',
    port: 0,
    tls: { certFile: '/etc/callhalf/tls/cert.pem', keyFile: '/etc/callhalf/tls/key.pem' },
  })
  expect([...config.roles]).toEqual(['http', 'webhooks'])
  expect(config.webhooks.allowPrivateTargets).toEqual(['10.0.0.0/8', 'fd00::/8'])
  expect(config.webhooks.requiresVerification).toBe(true)
  expect(config.dwell).toEqual({ ringingMs: 30_000, answeredMs: 600_000 })
  expect(config.webhooks.retentionMs).toBe(86_400_000)
  expect(config.logLevel).toBe('debug')
  expect(config.streams.perAppMax).toBe(7)
  expect(config.streams.origins).toEqual(['https://app.example.net', 'http://localhost:3000'])
  expect(config.log).toEqual({ lengthMax: 500, ageMaxMs: 7_200_000 })
  expect(config.shutdown).toEqual({ timeoutMs: 3_000, drainDelayMs: 5_000 })
  expect(config.records.poolSize).toBe(20)
  expect(config.secrets.adminKey).toBe('an-admin-key-of-32-characters-ok')
  expect(config.secrets.secretKey).toEqual(Buffer.from([...Array(32).keys()]))
  expect(config.secrets.redisUrl).toBe('rediss://:pw@redis.example.net:6380/2')
  expect(config.secrets.databaseUrl).toBe('postgres://u:pw@db.example.net/callhalf')
})

test('all problems come in one error, each naming its variable and what would be right', () => {
  expect(
    problemsOf({
      CALLHALF_PORT: '65536',
      CALLHALF_SECRET_KEY: 'c2hvcnQ=',
      CALLHALF_ALLOW_PRIVATE_TARGETS: '10.0.0.0/8,10.1.2.3',
      CALLHALF_LOG_LEVEL: 'loud',
      CALLHALF_STREAM_ORIGINS: 'https://app.example.net/page',
      CALLHALF_SHUTDOWN_SECONDS: '1.5',
      CALLHALF_PRT: '80',
      DATABASE_URL: 'mysql://db.example.net/x',
    }).toSorted(),
  ).toEqual([
    'CALLHALF_ALLOW_PRIVATE_TARGETS must be a list of networks in CIDR notation, separated by commas, such as 10.0.0.0/8,fd00::/8',
    'CALLHALF_LOG_LEVEL must be one of debug, info, warn, error, silent',
    'CALLHALF_PORT must be a port, 0 to 65535 (0: any free one)',
    'CALLHALF_PRT is not a variable of Callhalf: did you mean CALLHALF_PORT?',
    'CALLHALF_SECRET_KEY must be 32 random bytes in base64 (make one with: openssl rand -base64 32)',
    'CALLHALF_SHUTDOWN_SECONDS must be a whole number of seconds, 1 to 600',
    'CALLHALF_STREAM_ORIGINS must be a list of origins, separated by commas, such as https://app.example.net',
    'DATABASE_URL must be a URL that begins with postgres:// or postgresql://',
  ])
})

test('a role left to other processes needs stores that they can share', () => {
  expect(problemsOf({ CALLHALF_ROLES: 'http' })).toEqual([
    'REDIS_URL must be set when CALLHALF_ROLES leaves roles to other processes',
    'DATABASE_URL must be set when CALLHALF_ROLES leaves roles to other processes',
  ])
  expect(problemsOf({ CALLHALF_ROLES: 'http,htp' })[0]).toBe(
    'CALLHALF_ROLES must be a list of roles, separated by commas, out of http, channels, webhooks, provisioning',
  )
  expect(problemsOf({ CALLHALF_ROLES: 'provisioning,webhooks,channels,http' })).toEqual([])
})

test('a certificate needs its key, and a key its certificate', () => {
  expect(problemsOf({ CALLHALF_TLS_CERT: '/c.pem' })).toEqual([
    'CALLHALF_TLS_KEY must be set, too: TLS needs the certificate and its key',
  ])
  expect(problemsOf({ CALLHALF_TLS_KEY: '/k.pem' })).toEqual([
    'CALLHALF_TLS_CERT must be set, too: TLS needs the certificate and its key',
  ])
})

test('provisioning is configured, with a Zipwhip server that products may be delivered by', () => {
  const { provisioning, secrets } = readConfig({
    CALLHALF_NUMBER_AGING_DAYS: '30',
    CALLHALF_SANDBOX_CATALOGUE: 'off',
    CALLHALF_SANDBOX_DELAY_MS: '0',
    CALLHALF_ZIPWHIP_ERRORS: 'ok',
    CALLHALF_ZIPWHIP_PROVIDER_URL: 'https://provision.example.net/api/20140925',
    CALLHALF_ZIPWHIP_PROVIDER_KEY: 'lgaMfmMCJ7I9Euz7kYpIDuSF',
    CALLHALF_ZIPWHIP_PROVIDER_POLL_SECONDS: '60',
    CALLHALF_PROVIDER_WAIT_DAYS: '45',
  })
  expect(provisioning).toEqual({
    agingDays: 30,
    providerWaitDays: 45,
    seedsSandbox: false,
    sandboxDelayMs: 0,
    zipwhipAlwaysOk: true,
    zipwhipProvider: { url: new URL('https://provision.example.net/api/20140925'), pollMs: 60_000 },
  })
  expect(secrets.zipwhipProviderKey).toBe('lgaMfmMCJ7I9Euz7kYpIDuSF')
  const postgres = { DATABASE_URL: 'postgres://u:pw@db.example.net/callhalf' }
  expect(readConfig(postgres).provisioning.seedsSandbox).toBe(false)
  expect(readConfig({ ...postgres, CALLHALF_SANDBOX_CATALOGUE: 'on' }).provisioning.seedsSandbox).toBe(true)
})

test.each([
  'http://provision.example.net/api/20140925',
  'https://user:pw@provision.example.net/api',
  'https://provision.example.net/api?api_key=x',
  'provision.example.net',
])('a key is not sent to %s', (url) => {
  const env = { CALLHALF_ZIPWHIP_PROVIDER_URL: url, CALLHALF_ZIPWHIP_PROVIDER_KEY: 'x' }
  expect(problemsOf(env).join()).toContain('CALLHALF_ZIPWHIP_PROVIDER_URL must be an https URL')
})

test('a Zipwhip server needs its key', () => {
  expect(problemsOf({ CALLHALF_ZIPWHIP_PROVIDER_URL: 'http://127.0.0.1:8081/api/20140925' })).toEqual([
    'CALLHALF_ZIPWHIP_PROVIDER_KEY must be set, too: a Zipwhip server needs its URL and the key for it',
  ])
})

test('a database behind a unix socket can be named', () => {
  const url = 'postgres://callhalf@/callhalf?host=/var/run/postgresql'
  expect(readConfig({ DATABASE_URL: url }).secrets.databaseUrl).toBe(url)
})

test('variables of the other commands are no mistake', () => {
  expect(problemsOf({ CALLHALF_API_KEY: 'ck_x', CALLHALF_SIMULATOR_PORT: '1', HOME: '/root' })).toEqual([])
})

test('an error never shows the value that was given', () => {
  expect(problemsOf({ CALLHALF_ADMIN_KEY: 'hunter2', CALLHALF_SECRET_KEY: 'hunter2' }).join()).not.toContain('hunter2')
})

test('a printed configuration shows no secret', () => {
  const config = readConfig({
    CALLHALF_ADMIN_KEY: 'an-admin-key-of-32-characters-ok',
    CALLHALF_SECRET_KEY: SECRET_KEY,
    REDIS_URL: 'redis://:red-password@redis.example.net',
    DATABASE_URL: 'postgres://u:sql-password@db.example.net/callhalf',
    CALLHALF_ZIPWHIP_PROVIDER_URL: 'https://provision.example.net/api/20140925',
    CALLHALF_ZIPWHIP_PROVIDER_KEY: 'zipwhip-key',
  })
  const printed =
    JSON.stringify(config) +
    inspect(config, { depth: 9, showHidden: true }) +
    JSON.stringify(Object.assign({}, config.secrets))
  expect(printed).toContain('[redacted]')
  for (const secret of ['an-admin-key', SECRET_KEY, 'red-password', 'sql-password', 'zipwhip-key'])
    expect(printed).not.toContain(secret)
})
