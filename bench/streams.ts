import { correctness, report, timing, type Goal } from './pipeline/goals.ts'
import { startBare, startCallhalf, startSocketio, type Broadcast, type Contender } from './streams/contenders.ts'
import { runHostilities } from './streams/hostilities.ts'
import { formatNumber, machineLoad, median, printTable, say } from './webhooks/rig/figures.ts'
import { readOptions } from './webhooks/rig/options.ts'

/**
 * Fan-out: one log, many clients. The gateway's hub and HTTP server beside bare `ws` that writes one prebuilt
 * frame, and beside Socket.IO with its Redis streams adapter and connection state recovery; the same clients and
 * the same events, in turn in one run. Then what clients that behave badly do to the others.
 *
 *   node bench/streams.ts [--few 1000] [--many 10000] [--rounds 3] [--frames 200000] [--strict] [--skip-fan-out] [--skip-hostile]
 */
const options = readOptions({
  few: 1_000,
  many: 10_000,
  rounds: 3,
  frames: 200_000,
  strict: false,
  'skip-fan-out': false,
  'skip-hostile': false,
})
const GOALS = { ofBare: 0.8, bytesPerClient: 10 * 1_024 }
/** Frames per second when events come one by one, so that there is nothing to batch. */
const PACED_FRAMES = 20_000
const PACED_SECONDS = 4

type Row = {
  readonly contender: string
  readonly clients: number
  readonly bytesPerClient: { readonly rss: number; readonly live: number }
  readonly connectsPerSecond: number
  readonly bursts: Broadcast[]
  readonly paced: Broadcast[]
  readonly loads: string[]
}

const goals: Goal[] = []
const rows: Row[] = []

if (!options['skip-fan-out']) {
  await compare()
  printRows()
  judge()
}
if (!options['skip-hostile']) goals.push(...(await runHostilities(options.rounds)))
report(goals, { strict: options.strict })

async function compare(): Promise<void> {
  await using ours = await startCallhalf()
  await using bare = await startBare()
  await using socketio = await startSocketio(ours.socketPath)
  const contenders = [ours, bare, socketio]
  say(`${options.rounds} rounds in turn; load of the machine ${machineLoad()}`)
  // What the first frames bring into being belongs to no client.
  for (const contender of contenders) {
    await contender.connect(50)
    await contender.burst(2_000)
    await contender.cut()
  }
  for (const clients of [options.few, options.many]) {
    const present = new Map<Contender, Row>()
    for (const contender of contenders) present.set(contender, await connect(contender, clients))
    for (let round = 0; round < options.rounds; round += 1) {
      for (const [contender, row] of present) {
        row.bursts.push(await contender.burst(Math.ceil(options.frames / clients)))
        row.paced.push(await contender.atPace(Math.max(1, PACED_FRAMES / clients), PACED_SECONDS))
        row.loads.push(machineLoad())
      }
    }
    rows.push(...present.values())
    say(`  ${clients} clients done, load ${machineLoad()}`)
  }
}

/** From none to so many: what each of them costs while nothing happens. */
async function connect(contender: Contender, clients: number): Promise<Row> {
  await contender.cut()
  const before = await contender.memory()
  const connectsPerSecond = await contender.connect(clients)
  const after = await contender.memory()
  return {
    contender: contender.name,
    clients,
    bytesPerClient: { rss: (after.rss - before.rss) / clients, live: (after.live - before.live) / clients },
    connectsPerSecond,
    bursts: [],
    paced: [],
    loads: [],
  }
}

function printRows(): void {
  say()
  printTable(
    [
      'clients, server',
      'frames/s',
      'by round',
      'CPU µs/frame',
      'one by one µs',
      'KB/client',
      '(RSS)',
      'connects/s',
      'load',
    ],
    rows.map(({ contender, clients, bursts, paced, bytesPerClient, connectsPerSecond, loads }) => [
      `${clients} ${contender}`,
      Math.round(median(bursts.map(framesPerSecond))),
      bursts.map((burst) => Math.round(framesPerSecond(burst))).join(' '),
      median(bursts.map(cpuPerFrame)),
      median(paced.map(cpuPerFrame)),
      bytesPerClient.live / 1_024,
      bytesPerClient.rss / 1_024,
      Math.round(connectsPerSecond),
      loads.join(' '),
    ]),
  )
  say('(one by one: processor time per frame when there is nothing to batch)')
  say('(KB/client: objects and buffers; RSS has what V8 keeps for itself, too, which counts less the more there are)')
}

function judge(): void {
  for (const clients of [options.few, options.many]) {
    const of = (name: string) => rows.find((row) => row.contender === name && row.clients === clients)
    const [ours, bare, socketio] = [of('callhalf'), of('bare ws'), of('socket.io')]
    if (ours === undefined || bare === undefined || socketio === undefined) continue
    const speed = ratios(ours.bursts, bare.bursts, framesPerSecond)
    const thrift = ratios(bare.paced, ours.paced, cpuPerFrame)
    const ahead = ratios(ours.bursts, socketio.bursts, framesPerSecond)
    goals.push(
      atLeast(`${clients} clients: frames/s against bare ws`, speed, GOALS.ofBare),
      atLeast(`${clients} clients: frames per CPU second against bare ws, one by one`, thrift, GOALS.ofBare),
      atLeast(`${clients} clients: frames/s against Socket.IO`, ahead, 1),
      timing(
        `${clients} clients: memory per idle client below Socket.IO's`,
        ours.bytesPerClient.live < socketio.bytesPerClient.live,
        `${kilobytes(ours.bytesPerClient.live)} of ${kilobytes(socketio.bytesPerClient.live)}`,
      ),
      timing(
        `${clients} clients: memory per idle client, at most ${kilobytes(GOALS.bytesPerClient)}`,
        ours.bytesPerClient.live <= GOALS.bytesPerClient,
        `${kilobytes(ours.bytesPerClient.live)}, RSS ${kilobytes(ours.bytesPerClient.rss)}`,
      ),
    )
  }
  goals.push(correctness('every frame reached every client', true, `${rows.length} comparisons were complete`))
}

/** Of one to the other, round by round: what disturbs one round disturbs both alike. */
function ratios(ones: readonly Broadcast[], others: readonly Broadcast[], of: (one: Broadcast) => number) {
  return ones.map((one, round) => of(one) / (others[round] === undefined ? Number.NaN : of(others[round])))
}

function atLeast(what: string, seen: readonly number[], least: number): Goal {
  const middle = median(seen)
  return timing(
    `${what}, at least ${least} (median of rounds)`,
    middle >= least,
    `${formatNumber(middle)} of ${seen.map(formatNumber).join(' ')}`,
  )
}

function framesPerSecond({ frames, seconds }: Broadcast): number {
  return frames / seconds
}

function cpuPerFrame({ frames, cpuUs }: Broadcast): number {
  return cpuUs / frames
}

function kilobytes(bytes: number): string {
  return `${formatNumber(bytes / 1_024)} KB`
}
