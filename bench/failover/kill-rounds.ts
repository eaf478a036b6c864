import { setTimeout as delay } from 'node:timers/promises'
import type { LedgerEntry } from '../soak/compare.ts'
import type { Arrival, RecordingApp } from '../soak/recording-app.ts'
import type { Cluster } from './cluster.ts'
import type { GatewayProcess } from './gateway-process.ts'

/** What one end of an owner led to. Times in ms. */
export type KillRound = {
  readonly owned: number
  /** The longest silence around the kill: on the survivor's stream, and for the client that was at the victim. */
  readonly gapMs: number
  readonly victimGapMs: number
  /** When it began and ended, in ms since the epoch. */
  readonly startedAt: number
  readonly endedAt: number
  /** The longest that an event of that time took from its making to its acknowledgement. */
  readonly slowestMs: number
  /** XSI events per second during the round. */
  readonly eventsPerSecond: number
  readonly subscriptionRequests: Readonly<Record<'create' | 'refresh' | 'delete', number>>
  readonly snapshots: number
  /** Nodes that the survivor handed over to the other one in the meantime, because that came first in line. */
  readonly handOvers: number
  /** Why snapshots were asked for on the survivor. */
  readonly reasons: string
}

const BEFORE_MS = 3_000
/** A killed one stays away for as long as its leases last. */
const AWAY_MS = 6_000
/** A restarted one is watched until it has its place again, if it comes first in line: it asks after 10 s. */
const RETURN_MS = 20_000
/** Calls last so long: from then on as many end as begin. */
const CALL_MS = 2_000

/** Ends the instance that owns most nodes while calls go on, and starts it again. */
export async function runKillRound(
  cluster: Cluster,
  round: number,
  options: { readonly callsPerSecond: number; readonly signal: 'SIGKILL' | 'SIGTERM' },
): Promise<KillRound> {
  await cluster.untilClientsAreHome()
  await cluster.untilHotStandby()
  const { victim, survivor, owned } = await pickVictim(cluster, round)
  const requestsBefore = await subscriptionRequestsOf(survivor)
  const reasonsBefore = await resyncsOf(survivor)
  const handOversBefore = await handOversOf(survivor)
  const startedAt = Date.now()
  const isKill = options.signal === 'SIGKILL'
  const seconds = (BEFORE_MS + (isKill ? AWAY_MS : RETURN_MS)) / 1_000
  const loadId = await cluster.startLoad(options.callsPerSecond, seconds)
  await delay(BEFORE_MS)
  const killedAt = performance.now()
  await victim.signal(options.signal)
  if (isKill) await delay(AWAY_MS)
  else {
    await victim.launch()
    await delay(RETURN_MS)
  }
  const watchedUntil = performance.now()
  const [gapMs, victimGapMs] = [survivor, victim].map((gateway) =>
    longestSilence(clientOf(cluster, gateway).streamArrivals, { since: killedAt, until: watchedUntil }),
  )
  if (isKill) await victim.launch()
  await cluster.untilLoadIsDone(loadId)
  const requests = await subscriptionRequestsOf(survivor)
  const ownRequests = await subscriptionRequestsOf(victim)
  const ledger = (await cluster.readLedger()).filter(({ created_at: at }) => at >= startedAt)
  return {
    owned,
    gapMs: gapMs ?? Infinity,
    victimGapMs: victimGapMs ?? Infinity,
    startedAt,
    endedAt: Date.now(),
    slowestMs: slowestAck(ledger, performance.timeOrigin + killedAt),
    eventsPerSecond: rateOf(ledger, startedAt + CALL_MS, startedAt + seconds * 1_000),
    subscriptionRequests: {
      create: requests.create - requestsBefore.create + ownRequests.create,
      refresh: requests.refresh - requestsBefore.refresh + ownRequests.refresh,
      delete: requests.delete - requestsBefore.delete + ownRequests.delete,
    },
    snapshots: ledger.filter(({ type }) => type === 'CallSubscriptionEvent').length,
    handOvers: (await handOversOf(survivor)) - handOversBefore,
    reasons: await resyncReasonsOf(survivor, reasonsBefore),
  }
}

/** The one that owns more nodes; if both own one, in turn. */
export async function pickVictim(
  cluster: Cluster,
  round: number,
): Promise<{ readonly victim: GatewayProcess; readonly survivor: GatewayProcess; readonly owned: number }> {
  const [first, second] = cluster.gateways
  for (let attempt = 1; attempt <= 20; attempt += 1) {
    const [ownedByFirst, ownedBySecond] = [await cluster.ownedBy(first), await cluster.ownedBy(second)]
    const isFirst = ownedByFirst === ownedBySecond ? round % 2 === 0 : ownedByFirst > ownedBySecond
    const owned = isFirst ? ownedByFirst : ownedBySecond
    if (owned > 0)
      return isFirst ? { victim: first, survivor: second, owned } : { victim: second, survivor: first, owned }
    await delay(500)
  }
  throw new Error('nobody owns a node')
}

/** The client that is at an instance while that lives. */
export const clientOf = (cluster: Cluster, gateway: GatewayProcess): RecordingApp =>
  gateway === cluster.gateways[0] ? cluster.app : cluster.second

/**
 * The longest time without an event of a stream, from shortly before `since` to `until` (monotonic): also the
 * time after the last one, as events went on being made.
 */
export function longestSilence(
  arrivals: readonly Arrival[],
  { since, until }: { readonly since: number; readonly until: number },
): number {
  let longest = 0
  let last = since - 500
  for (const { at, snapshot } of arrivals) {
    if (snapshot || at < last || at > until) continue
    longest = Math.max(longest, at - last)
    last = at
  }
  return Math.max(longest, until - last)
}

function rateOf(ledger: readonly LedgerEntry[], from: number, until: number): number {
  const made = ledger.filter(({ created_at: at }) => at >= from && at < until)
  return made.length / ((until - from) / 1_000)
}

/** Of the events made around a time (ms since the epoch), the longest wait for an acknowledgement. */
function slowestAck(ledger: readonly LedgerEntry[], around: number): number {
  const near = ledger.filter(({ created_at: at }) => at >= around - 500 && at <= around + RETURN_MS)
  return Math.max(...near.map((entry) => (entry.acked_at ?? Infinity) - entry.created_at))
}

const handOversOf = (gateway: GatewayProcess) =>
  gateway.metric('callhalf_channel_role_changes_total', { role: 'owner', change: 'handed_over' })

const REQUESTS = 'callhalf_subscription_requests_total'

async function subscriptionRequestsOf(gateway: GatewayProcess) {
  const [create, refresh, remove] = await Promise.all(
    ['create', 'refresh', 'delete'].map((operation) => gateway.metric(REQUESTS, { operation })),
  )
  return { create: create ?? 0, refresh: refresh ?? 0, delete: remove ?? 0 }
}

const REASONS = [
  'gap',
  'undelivered',
  'malformed',
  'call_not_found',
  'dwell',
  'lease_acquired',
  'doubted',
  'channel_lost',
]

const resyncsOf = (gateway: GatewayProcess) =>
  Promise.all(REASONS.map((reason) => gateway.metric('callhalf_resyncs_total', { reason })))

async function resyncReasonsOf(gateway: GatewayProcess, before: readonly number[]): Promise<string> {
  const now = await resyncsOf(gateway)
  return REASONS.map((reason, index) => ({ reason, count: (now[index] ?? 0) - (before[index] ?? 0) }))
    .filter(({ count }) => count > 0)
    .map(({ reason, count }) => `${reason} ${count}`)
    .join(', ')
}
