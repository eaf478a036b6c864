import type { InstanceId } from '../core/instances.ts'
import type { Supervisor } from './supervisor.ts'

/** A newcomer takes nothing from others before it has lived so long: one that crashes at its start must not disturb them. */
const STEADY_MS = 10_000
/** Those who are not first in line take a lease that stays free for so long, times their place. */
const FREE_MS = 3_000
/** For so long a standby's channel is open before it asks to be the owner: it then knows that it has missed nothing. */
const OVERLAP_MS = 5_000
/** An owner that cannot open its channel for so long makes room for a standby that has one. */
const DOWN_MS = 15_000

/** One of a node's two leases and its channel, as this instance sees them. */
export type PostView = Pick<Supervisor, 'isHeld' | 'isOpen' | 'isStopped' | 'unchangedMs' | 'claimedBy'> & {
  /** For how long nobody has held the lease; 0 when somebody does. */
  readonly freeMs: number
}

/** What an instance knows when it decides what to do for a node. */
export type DutyView = {
  readonly self: InstanceId
  /** The living instances, in the order in which they should own the node. */
  readonly ranked: readonly InstanceId[]
  /** For how long this one has been known to the others without a break. */
  readonly steadyMs: number
  readonly owner: PostView & {
    /** For how long the holder has not shown an open channel; 0 when it does, or there is no holder. */
    readonly downMs: number
  }
  readonly standby: PostView
}

/** Each is tried in turn; `claim_…` asks the holder, `leave_…` hands over. */
export type Duty = 'take_owner' | 'take_standby' | 'claim_owner' | 'claim_standby' | 'leave_owner' | 'leave_standby'

/**
 * What an instance should do for a node now, in this order. The first in line should own it, the second
 * stand by with a channel of its own. Nobody takes away: whoever should have a lease asks, and the holder
 * hands over if it agrees about the order. So instances that disagree for a moment do nothing to each other.
 *
 * - The owner gives up its standby channel once its own is open: make before break.
 * - It hands over to the first in line that asks, and that one asks only when its standby channel has been
 *   open for a while and it is no newcomer; and to any that asks while it cannot open its own channel for long.
 * - A free lease is taken by whoever stands by with an open channel, and by the first in line; by others
 *   only if it stays free.
 */
export function decideDuties(view: DutyView): readonly Duty[] {
  const { owner, standby, ranked, self } = view
  const rank = ranked.indexOf(self)
  if (owner.isHeld) {
    if (standby.isHeld) return owner.isOpen ? ['leave_standby'] : []
    return shouldHandOver(view) ? ['leave_owner'] : []
  }
  const duties: Duty[] = []
  if (rank === 0 || standby.isOpen || hasBeenFree(owner, rank)) duties.push('take_owner')
  if (standby.isHeld) {
    if (isBetter(standby.claimedBy, view)) return [...duties, 'leave_standby']
    const isWanted = rank === 0 || owner.downMs >= DOWN_MS
    const isProven = standby.isOpen && standby.unchangedMs >= OVERLAP_MS && view.steadyMs >= STEADY_MS
    if (isWanted && isProven) duties.push('claim_owner')
    return duties
  }
  if ((rank >= 0 && rank <= 1) || hasBeenFree(standby, rank - 1)) duties.push('take_standby')
  if (rank >= 0 && rank <= 1 && view.steadyMs >= STEADY_MS) duties.push('claim_standby')
  return duties
}

function shouldHandOver({ owner, ranked, self }: DutyView): boolean {
  const { claimedBy } = owner
  if (claimedBy === undefined || claimedBy === self || !ranked.includes(claimedBy)) return false
  const isDown = !owner.isOpen && !owner.isStopped && owner.unchangedMs >= DOWN_MS
  return ranked[0] === claimedBy || isDown
}

/** Whether the instance comes before this one. */
function isBetter(instanceId: InstanceId | undefined, { ranked, self }: DutyView): boolean {
  if (instanceId === undefined || instanceId === self) return false
  const place = ranked.indexOf(instanceId)
  const own = ranked.indexOf(self)
  return place >= 0 && (own < 0 || place < own)
}

const hasBeenFree = ({ freeMs }: PostView, place: number): boolean => place > 0 && freeMs >= FREE_MS * place
