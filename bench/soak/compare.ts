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
  readonly emissions: readonly { readonly at: number; readonly channel_id: string }[]
  readonly acked_at: number | null
  readonly ack_status: number | null
  readonly expired_reason: string | null
}

/** An event that is not lost, and yet the app was not told of that very state: why, and on which way. */
export type Untold = {
  readonly way: 'webhook' | 'stream'
  readonly fate: 'overtaken' | 'told_by_resynchronisation'
  readonly entry: LedgerEntry
}

export type Verdict = {
  readonly figures: Readonly<Record<string, number>>
  readonly problems: readonly string[]
  readonly untold: readonly Untold[]
}

/** What became of one ledger entry. */
type Fate = 'told' | Untold['fate'] | 'lost'

/**
 * Compares, call by call, what the simulator emitted with what the app received by webhook and by stream.
 *
 * - Order: the sequence numbers of a call first arrive as 1, 2, 3 … without a hole; repeats are allowed, and
 *   so is a jump that the stream announced by a snapshot, or that the webhook declared (`callhalf-skipped`).
 * - Loss: walking through a call's emitted states in the network's order, each is found among the received
 *   states in order (`told`), or its webhook is declared as skipped. Otherwise it is `overtaken` when a later
 *   event of the call may have been delivered before it, as the network sent that one on another channel while
 *   this one was not acknowledged, or had its acknowledgement before (the newer state was told), or
 *   `told_by_resynchronisation` when it fell into a gap (the network gave it up for want of a channel, or a
 *   snapshot that was taken later was stored first) and the call's state after the gap is what the app was
 *   left with: released, or never heard of at all. Anything else is lost.
 * - Contents: whatever has the same call and sequence number is the same event, however often it comes.
 *
 * `keepsOrder`: no fault shuffles what is sent on a channel. Then an event is overtaken only if a later one was
 * sent on a channel on which it had not been sent itself by then.
 */
export function compareWithLedger(options: {
  readonly ledger: readonly LedgerEntry[]
  readonly app: Pick<
    RecordingApp,
    'webhookArrivals' | 'streamArrivals' | 'gapsAnnouncedAt' | 'badSignatures' | 'declaredSkipped'
  >
  readonly keepsOrder?: boolean
}): Verdict {
  const { ledger, app, keepsOrder = false } = options
  const problems: string[] = []
  const untold: Untold[] = []
  const fates = { webhook: noFates(), stream: noFates() }
  const emitted = groupBy(ledger.filter(hasCallState), (entry) => entry.call_id ?? '')
  const snapshotsOf = groupBy(ledger.filter(isAcknowledgedSnapshot), (entry) => entry.user_id)
  const byWebhook = groupBy(app.webhookArrivals, (arrival) => arrival.callId)
  const byStream = groupBy(app.streamArrivals, (arrival) => arrival.callId)
  for (const [callId, entries] of emitted) {
    const snapshots = snapshotsOf.get(entries[0]?.user_id ?? '') ?? []
    const streamed = byStream.get(callId) ?? []
    const declared = app.declaredSkipped.get(callId)
    const webhooks = [
      ...(byWebhook.get(callId) ?? []),
      ...(declared === undefined ? [] : streamed.filter(({ sequence }) => declared.has(sequence))),
    ]
    const beganAt = Math.min(...webhooks.map((arrival) => arrival.at))
    const isGapAnnounced = app.gapsAnnouncedAt.some((at) => at >= beganAt)
    for (const [way, arrivals, mayMiss] of [
      ['webhook', webhooks, false],
      ['stream', streamed, isGapAnnounced],
    ] as const) {
      const received = inSequence(arrivals)
      for (const { entry, fate } of fatesOf({ entries, received, snapshots, mayMiss, keepsOrder })) {
        fates[way][fate] += 1
        if (fate === 'overtaken' || fate === 'told_by_resynchronisation') untold.push({ way, fate, entry })
        if (fate === 'lost') problems.push(`lost by ${way}: ${callId} ${entry.type} acked ${entry.ack_status}`)
      }
      const isLeftOpen = received.length > 0 && received.at(-1)?.state !== 'released'
      if (isLeftOpen && !mayMiss) problems.push(`never released by ${way}: ${callId}`)
    }
  }
  for (const [way, calls] of [
    ['webhook', byWebhook],
    ['stream', byStream],
  ] as const) {
    for (const [callId, arrivals] of calls) {
      const declared = way === 'webhook' ? app.declaredSkipped.get(callId) : undefined
      problems.push(...orderProblems(`${way} ${callId}`, arrivals, declared))
    }
  }
  problems.push(...contradictions([...app.webhookArrivals, ...app.streamArrivals]))
  if (app.badSignatures > 0) problems.push(`${app.badSignatures} webhooks with a wrong signature`)
  return {
    figures: {
      'events in the ledger': ledger.length,
      'of them with call state': [...emitted.values()].reduce((sum, entries) => sum + entries.length, 0),
      calls: emitted.size,
      'told by webhook': fates.webhook.told,
      'overtaken (delivered out of order by the network)': fates.webhook.overtaken,
      'told by resynchronisation': fates.webhook.told_by_resynchronisation,
      'lost by webhook': fates.webhook.lost,
      'webhooks received': app.webhookArrivals.length,
      'of them repeated': repeats(app.webhookArrivals),
      'webhooks declared as skipped': [...app.declaredSkipped.values()].reduce((sum, { size }) => sum + size, 0),
      'stream events received': app.streamArrivals.length,
      'stream events repeated': repeats(app.streamArrivals.filter(({ snapshot }) => !snapshot)),
      'stream snapshots (could not resume, and said so)': app.gapsAnnouncedAt.length,
      'told by stream': fates.stream.told,
      'lost by stream': fates.stream.lost,
      'synthetic events': app.webhookArrivals.filter((arrival) => arrival.synthetic).length,
      'out of order within a call': problems.filter((problem) => problem.startsWith('order:')).length,
    },
    problems,
    untold,
  }
}

const noFates = (): Record<Fate, number> => ({ told: 0, overtaken: 0, told_by_resynchronisation: 0, lost: 0 })

/** `entries` of one call and `snapshots` of its user, both in the order in which they were made. */
function fatesOf(options: {
  readonly entries: readonly LedgerEntry[]
  readonly received: readonly Arrival[]
  readonly snapshots: readonly LedgerEntry[]
  /** The way announced a gap while the call went on. */
  readonly mayMiss: boolean
  readonly keepsOrder: boolean
}): { entry: LedgerEntry; fate: Fate }[] {
  const { entries, received, snapshots, mayMiss, keepsOrder } = options
  const precedes = keepsOrder ? mayPrecedeInOrder : mayPrecede
  const overtaken = new Set(
    entries.filter(
      (entry, index) => ackedAtOf(entry) < Infinity && entries.slice(index + 1).some((later) => precedes(later, entry)),
    ),
  )
  const stored = entries.filter((entry) => ackedAtOf(entry) < Infinity)
  // Whatever was told of those that were overtaken is told, and the others must be found without the rest of them.
  const first = align(stored, received, (entry) => !overtaken.has(entry))
  const told = align(
    stored.filter((entry) => first.has(entry) || !overtaken.has(entry)),
    received,
    (entry) => !overtaken.has(entry),
  )
  const isOver = mayMiss || received.length === 0 || received.at(-1)?.state === 'released'
  const wasConcluded = mayMiss || received.some((arrival) => arrival.synthetic)
  return entries.map((entry) => {
    if (told.has(entry)) return { entry, fate: 'told' }
    if (overtaken.has(entry)) return { entry, fate: 'overtaken' }
    const fellIntoGap = snapshots.some(
      (snapshot) => snapshot.created_at >= entry.created_at && precedes(snapshot, entry),
    )
    return { entry, fate: isOver && (fellIntoGap || wasConcluded) ? 'told_by_resynchronisation' : 'lost' }
  })
}

/**
 * Whether an event that was made later may have been dealt with first: it was acknowledged before, or it was
 * sent before the other one was acknowledged, on another channel or before that one was sent again. On one
 * channel the order is kept.
 */
function mayPrecede(later: LedgerEntry, entry: LedgerEntry): boolean {
  const ackedAt = ackedAtOf(entry)
  const last = entry.emissions.at(-1)
  return (
    ackedAtOf(later) <= ackedAt ||
    later.emissions.some(({ at, channel_id: id }) => at < ackedAt && (id !== last?.channel_id || at < last.at))
  )
}

/** The same where every channel keeps the order, whatever is repeated on how many of them. */
function mayPrecedeInOrder(later: LedgerEntry, entry: LedgerEntry): boolean {
  const ackedAt = ackedAtOf(entry)
  const wasSentBefore = (emission: LedgerEntry['emissions'][number]) =>
    entry.emissions.some(({ at, channel_id: id }) => id === emission.channel_id && at <= emission.at)
  return later.emissions.some((emission) => emission.at <= ackedAt && !wasSentBefore(emission))
}

const ackedAtOf = (entry: LedgerEntry): number =>
  entry.ack_status === 200 && entry.acked_at !== null ? entry.acked_at : Infinity

/** One entry that must be found counts for more than any number of those that need not be. */
const PREFERRED = 1_000

/**
 * The entries whose states appear among the arrivals in order, as many of the preferred ones as possible, and of
 * the others: the heaviest common subsequence. Entries in a row with the same state are one: an update that
 * changes no state is not told.
 */
function align(
  entries: readonly LedgerEntry[],
  received: readonly Arrival[],
  isPreferred: (entry: LedgerEntry) => boolean,
): ReadonlySet<LedgerEntry> {
  const runs = runsOf(entries)
  const weights = runs.map((run) => (run.entries.some(isPreferred) ? PREFERRED : 1))
  const best = Array.from({ length: runs.length + 1 }, () => Array.from({ length: received.length + 1 }, () => 0))
  const at = (i: number, j: number) => best[i]?.[j] ?? 0
  const matched = (i: number, j: number) =>
    runs[i]?.state === received[j]?.state ? (weights[i] ?? 0) + at(i + 1, j + 1) : -1
  for (let i = runs.length - 1; i >= 0; i -= 1) {
    for (let j = received.length - 1; j >= 0; j -= 1) {
      const row = best[i]
      if (row !== undefined) row[j] = Math.max(matched(i, j), at(i + 1, j), at(i, j + 1))
    }
  }
  const told = new Set<LedgerEntry>()
  for (let i = 0, j = 0; i < runs.length && j < received.length;) {
    if (matched(i, j) === at(i, j)) {
      for (const entry of runs[i]?.entries ?? []) told.add(entry)
      i += 1
      j += 1
    } else if (at(i + 1, j) >= at(i, j + 1)) i += 1
    else j += 1
  }
  return told
}

function runsOf(entries: readonly LedgerEntry[]): { state: string | undefined; entries: LedgerEntry[] }[] {
  const runs: { state: string | undefined; entries: LedgerEntry[] }[] = []
  for (const entry of entries) {
    const last = runs.at(-1)
    if (last !== undefined && last.state === stateOf(entry)) last.entries.push(entry)
    else runs.push({ state: stateOf(entry), entries: [entry] })
  }
  return runs
}

const isAcknowledgedSnapshot = (entry: LedgerEntry): boolean =>
  entry.type === 'CallSubscriptionEvent' && entry.ack_status === 200

export function orderProblems(
  name: string,
  arrivals: readonly Arrival[],
  declared: ReadonlySet<number> | undefined,
): string[] {
  let newest = 0
  for (const { sequence, snapshot } of arrivals) {
    while (declared?.has(newest + 1) === true && sequence > newest + 1) newest += 1
    if (sequence > newest + 1 && !snapshot) return [`order: ${name} jumped from ${newest} to ${sequence}`]
    newest = Math.max(newest, sequence)
  }
  return []
}

function contradictions(arrivals: readonly Arrival[]): readonly string[] {
  const seen = new Map<string, string>()
  const found: string[] = []
  for (const { callId, sequence, state, event, snapshot } of arrivals) {
    // A snapshot repeats the call, not the event.
    if (snapshot) continue
    const [key, content] = [`${callId} ${sequence}`, `${event} ${state}`]
    const known = seen.get(key)
    if (known !== undefined && known !== content) found.push(`order: ${key} is ${known} and ${content}`)
    seen.set(key, content)
  }
  return found
}

const repeats = (arrivals: readonly Arrival[]): number =>
  arrivals.length - new Set(arrivals.map(({ callId, sequence }) => `${callId} ${sequence}`)).size

/** The distinct arrivals of a call by sequence number. */
export const inSequence = (arrivals: readonly Arrival[]): Arrival[] =>
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
    case null:
    default:
      return undefined
  }
}

export function groupBy<Item>(items: readonly Item[], keyOf: (item: Item) => string): Map<string, Item[]> {
  const groups = new Map<string, Item[]>()
  for (const item of items) {
    const key = keyOf(item)
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [item])
    else group.push(item)
  }
  return groups
}
