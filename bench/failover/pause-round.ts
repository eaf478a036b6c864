import { setTimeout as delay } from 'node:timers/promises'
import type { Cluster } from './cluster.ts'
import { clientOf, longestSilence, pickVictim } from './kill-rounds.ts'

/** What pausing an owner led to. */
export type PauseRound = {
  /** The longest silence on the survivor's stream. */
  readonly gapMs: number
  /** Commits that the paused owner sent after it went on, and that the store refused. */
  readonly fenced: number
  /** Commits of it that the store took after that, before it was granted any lease anew. */
  readonly writes: number
  /** Those it made when it had one again, and was right to: as a standby it gets what nobody has acknowledged. */
  readonly writesAnew: number
  /** Commits of others meanwhile: that there were any shows that the comparison means something. */
  readonly writesOfOthers: number
}

const BEFORE_MS = 3_000
/** Less than the 10 s after which it may ask for its place again. */
const AFTER_MS = 7_000

/** Far less than the time between two events of a call. */
const LOOK_EVERY_MS = 20
const GRANTED = 'callhalf_leases_total'

/** SIGSTOPs the owner under load, lets it go on, and looks what it writes. */
export async function runPauseRound(cluster: Cluster, callsPerSecond: number, pauseMs: number): Promise<PauseRound> {
  await cluster.untilClientsAreHome()
  await cluster.untilHotStandby()
  const { victim, survivor } = await pickVictim(cluster, 0)
  const seconds = (BEFORE_MS + pauseMs + AFTER_MS) / 1_000
  const loadId = await cluster.startLoad(callsPerSecond, seconds)
  await delay(BEFORE_MS)
  const grantedBefore = await victim.metric(GRANTED, { event: 'granted' })
  const fencedBefore = await victim.metric('callhalf_commits_fenced_total')
  const pausedAt = performance.now()
  await victim.signal('SIGSTOP')
  // With several nodes the others write, too: the victim's own are those that stop growing.
  const atPause = await cluster.versions()
  await delay(pauseMs)
  const beforeResume = await cluster.versions()
  const writersWhilePaused = new Set(changed(atPause, beforeResume).map(writerOf))
  await victim.signal('SIGCONT')
  const known = new Set(beforeResume.values())
  const written = { own: 0, anew: 0, others: 0 }
  // Looked at again and again: what it wrote would soon be written over by others.
  for (const until = performance.now() + AFTER_MS; performance.now() < until; await delay(LOOK_EVERY_MS)) {
    const found = [...(await cluster.versions()).values()].filter((version) => !known.has(version))
    // In this order: a lease that a commit was made under was granted before.
    const hasLease = (await victim.metric(GRANTED, { event: 'granted' })) > grantedBefore
    for (const version of found) {
      known.add(version)
      if (writersWhilePaused.has(writerOf(version))) written.others += 1
      else if (hasLease) written.anew += 1
      else written.own += 1
    }
  }
  const arrivals = clientOf(cluster, survivor).streamArrivals
  const round = {
    gapMs: longestSilence(arrivals, { since: pausedAt, until: performance.now() }),
    fenced: (await victim.metric('callhalf_commits_fenced_total')) - fencedBefore,
    writes: written.own,
    writesAnew: written.anew,
    writesOfOthers: written.others,
  }
  await cluster.untilLoadIsDone(loadId)
  return round
}

/** Versions that were stored in between. */
const changed = (before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): readonly string[] =>
  [...after].filter(([key, version]) => before.get(key) !== version).map(([, version]) => version)

const writerOf = (version: string): string => version.slice(0, version.lastIndexOf('.'))
