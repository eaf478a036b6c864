import type { Redis } from 'ioredis'
import { Child } from '../webhooks/rig/child.ts'
import { readInfo } from '../webhooks/rig/redis-figures.ts'
import { waitUntil } from '../webhooks/rig/wait.ts'
import { GatewayProcess } from '../pipeline/gateway-process.ts'
import type { FeedCalls } from '../pipeline/feed.ts'
import type { Memory } from '../pipeline/probe.ts'
import { addNetwork, registerSubscribers, untilCovered } from '../pipeline/registration.ts'
import { Stores, type StoresOptions } from '../pipeline/stores.ts'
import { bytesByKind, type KeyBytes } from './redis-keys.ts'

const CREDENTIALS = { username: 'admin@bench.example.net', password: 'bench-secret' }
const QUIET_MS = 1_000
/** Ticks of housekeeping go on for ever; less than so much of a processor is quiet. */
const QUIET_CPU_MAX = 0.1

export type StoreMemory = { readonly used: number; readonly kinds: readonly KeyBytes[] }

/** What an installation with so many monitored subscribers takes while nothing happens. */
export type Weight = {
  readonly subscribers: number
  /** From the first request to the last of them being monitored. */
  readonly registerMs: number
  /** From the start of the gateway's process with all of them known, to the last of them being monitored. */
  readonly startMs: number
  /** Processor time of that, of the gateway. */
  readonly startCpuMs: number
  readonly gateway: Memory
  readonly redis: StoreMemory
}

/** Registers so many subscribers, starts the gateway again, and weighs it. */
export async function weigh(subscribers: number, options: StoresOptions): Promise<Weight> {
  await using stores = await Stores.start(options)
  const feed = new Child<FeedCalls>(import.meta.resolve('../pipeline/feed.ts'), { name: 'simulator' })
  let gateway: GatewayProcess | undefined
  try {
    const xsp = [await feed.call('start', { users: Math.max(1, subscribers), ...CREDENTIALS })]
    gateway = await GatewayProcess.start({ dataDir: stores.dataDir, env: stores.env })
    const registeredAt = performance.now()
    const networkId = await register({ gateway, feed, xsp, subscribers })
    const registerMs = performance.now() - registeredAt
    await untilQuiet(gateway)
    await gateway.end()
    const startedAt = performance.now()
    gateway = await GatewayProcess.start({ dataDir: stores.dataDir, env: stores.env })
    await untilCovered(gateway.admin, networkId, subscribers)
    const startMs = performance.now() - startedAt
    const startCpuMs = (await gateway.ask('usage')).cpuUs / 1_000
    await untilQuiet(gateway)
    return {
      subscribers,
      registerMs,
      startMs,
      startCpuMs,
      gateway: await gateway.ask('memory'),
      redis: await weighRedis(stores.redis),
    }
  } finally {
    await gateway?.end()
    await feed.end('SIGTERM')
  }
}

async function register({
  gateway,
  feed,
  xsp,
  subscribers,
}: {
  readonly gateway: GatewayProcess
  readonly feed: Child<FeedCalls>
  readonly xsp: readonly string[]
  readonly subscribers: number
}): Promise<string> {
  const { admin } = gateway
  if (subscribers === 0) return addNetwork(admin, { xsp, credentials: CREDENTIALS })
  const { body: app } = await admin.call('POST', '/admin/apps', { name: 'bench' })
  const { app_id: appId } = app as { app_id: string }
  return registerSubscribers(admin, { appId, xsp, credentials: CREDENTIALS, subscribers: await feed.call('users') })
}

/** Until subscribers are announced and snapshots are stored. */
async function untilQuiet(gateway: GatewayProcess): Promise<void> {
  let [quiet, used, at] = [0, 0, performance.now()]
  const isQuiet = async () => {
    const { cpuUs } = await gateway.ask('usage')
    const [now, spent] = [performance.now(), cpuUs - used]
    quiet = spent / 1_000 < (now - at) * QUIET_CPU_MAX ? quiet + 1 : 0
    ;[used, at] = [cpuUs, now]
    return quiet >= 2
  }
  await waitUntil('the gateway to have nothing to do', isQuiet, { timeoutMs: 120_000, pollMs: QUIET_MS })
}

async function weighRedis(redis: Redis): Promise<StoreMemory> {
  return { used: await readInfo(redis, 'memory', 'used_memory'), kinds: await bytesByKind(redis) }
}
