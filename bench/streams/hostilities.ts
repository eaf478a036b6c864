import { setTimeout as delay } from 'node:timers/promises'
import { correctness, timing, type Goal } from '../pipeline/goals.ts'
import { Child } from '../webhooks/rig/child.ts'
import { formatNumber, machineLoad, printTable, say } from '../webhooks/rig/figures.ts'
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
 * reading, send garbage, flood, or come back two thousand at once. Every phase has the same stream of events.
 */
export async function runHostilities(): Promise<readonly Goal[]> {
  await using ours = await startCallhalf()
  const good = startClients('good clients')
  const bad = startClients('bad clients')
  const hostile = new Child<HostileCalls>(import.meta.resolve('./hostile-clients.ts'), { name: 'hostile clients' })
  try {
    return await run({ ours, good, bad, hostile })
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

async function run(cast: Cast): Promise<readonly Goal[]> {
  const { ours, good, bad, hostile } = cast
  const { server } = ours
  const attack = { server, seconds: PHASE_SECONDS }
  await Promise.all([bad.call('giveWay'), hostile.call('giveWay')])
  await good.call('watchLatency', true)
  await bad.call('watchLatency', true)
  await good.call('open', { server, count: GOOD_CLIENTS })
  // The first is for the compilers.
  await playPhase(cast, HEAVY, 'warm-up')
  const before = await ours.memory()
  const alone = await playPhase(cast, HEAVY, 'nobody else')
  const heavy = [
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
  await bad.call('open', { server, count: RECONNECTING_CLIENTS })
  const beside = await playPhase(cast, LIGHT, `${RECONNECTING_CLIENTS} more, quiet`)
  const light = await playPhase(cast, LIGHT, `${RECONNECTING_CLIENTS} reconnect at once`, async () => {
    await delay(CALM_MS)
    const { count, seconds, refused } = await bad.call('reconnect', server)
    return `${count - refused} resumed within ${formatNumber(seconds)} s, ${refused} refused`
  })
  await bad.call('cut')
  const again = await playPhase(cast, HEAVY, 'nobody else again')
  const after = await ours.memory()
  const all = [alone, ...heavy, beside, light, again]
  print(all)
  say(
    `RSS ${megabytes(before.rss)} → ${megabytes(after.rss)} MB, live ${megabytes(before.live)} → ${megabytes(after.live)} MB`,
  )
  return [
    ...heavy.map((phase) => compare(phase, alone)),
    compare(light, beside),
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

const compare = ({ name, good: { p99 } }: Phase, { good: baseline }: Phase): Goal =>
  timing(
    `${name}: p99 of the others at most ${FACTOR_MAX} times that without`,
    p99 <= FACTOR_MAX * baseline.p99,
    `${formatNumber(p99)} ms of ${formatNumber(baseline.p99)} ms`,
  )

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
