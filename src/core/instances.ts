import * as v from 'valibot'

/** One gateway process, by an id that it made at its start. */
export const InstanceIdSchema = v.pipe(v.string(), v.minLength(1), v.maxLength(64), v.brand('InstanceId'))
export type InstanceId = v.InferOutput<typeof InstanceIdSchema>

export const toInstanceId = (text: string): InstanceId => v.parse(InstanceIdSchema, text)

/** What an instance says of itself to the others. */
export type Instance = {
  readonly instanceId: InstanceId
  /** The parts of the work that it takes on (`CALLHALF_ROLES`). */
  readonly roles: readonly string[]
}

/**
 * The gateway processes that share the stores, as far as this one knows. Answers come from memory; what
 * is known may be a few seconds old, and two instances may disagree for that long, so whatever must be
 * done by one alone also needs a lease.
 */
export interface InstanceRegistry {
  readonly self: Instance
  /** Those that are alive, this one included. */
  live(): readonly Instance[]
  /** The living ones with a role, in the order in which they should take on the work that `key` names. */
  ranked(role: string, key: string): readonly InstanceId[]
  /** For how long this one has been known to the others without a break, in milliseconds. */
  steadyMs(): number
  /** Called after the living ones changed; the returned function ends it. */
  onChange(listener: () => void): () => void
}

/**
 * Rendezvous hashing: every instance has a weight for each key, and the heaviest comes first. Whoever knows
 * the same instances gets the same order without being told, and an instance that goes or comes changes the
 * first place only of keys that were, or become, its own.
 */
export function rankInstances(instanceIds: readonly InstanceId[], key: string): readonly InstanceId[] {
  return instanceIds
    .map((instanceId) => ({ instanceId, weight: weightOf(`${key}\n${instanceId}`) }))
    .toSorted((a, b) => b.weight - a.weight || (a.instanceId < b.instanceId ? -1 : 1))
    .map(({ instanceId }) => instanceId)
}

/** A number in [0, 2^32) that depends on every character: FNV-1a, then the finalizer of MurmurHash3. */
function weightOf(text: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < text.length; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
