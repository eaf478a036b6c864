import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { systemClock } from '../core/clock.ts'
import { GatewayError } from '../core/errors.ts'
import { toInstanceId } from '../core/instances.ts'
import type { Service } from '../core/service.ts'
import { FolderLock } from '../records/folder-lock.ts'
import { RedisCalls } from '../state/calls.ts'
import { RedisConfirmations } from '../state/confirmations.ts'
import { type RedisAddress, StoreConnection } from '../state/connection.ts'
import { EmbeddedRedis } from '../state/embedded-redis.ts'
import { RedisEventLog } from '../state/event-log.ts'
import { RedisGenerations } from '../state/generations.ts'
import { RedisInstances } from '../state/instances.ts'
import { RedisLeases } from '../state/leases.ts'
import { StateMetrics } from '../state/metrics.ts'
import { parseRedisUrl } from '../state/redis-url.ts'
import { StoreWatch } from '../state/store-watch.ts'
import { RedisStreamTokens } from '../state/stream-tokens.ts'
import type { Base } from './base.ts'

/** Redis, embedded or configured, and what is kept in it. */
export function buildState({ config, registry, log }: Base) {
  const { redisUrl } = config.secrets
  const embedded =
    redisUrl === undefined
      ? new EmbeddedRedis({
          ...config.redis.embedded,
          unpackedDir: join(import.meta.dirname, '../../.callhalf/debian'),
          log: log.child({ component: 'embedded-redis' }),
        })
      : undefined
  const address = embedded === undefined ? configuredAddress(redisUrl) : { socketPath: embedded.socketPath }
  const connection = new StoreConnection({ address, log: log.child({ component: 'redis' }) })
  const metrics = new StateMetrics(registry)
  const retention = { logLengthMax: config.log.lengthMax, logAgeMaxMs: config.log.ageMaxMs }
  const shared = { ...connectionLinks(connection), ...retention, metrics, clock: systemClock, random: Math.random }
  const watch = new StoreWatch({ ...shared, log: log.child({ component: 'store-watch' }) })
  const eventLog = new RedisEventLog({ ...shared, log: log.child({ component: 'event-log' }) })
  const leases = new RedisLeases({ ...shared, log: log.child({ component: 'leases' }) })
  const instances = new RedisInstances({
    ...shared,
    self: { instanceId: toInstanceId(randomUUID()), roles: [...config.roles] },
    log: log.child({ component: 'instances' }),
  })
  return {
    address,
    connection,
    metrics,
    watch,
    eventLog,
    calls: new RedisCalls(shared),
    leases,
    instances,
    confirmations: new RedisConfirmations(shared),
    generations: new RedisGenerations(shared),
    streamTokens: new RedisStreamTokens(connection.general),
    services: [
      // Two gateways that start at once on one folder must not start two servers on one append-only file.
      ...(embedded === undefined ? [] : [new FolderLock({ folder: config.redis.embedded.dataDir, log }), embedded]),
      connection,
      ...(embedded === undefined ? [] : [freesOrphans(leases, instances)]),
      instances,
      watch,
    ],
  }
}

/** The configuration was checked when it was read. */
function configuredAddress(redisUrl = ''): RedisAddress {
  const address = parseRedisUrl(redisUrl)
  if (address === undefined) throw new GatewayError('internal', { detail: 'REDIS_URL was not checked' })
  return address
}

/** The embedded store serves one process, so at its start every lease and every instance in it is a dead one's. */
const freesOrphans = (leases: RedisLeases, instances: RedisInstances): Service => ({
  name: 'orphaned-leases',
  start: async () => {
    await leases.releaseOrphans()
    await instances.forgetAll()
  },
  stop: () => Promise.resolve(),
})

const connectionLinks = ({ commit, general, subscriber }: StoreConnection) => ({ commit, general, subscriber })

export type StateParts = ReturnType<typeof buildState>
