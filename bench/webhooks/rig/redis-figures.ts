import type { Redis } from 'ioredis'
import type { AppRef } from '../../../src/core/ids.ts'
import { logKey } from '../../../src/state/keys.ts'

/** A figure of INFO. */
export async function readInfo(redis: Redis, section: string, name: string): Promise<number> {
  const info = await redis.info(section)
  return Number(new RegExp(`^${name}:(\\S+)`, 'm').exec(info)?.[1])
}

/** Seconds of CPU that the server has used so far. */
export async function readCpuSeconds(redis: Redis): Promise<number> {
  return (await readInfo(redis, 'cpu', 'used_cpu_user')) + (await readInfo(redis, 'cpu', 'used_cpu_sys'))
}

/**
 * Empties the apps' logs, which a follower that has read them does not notice; resolves with the memory in
 * use before and after.
 */
export async function emptyLogs(redis: Redis, apps: readonly AppRef[]) {
  const full = await readInfo(redis, 'memory', 'used_memory')
  for (const app of apps) await redis.xtrim(logKey(app), 'MAXLEN', 0)
  return { full, empty: await readInfo(redis, 'memory', 'used_memory') }
}

/** Where its memory goes, in bytes by the server's own names: tables, buffers, scripts, data. */
export async function readMemoryParts(redis: Redis): Promise<ReadonlyMap<string, number>> {
  const parts = new Map<string, number>()
  const add = (prefix: string, reply: readonly unknown[]) => {
    for (let i = 0; i + 1 < reply.length; i += 2) {
      const [name, value] = [`${prefix}${String(reply[i])}`, reply[i + 1]]
      if (Array.isArray(value)) add(`${name}.`, value)
      else if (typeof value === 'number') parts.set(name, value)
    }
  }
  add('', (await redis.call('MEMORY', 'STATS')) as readonly unknown[])
  return parts
}
