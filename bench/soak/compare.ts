import type { Arrival, RecordingApp } from './recording-app.ts'

/** An event that the simulator emitted, or wanted to. */
export type LedgerEntry = {
  readonly event_id: string
  readonly user_id: string
  readonly call_id: string | null
  readonly type: string
  /** The XSI call state at the time. */
  readonly state: string | null
  readonly created_at: number
  readonly acked_at: number | null
  readonly ack_status: number | null
}

export type Verdict = { readonly figures: Readonly<Record<string, number>>; readonly problems: readonly string[] }

/** What became of one ledger entry. */
type Fate = 'told' | 'overtaken' | 'told_by_resynchronisation' | 'lost'

/**
 * Compares, call by call, what the simulator emitted with what the app received by webhook and by stream.
 *
 * - Order: the sequence numbers of a call first arrive as 1, 2, 3 … without a hole; repeats are allowed, and
 *   so is a jump that the stream announced by a snapshot.
 * - Loss: walking through a call's emitted states in the network's order, each is found among the received
 *   states in order (`told`). Otherwise it is `overtaken` when a later event of the call had been
 *   acknowledged before it (the network delivered it out of order, the newer state was told), or
 *   `told_by_resynchronisation` when it fell into a gap (the network gave it up for want of a channel, or
 *   delivered it only after a later snapshot of the user) and the call's state after the gap is what the
 *   app was left with: released, or never heard of at all. Anything else is lost.
 */
export function compareWithLedger(options: { ledger: readonly LedgerEntry[]; app: RecordingApp }): Verdict {
  const { ledger, app } = options
  const problems: string[] = []
  const fates: Record<Fate, number> = { told: 0, overtaken: 0, told_by_resynchronisation: 0, lost: 0 }
  const emitted = groupBy(ledger.filter(hasCallState), (entry) => entry.call_id ?? '')
  const snapshotsOf = groupBy(ledger.filter(isAcknowledgedSnapshot), (entry) => entry.user_id)
  const byWebhook = groupBy(app.webhookArrivals, (arrival) => arrival.callId)
  const byStream = groupBy(app.streamArrivals, (arrival) => arrival.callId)
  for (const [callId, entries] of emitted) {
    const received = inSequence(byWebhook.get(callId) ?? [])
    const snapshots = snapshotsOf.get(entries[0]?.user_id ?? '') ?? []
    for (const { entry, fate } of fatesOf({ entries, received, snapshots })) {
      fates[fate] += 1
      if (fate === 'lost') problems.push(`lost: ${callId} ${entry.type} ${stateOf(entry)} acked ${entry.ack_status}`)
    }
    if (received.length > 0 && received.at(-1)?.state !== 'released') problems.push(`never released: ${callId}`)
  }
  for (const [way, calls] of [
    ['webhook', byWebhook],
    ['stream', byStream],
  ] as const) {
    for (const [callId, arrivals] of calls) problems.push(...orderProblems(`${way} ${callId}`, arrivals))
  }
  if (app.badSignatures > 0) problems.push(`${app.badSignatures} webhooks with a wrong signature`)
  return {
    figures: {
      'events in the ledger': ledger.length,
      'of them with call state': [...emitted.values()].reduce((sum, entries) => sum + entries.length, 0),
      calls: emitted.size,
      told: fates.told,
      'overtaken (delivered out of order by the network)': fates.overtaken,
      'told by resynchronisation': fates.told_by_resynchronisation,
      lost: fates.lost,
      'webhooks received': app.webhookArrivals.length,
      'stream events received': app.streamArrivals.length,
      'stream snapshots (could not resume, and said so)': app.snapshots,
      'synthetic events': app.webhookArrivals.filter((arrival) => arrival.synthetic).length,
      'out of order within a call': problems.filter((problem) => problem.startsWith('order:')).length,
    },
    problems,
  }
}

/** `entries` of one call and `snapshots` of its user, both in the order in which they were made. */
function fatesOf(options: {
  readonly entries: readonly LedgerEntry[]
  readonly received: readonly Arrival[]
  readonly snapshots: readonly LedgerEntry[]
}): { entry: LedgerEntry; fate: Fate }[] {
  const { entries, received, snapshots } = options
  let from = 0
  return entries.map((entry, index) => {
    const ackedAt = entry.ack_status === 200 && entry.acked_at !== null ? entry.acked_at : Infinity
    const at = received.findIndex((arrival, position) => position >= from && arrival.state === stateOf(entry))
    // One that was given up must not use up the telling of a later one with the same state.
    if (at !== -1 && ackedAt < Infinity) {
      from = at
      return { entry, fate: 'told' }
    }
    const wasBeforeIt = (other: LedgerEntry) => (other.acked_at ?? Infinity) <= ackedAt
    if (ackedAt < Infinity && entries.slice(index + 1).some(wasBeforeIt)) return { entry, fate: 'overtaken' }
    const fellIntoGap = snapshots.some((snapshot) => snapshot.created_at >= entry.created_at && wasBeforeIt(snapshot))
    const isOver = received.length === 0 || received.at(-1)?.state === 'released'
    return { entry, fate: fellIntoGap && isOver ? 'told_by_resynchronisation' : 'lost' }
  })
}

const isAcknowledgedSnapshot = (entry: LedgerEntry): boolean =>
  entry.type === 'CallSubscriptionEvent' && entry.ack_status === 200

function orderProblems(name: string, arrivals: readonly Arrival[]): string[] {
  let newest = 0
  for (const { sequence, snapshot } of arrivals) {
    if (sequence > newest + 1 && !snapshot) return [`order: ${name} jumped from ${newest} to ${sequence}`]
    newest = Math.max(newest, sequence)
  }
  return []
}

/** The distinct arrivals of a call by sequence number. */
const inSequence = (arrivals: readonly Arrival[]): Arrival[] =>
  [...new Map(arrivals.map((arrival) => [arrival.sequence, arrival])).values()].toSorted(
    (a, b) => a.sequence - b.sequence,
  )

const hasCallState = (entry: LedgerEntry): boolean => entry.call_id !== null && stateOf(entry) !== undefined

/** What an app should be told of an Alerting call. */
const ALERTING: Readonly<Record<string, string>> = {
  CallReceivedEvent: 'ringing',
  CallOriginatedEvent: 'alerting',
  CallOriginatingEvent: 'initiating',
}

/** The state an app should be told, derived here independently of the gateway. */
function stateOf(entry: LedgerEntry): string | undefined {
  switch (entry.state) {
    case 'Alerting':
      return ALERTING[entry.type]
    case 'Active':
      return 'active'
    case 'Held':
      return 'held'
    case 'Remote Held':
      return 'remote_held'
    case 'Detached':
      return 'detached'
    case 'Released':
      return 'released'
    default:
      return undefined
  }
}

function groupBy<Item>(items: readonly Item[], keyOf: (item: Item) => string): Map<string, Item[]> {
  const groups = new Map<string, Item[]>()
  for (const item of items) {
    const key = keyOf(item)
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [item])
    else group.push(item)
  }
  return groups
}
