import { readCpuSeconds as readRedisSeconds } from '../webhooks/rig/redis-figures.ts'
import type { GatewayProcess } from './gateway-process.ts'
import { processorCount, readCpuSeconds, readMachineSeconds } from './processes.ts'
import type { Stores } from './stores.ts'

/** Processor time used meanwhile, in seconds. */
export type CpuUse = {
  readonly elapsedSeconds: number
  readonly gateway: number
  /** The part of the gateway's that its main thread used. */
  readonly main: number
  readonly redis: number
  readonly postgres: number
  readonly simulator: number
  readonly receiver: number
  readonly reader: number
  /** All processes of the bench, the one that looks after it included. */
  readonly ours: number
  /** Of the machine's processors, the part that was used by others. */
  readonly othersShare: number
  readonly loopDelayP99Ms: number
}

export type Metered = {
  readonly gateway: GatewayProcess
  readonly stores: Stores
  /** Ids of processes. */
  readonly simulator: number
  readonly receiver: number
  readonly reader: number
}

/** Begins to count; what it resolves with says what was used since. */
export async function startMeter(metered: Metered): Promise<() => Promise<CpuUse>> {
  const before = await read(metered)
  return async () => {
    const after = await read(metered)
    const used = (of: (reading: Reading) => number) => of(after) - of(before)
    const parts = {
      gateway: used(({ gateway }) => gateway),
      redis: used(({ redis }) => redis),
      postgres: used(({ postgres }) => postgres),
      simulator: used(({ simulator }) => simulator),
      receiver: used(({ receiver }) => receiver),
      reader: used(({ reader }) => reader),
    }
    const elapsedSeconds = used(({ at }) => at)
    const ours = Object.values(parts).reduce((sum, seconds) => sum + seconds, 0)
    const others = used(({ machine }) => machine) - ours - used(({ self }) => self)
    return {
      ...parts,
      ours,
      elapsedSeconds,
      main: used(({ main }) => main),
      othersShare: Math.max(0, others) / (elapsedSeconds * processorCount()),
      loopDelayP99Ms: after.loopDelayP99Ms,
    }
  }
}

type Reading = Awaited<ReturnType<typeof read>>

async function read({ gateway, stores, simulator, receiver, reader }: Metered) {
  const { user, system } = process.cpuUsage()
  const usage = await gateway.ask('usage')
  return {
    at: performance.now() / 1_000,
    self: (user + system) / 1e6,
    gateway: usage.cpuUs / 1e6,
    main: usage.mainCpuUs / 1e6,
    loopDelayP99Ms: usage.loopDelayP99Ms,
    redis: await readRedisSeconds(stores.redis),
    postgres: await stores.postgresSeconds(),
    simulator: await readCpuSeconds(simulator),
    receiver: await readCpuSeconds(receiver),
    reader: await readCpuSeconds(reader),
    machine: await readMachineSeconds(),
  }
}
