import type { AppRef } from '../../src/core/ids.ts'
import { startOurs, startPlainQueue, startSender, type Contender, type Measurement } from './rig/contenders.ts'
import { conclude, formatNumber, machineLoad, median, printTable, say } from './rig/figures.ts'
import { Generator } from './rig/generator.ts'
import { Installation } from './rig/installation.ts'
import { readOptions } from './rig/options.ts'

/**
 * What delivering costs, beside doing less: the gateway's engine (a worker process, Redis, PostgreSQL), plain
 * BullMQ with a POST per job, a bare POST of the same bytes, and one signed attempt alone. All send to the
 * same receiver in the same run, in turn, so that ratios mean something on a busy machine.
 *
 *   node bench/webhooks/delivery.ts [--seconds 8] [--count 15000] [--rounds 5] [--full] [--profile]
 *
 * `--full` leaves the even paces out, `--profile` writes where the worker spends its time to the working folder.
 */
const options = readOptions({
  endpoints: 50,
  seconds: 8,
  count: 15_000,
  rounds: 5,
  window: 1_000,
  full: false,
  profile: false,
})
const GOALS = { throughput: 0.6, p50Ms: 10, p99Ms: 50, attemptCpu: 1.5 }
const GOAL_PACE = 200

await using installation = await Installation.start()
using generator = new Generator(installation.socketPath)
const { receiver, urls } = await installation.startReceiver(options.endpoints)
const apps: AppRef[] = []
for (const [index, url] of urls.entries()) {
  const app = await installation.addApp(`delivery ${index}`)
  await installation.addEndpoint(app, { url, maxInFlight: 25 })
  apps.push(app)
}
const bench = { installation, receiver, urls, generator, apps, window: options.window }
const bare = startSender(bench, 'bare')
const signed = startSender(bench, 'signed')
await using plain = await startPlainQueue(bench)
const ours = await startOurs(bench, options.profile ? ['--cpu-prof', '--cpu-prof-dir=.'] : undefined)

type Row = {
  readonly pace: string
  readonly contender: Contender
  readonly figures: readonly Measurement[]
  readonly loads: string[]
}

say(`${options.endpoints} endpoints, ${options.rounds} rounds in turn; load of the machine ${machineLoad()}`)
for (const contender of [ours, plain, bare, signed]) await contender.atFullPace(Math.min(options.count, 1_000))

const rows: Row[] = []
const fullPace = await alternate('full', [ours, plain, bare, signed], (contender) =>
  contender.atFullPace(options.count),
)
for (const pace of options.full ? [] : [100, GOAL_PACE, 500, 1_000]) {
  await alternate(`${pace}/s`, [ours, plain, bare], (contender) => contender.atPace(pace, options.seconds))
}

/** Every contender in turn, `rounds` times. */
async function alternate(
  pace: string,
  contenders: readonly Contender[],
  run: (contender: Contender) => Promise<Measurement>,
): Promise<ReadonlyMap<Contender, readonly Measurement[]>> {
  const figures = new Map<Contender, Measurement[]>(contenders.map((contender) => [contender, []]))
  const loads = new Map<Contender, string[]>(contenders.map((contender) => [contender, []]))
  for (let round = 0; round < options.rounds; round += 1) {
    for (const contender of contenders) {
      figures.get(contender)?.push(await run(contender))
      loads.get(contender)?.push(machineLoad())
    }
  }
  for (const contender of contenders) {
    rows.push({ pace, contender, figures: figures.get(contender) ?? [], loads: loads.get(contender) ?? [] })
  }
  say(`  ${pace} done, load ${machineLoad()}`)
  return figures
}

const middle = (figures: readonly Measurement[], of: (figure: Measurement) => number) => median(figures.map(of))
const list = (figures: readonly Measurement[], of: (figure: Measurement) => number) =>
  figures.map((figure) => formatNumber(of(figure))).join(' ')
say()
printTable(
  ['pace, way', 'deliveries/s', 'p50 ms', 'p99 ms', 'p99 ms by round', 'CPU µs', 'Redis µs', 'missing', 'load'],
  rows.map(({ pace, contender, figures, loads }) => {
    const isPaced = figures.some(({ latency }) => latency.count > 0)
    return [
      `${pace} ${contender.name}`,
      middle(figures, ({ perSecond }) => perSecond),
      isPaced ? middle(figures, ({ latency }) => latency.p50) : '',
      isPaced ? middle(figures, ({ latency }) => latency.p99) : '',
      isPaced ? list(figures, ({ latency }) => latency.p99) : list(figures, ({ perSecond }) => Math.round(perSecond)),
      middle(figures, ({ cpuUs }) => cpuUs),
      middle(figures, ({ redisUs }) => redisUs),
      figures.reduce((sum, { missing }) => sum + missing, 0),
      loads.join(' '),
    ]
  }),
)

/** Of one contender to another's, round by round: what disturbs one round disturbs both alike. */
function ratios(one: Contender, other: Contender, of: (figure: Measurement) => number): readonly number[] {
  const others = fullPace.get(other) ?? []
  return (fullPace.get(one) ?? []).map(
    (figure, round) => of(figure) / (others[round] === undefined ? Number.NaN : of(others[round])),
  )
}

const throughput = ratios(ours, plain, ({ perSecond }) => perSecond)
const attemptCpu = ratios(signed, bare, ({ cpuUs }) => cpuUs)
// Milliseconds are judged by the round that other programs of this machine disturbed least.
const atGoal = rows.find(({ pace, contender }) => pace === `${GOAL_PACE}/s` && contender === ours)?.figures ?? []
const p50 = Math.min(...atGoal.map(({ latency }) => latency.p50))
const p99 = Math.min(...atGoal.map(({ latency }) => latency.p99))
const missing = rows.reduce((sum, { figures }) => sum + figures.reduce((lost, figure) => lost + figure.missing, 0), 0)
const paced = [
  {
    what: `p50 at ${GOAL_PACE}/s, at most ${GOALS.p50Ms} ms (best round)`,
    holds: p50 <= GOALS.p50Ms,
    seen: `${formatNumber(p50)} ms of ${list(atGoal, ({ latency }) => latency.p50)}`,
  },
  {
    what: `p99 at ${GOAL_PACE}/s, at most ${GOALS.p99Ms} ms (best round)`,
    holds: p99 <= GOALS.p99Ms,
    seen: `${formatNumber(p99)} ms of ${list(atGoal, ({ latency }) => latency.p99)}`,
  },
]
conclude([
  {
    what: `deliveries/s against plain BullMQ, at least ${GOALS.throughput} (median of rounds)`,
    holds: median(throughput) >= GOALS.throughput,
    seen: `${formatNumber(median(throughput))} of ${throughput.map(formatNumber).join(' ')}`,
  },
  ...(options.full ? [] : paced),
  {
    what: `CPU of a signed attempt against a bare POST, at most ${GOALS.attemptCpu} (median of rounds)`,
    holds: median(attemptCpu) <= GOALS.attemptCpu,
    seen: `${formatNumber(median(attemptCpu))} of ${attemptCpu.map(formatNumber).join(' ')}`,
  },
  { what: 'nothing is missing', holds: missing === 0, seen: `${missing}` },
])
