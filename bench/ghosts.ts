import { runGhostRound, type GhostRound, type Sign } from './ghosts/ghost-round.ts'
import { Rig } from './soak/rig.ts'
import { conclude, formatNumber, machineLoad, printTable, say } from './webhooks/rig/figures.ts'
import { readOptions } from './webhooks/rig/options.ts'

/**
 * An application server that fails over and says nothing of the calls that it drops. Each time everybody has
 * a call, all of them vanish, and some new ones begin. What the app is told of the lost calls is compared
 * with the simulator's ledger: after a resynchronisation that the network announces, after the network ended the
 * subscriptions, after the channels broke, and without any sign, when only the watchdog can find out.
 *
 *   node bench/ghosts.ts [--calls 500] [--living 25] [--dwell 20] [--pace 50]
 *
 * `--dwell` is how long a call may stay as it is until the gateway asks, in seconds (usually 90 for a ringing
 * and 14,400 for an answered call). `--pace` is how many users the network is asked about in a second: nobody's
 * subscription is renewed before its turn.
 */
const options = readOptions({ calls: 500, living: 25, dwell: 20, pace: 50 })
const AFTER_SIGN_MAX_MS = 5_000
/** Until the watchdog looks again. */
const SCAN_MS = 10_000
const turnsMs = (options.calls / options.pace) * 1_000
const dwellMs = options.dwell * 1_000

const SIGNS: readonly { readonly sign: Sign; readonly name: string; readonly limitMs: number }[] = [
  { sign: 'resync', name: 'resynchronisation announced', limitMs: AFTER_SIGN_MAX_MS },
  { sign: 'subscriptions', name: 'subscriptions ended', limitMs: AFTER_SIGN_MAX_MS + turnsMs },
  { sign: 'channels', name: 'channels broken', limitMs: AFTER_SIGN_MAX_MS + turnsMs },
  { sign: 'none', name: 'no sign', limitMs: dwellMs + SCAN_MS + turnsMs + AFTER_SIGN_MAX_MS },
]

const dwell = String(options.dwell)
const rig = await Rig.start({
  users: options.calls + options.living,
  say,
  env: { CALLHALF_CHECK_RINGING_SECONDS: dwell, CALLHALF_CHECK_ANSWERED_SECONDS: dwell },
  network: { subscribe_per_second: options.pace },
})
const rounds: { readonly name: string; readonly limitMs: number; readonly round: GhostRound }[] = []
try {
  // Or those that ring would be given up by the network.
  await rig.control.call('PUT', '/settings', { noAnswerMs: 3_600_000 })
  for (const { sign, name, limitMs } of SIGNS) {
    say(`${name}; load of the machine ${machineLoad()}`)
    const round = await runGhostRound(rig, { ...options, sign, waitMs: limitMs + AFTER_SIGN_MAX_MS })
    for (const problem of round.problems.slice(0, 10)) say(`  ${problem}`)
    rounds.push({ name, limitMs, round })
  }
} finally {
  await rig.stop()
}
say()
printTable(
  ['lost call to its release, ms', 'calls', 'since', 'p50', 'p99', 'max', 'own renewal, max', 'load'],
  rounds.map(({ name, round }) => [
    name,
    round.sinceSign.count,
    round.since,
    Math.round(round.sinceSign.p50),
    Math.round(round.sinceSign.p99),
    Math.round(round.sinceSign.max),
    Math.round(round.sinceRenewal.max),
    round.load,
  ]),
)
conclude([
  ...rounds.map(({ name, limitMs, round }) => ({
    what: `${name}: every lost call ended within ${formatNumber(limitMs / 1_000)} s`,
    holds: round.sinceSign.count === options.calls * 2 && round.sinceSign.max <= limitMs,
    seen: `${round.sinceSign.count / 2} of ${options.calls}, the last after ${formatNumber(round.sinceSign.max / 1_000)} s`,
  })),
  ...rounds
    .filter(({ round }) => round.sinceRenewal.count > 0)
    .map(({ name, round }) => ({
      what: `${name}: each within ${AFTER_SIGN_MAX_MS / 1_000} s of the network's answer about its user`,
      holds: round.sinceRenewal.max <= AFTER_SIGN_MAX_MS,
      seen: `${Math.round(round.sinceRenewal.max)} ms`,
    })),
  {
    what: 'none ended before anything could be known, none twice, no living call ended, none left, none invented',
    holds: rounds.every(({ round }) => round.problems.length === 0),
    seen: `${rounds.reduce((sum, { round }) => sum + round.problems.length, 0)} problems`,
  },
])
