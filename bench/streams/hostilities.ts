import { setTimeout as delay } from 'node:timers/promises'
import { correctness, timing, type Goal } from '../pipeline/goals.ts'
import { Child } from '../webhooks/rig/child.ts'
import { formatNumber, machineLoad, median, printTable, say } from '../webhooks/rig/figures.ts'
import { paced } from '../webhooks/rig/wait.ts'
import type { ClientsCalls } from './clients.ts'
import { startCallhalf, startClients, type CallhalfContender } from './contenders.ts'
import type { HostileCalls } from './hostile-clients.ts'

const GOOD_CLIENTS = 100
const STOPPED_CLIENTS = 20
const GARBAGE_LANES = 20
const FLOOD_LANES = 10
const RECONNECTING_CLIENTS = 2_000
/** Enough that a client that does not read has more waiting for it than it may, long before the end. */
const HEAVY = { perSecond: 60, paddingBytes: 8_000 }
/** With thousands of clients that read, what each of them is sent must not be what is measured. */
const LIGHT = { perSecond: 5, paddingBytes: 0 }
const PHASE_SECONDS = 10
/** How much worse it may become for the others. */
const FACTOR_MAX = 2
/** What a process may have grown by in spite of having got rid of everything. */
const MEMORY_LEFT_MAX = 16 * 1_048_576
const CALM_MS = 1_000

type Latency = ReturnType<ClientsCalls['latency']>

type Phase = { readonly name: string; readonly good: Latency; readonly note: string; readonly load: string }

/**
 * What clients that behave badly do to a hundred that do not, and to the memory of the process: they stop
 * reading, send garbage, flood, or come back two thousand at once. Every phase has the same stream of events;
 * a phase in which they are at it is compared with those in which they are not, median with median of all rounds.
 */
export async function runHostilities(rounds: number): Promise<readonly Goal[]> {
  await using ours = await startCallhalf()
  const good = startClients('good clients')
  const bad = startClients('bad clients')
  const hostile = new Child<HostileCalls>(import.meta.resolve('./hostile-clients.ts'), { name: 'hostile clients' })
  try {
    return await run({ ours, good, bad, hostile }, rounds)
  } finally {
    await Promise.all([good, bad, hostile].map((child) => child.end('SIGTERM')))
  }
}

type Cast = {
  readonly ours: CallhalfContender
  readonly good: Child<ClientsCalls>
  readonly bad: Child<ClientsCalls>
  readonly hostile: Child<HostileCalls>
}

async function run(cast: Cast, rounds: number): Promise<readonly Goal[]> {
  const { ours, good, bad, hostile } = cast
  await Promise.all([bad.call('giveWay'), hostile.call('giveWay')])
  await good.call('watchLatency', true)
  await bad.call('watchLatency', true)
  await good.call('open', { server: ours.server, count: GOOD_CLIENTS })
  // The first is for the compilers.
  await playPhase(cast, HEAVY, 'warm-up')
  const before = await ours.memory()
  const heavy: (readonly Phase[])[] = []
  const light: (readonly Phase[])[] = []
  for (let round = 0; round < rounds; round += 1) {
    heavy.push(await playHeavy(cast))
    light.push(await playLight(cast))
  }
  // What is freed is freed by and by.
  const last = await playPhase(cast, HEAVY, 'nobody else again')
  const after = await ours.memory()
  const all = [...heavy.flat(), ...light.flat(), last]
  print(all)
  say(
    `RSS ${megabytes(before.rss)} → ${megabytes(after.rss)} MB, live ${megabytes(before.live)} → ${megabytes(after.live)} MB`,
  )
  return [
    ...compare(heavy),
    ...compare(light),
    correctness(
      'no client that behaves was cut off',
      all.every(({ good: of }) => of.lost === 0),
      all.map(losses).join(' '),
    ),
    timing(
      `the memory of bad clients is given back, all but ${megabytes(MEMORY_LEFT_MAX)} MB`,
      after.live - before.live <= MEMORY_LEFT_MAX,
      `${megabytes(after.live - before.live)} MB live, ${megabytes(after.rss - before.rss)} MB RSS`,
    ),
  ]
}

/** Without them first. */
async function playHeavy(cast: Cast): Promise<readonly Phase[]> {
  const { ours, bad, hostile } = cast
  const { server } = ours
  const attack = { server, seconds: PHASE_SECONDS }
  const phases = [
    await playPhase(cast, HEAVY, 'nobody else'),
    await playPhase(cast, HEAVY, `${STOPPED_CLIENTS} stop reading`, async () => {
      await bad.call('open', { server, count: STOPPED_CLIENTS })
      await bad.call('pause')
      return ''
    }),
    await playPhase(cast, HEAVY, 'garbage without end', () =>
      hostile.call('garbage', { ...attack, lanes: GARBAGE_LANES }),
    ),
    await playPhase(cast, HEAVY, 'floods without end', () => hostile.call('flood', { ...attack, lanes: FLOOD_LANES })),
  ]
  await bad.call('cut')
  return phases
}

/** Quiet first. */
async function playLight(cast: Cast): Promise<readonly Phase[]> {
  const { ours, bad } = cast
  const { server } = ours
  await bad.call('open', { server, count: RECONNECTING_CLIENTS })
  const phases = [
    await playPhase(cast, LIGHT, `${RECONNECTING_CLIENTS} more, quiet`),
    await playPhase(cast, LIGHT, `${RECONNECTING_CLIENTS} reconnect at once`, async () => {
      await delay(CALM_MS)
      const { count, seconds, refused } = await bad.call('reconnect', server)
      return `${count - refused} resumed within ${formatNumber(seconds)} s, ${refused} refused`
    }),
  ]
  await bad.call('cut')
  return phases
}

/** Each phase with the first. */
function compare(rounds: readonly (readonly Phase[])[]): readonly Goal[] {
  const [baseline, ...others] = rounds[0] ?? []
  if (baseline === undefined) return []
  const p99s = ({ name }: Phase): number[] =>
    rounds.flatMap((phases) => phases.filter((phase) => phase.name === name)).map(({ good: { p99 } }) => p99)
  const without = median(p99s(baseline))
  return others.map((phase) => {
    const seen = p99s(phase)
    return timing(
      `${phase.name}: p99 of the others at most ${FACTOR_MAX} times that without (medians of rounds)`,
      median(seen) <= FACTOR_MAX * without,
      `${formatNumber(median(seen))} ms (${seen.map(formatNumber).join(' ')}) of ${formatNumber(without)} ms`,
    )
  })
}

const losses = ({ good: { lost, closeCodes } }: Phase): string =>
  lost === 0 ? '0' : `${lost} ${JSON.stringify(closeCodes)}`

/** The same events for everybody, while something happens. */
async function playPhase(
  { ours, good }: Cast,
  { perSecond, paddingBytes }: typeof HEAVY,
  name: string,
  act: () => Promise<string> = () => Promise.resolve(''),
): Promise<Phase> {
  await delay(CALM_MS)
  await good.call('latency')
  const appending: Promise<void>[] = []
  const acting = act()
  await paced({ perSecond, seconds: PHASE_SECONDS }, () => appending.push(ours.appender.append(1, paddingBytes)))
  await Promise.all(appending)
  const note = await acting
  // What is late is in it, too.
  await delay(CALM_MS)
  return { name, good: await good.call('latency'), note, load: machineLoad() }
}

function print(phases: readonly Phase[]): void {
  say()
  printTable(
    ['meanwhile', 'p50 ms', 'p99 ms', 'max ms', 'events', 'load', ''],
    phases.map(({ name, good: { p50, p99, max, count }, load, note }) => [name, p50, p99, max, count, load, note]),
  )
}

const megabytes = (bytes: number): string => formatNumber(bytes / 1_048_576)
