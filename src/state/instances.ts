import * as v from 'valibot'
import type { Clock } from '../core/clock.ts'
import {
  InstanceIdSchema,
  rankInstances,
  type Instance,
  type InstanceId,
  type InstanceRegistry,
} from '../core/instances.ts'
import type { Logger } from '../core/logger.ts'
import type { Service } from '../core/service.ts'
import type { RedisLink } from './connection.ts'
import { INSTANCES_KEY, TTL } from './keys.ts'
import { HEARTBEAT } from './lease-scripts.ts'
import type { StateMetrics } from './metrics.ts'

export type InstanceTimes = {
  readonly heartbeatMs: number
  /** One that was not heard of for so long is dead. */
  readonly expiryMs: number
}

const TIMES: InstanceTimes = { heartbeatMs: 1_000, expiryMs: 6_000 }

export type RedisInstancesOptions = {
  readonly general: RedisLink
  readonly self: Instance
  readonly metrics: StateMetrics
  readonly clock: Clock
  readonly log: Logger
  readonly times?: InstanceTimes
}

const TextSchema = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ instance_id: InstanceIdSchema, roles: v.array(v.string()) }),
)

type Known = {
  readonly instance: Instance
  /** Since when it is missing from a list that proves nothing; monotonic. */
  readonly missingSince: number | undefined
}

/**
 * The instances that share this Redis: each says once a second that it is alive, and reads who else did.
 *
 * Only Redis' own clock decides that an instance is dead. While Redis does not answer, nobody is; and after
 * it was away or lost its data, those known before get the time to say again that they are alive.
 */
export class RedisInstances implements InstanceRegistry, Service {
  readonly name = 'instances'
  readonly self: Instance
  readonly #options: RedisInstancesOptions
  readonly #times: InstanceTimes
  readonly #text: string
  readonly #listeners = new Set<() => void>()
  readonly #known = new Map<InstanceId, Known>()
  #live: readonly Instance[]
  #heardAt: number | undefined
  /** Since when this instance is known to the others; monotonic. */
  #steadySince: number | undefined
  /** Until then a missing sign of life proves nothing; monotonic. */
  #graceUntil = 0
  #stopped = new AbortController()
  #running: Promise<void> = Promise.resolve()

  constructor(options: RedisInstancesOptions) {
    this.#options = options
    this.#times = options.times ?? TIMES
    this.self = options.self
    this.#live = [options.self]
    this.#text = JSON.stringify({ instance_id: options.self.instanceId, roles: options.self.roles })
  }

  live(): readonly Instance[] {
    return this.#live
  }

  ranked(role: string, key: string): readonly InstanceId[] {
    const candidates = this.#live.filter(({ roles }) => roles.includes(role)).map(({ instanceId }) => instanceId)
    return rankInstances(candidates, key)
  }

  steadyMs(): number {
    return this.#steadySince === undefined ? 0 : this.#options.clock.monotonic() - this.#steadySince
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }

  /** Rejects with `store_unavailable`. */
  async start(): Promise<void> {
    this.#stopped = new AbortController()
    await this.beat()
    this.#running = this.#run(this.#stopped.signal)
  }

  /** Takes leave of the others, who need not wait for its death then. */
  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#running
    this.#steadySince = undefined
    // Not taken off, it expires.
    await this.#options.general.run((redis) => redis.zrem(INSTANCES_KEY, this.#text)).catch(() => undefined)
  }

  /** For a process that knows that it is alone: whoever is listed is dead, and need not be waited for. */
  async forgetAll(): Promise<void> {
    await this.#options.general.run((redis) => redis.del(INSTANCES_KEY))
  }

  /** Says once that it is alive, and learns who else is. Rejects with `store_unavailable`. */
  async beat(): Promise<void> {
    const { general, clock } = this.#options
    const reply = await general.script(HEARTBEAT, [INSTANCES_KEY], [this.#text, String(TTL.instance)])
    const now = clock.monotonic()
    const wasAway = this.#heardAt === undefined || now - this.#heardAt >= this.#times.expiryMs / 2
    const wasForgotten = this.#heardAt === undefined || now - this.#heardAt >= this.#times.expiryMs
    this.#heardAt = now
    if (wasAway) this.#graceUntil = now + this.#times.expiryMs
    if (wasForgotten || this.#steadySince === undefined) this.#steadySince = now
    this.#learn(parseListed(reply), now)
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options
    while (!signal.aborted) {
      try {
        await clock.wait(this.#times.heartbeatMs, signal)
        await this.beat()
      } catch (error) {
        if (!signal.aborted) log.debug({ err: error }, 'the sign of life was not taken')
      }
    }
  }

  #learn(listed: ReadonlyMap<InstanceId, { readonly instance: Instance; readonly ageMs: number }>, now: number): void {
    const { self } = this
    for (const { instance, ageMs } of listed.values()) {
      if (ageMs < this.#times.expiryMs) this.#known.set(instance.instanceId, { instance, missingSince: undefined })
    }
    for (const [instanceId, known] of this.#known) {
      const found = listed.get(instanceId)
      if (found !== undefined && found.ageMs < this.#times.expiryMs) continue
      const missingSince = known.missingSince ?? now
      if (now - missingSince < this.#patienceMs(found === undefined, now)) {
        this.#known.set(instanceId, { ...known, missingSince })
      } else this.#known.delete(instanceId)
    }
    this.#known.delete(self.instanceId)
    const live = [self, ...[...this.#known.values()].map(({ instance }) => instance)]
    this.#tell(live)
  }

  /** How long an instance must be missing to be counted as dead. One that is not even listed took leave, or Redis lost it. */
  #patienceMs(isUnlisted: boolean, now: number): number {
    if (now < this.#graceUntil) return this.#times.expiryMs
    return isUnlisted ? 2 * this.#times.heartbeatMs : 0
  }

  #tell(live: readonly Instance[]): void {
    const { metrics, log } = this.#options
    metrics.instances(live.length)
    const [before, after] = [idsOf(this.#live), idsOf(live)]
    this.#live = live
    if (before.join() === after.join()) return
    log.info({ instances: after }, 'instances changed')
    for (const listener of this.#listeners) listener()
  }
}

const idsOf = (instances: readonly Instance[]): readonly InstanceId[] =>
  instances.map(({ instanceId }) => instanceId).toSorted()

function parseListed(reply: unknown): ReadonlyMap<InstanceId, { readonly instance: Instance; readonly ageMs: number }> {
  const listed = new Map<InstanceId, { readonly instance: Instance; readonly ageMs: number }>()
  const flat = v.parse(v.array(v.string()), reply)
  for (let index = 0; index + 1 < flat.length; index += 2) {
    // A later version may say more, or something else: what cannot be read is nobody.
    const parsed = v.safeParse(TextSchema, flat[index])
    if (!parsed.success) continue
    const { instance_id: instanceId, roles } = parsed.output
    listed.set(instanceId, { instance: { instanceId, roles }, ageMs: Number(flat[index + 1]) })
  }
  return listed
}
