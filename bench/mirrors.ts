import { setTimeout as delay } from 'node:timers/promises'
import { ApiClient } from '../src/cli/api-client.ts'
import { Mirror } from '../src/client/mirror.ts'
import type { SnapshotCall, TransportName } from '../src/client/client.ts'
import { Cluster } from './failover/cluster.ts'
import type { GatewayProcess } from './failover/gateway-process.ts'
import { Wanderer } from './mirrors/wanderer.ts'
import { compareWithLedger } from './soak/compare.ts'
import { conclude, machineLoad, printTable, say } from './webhooks/rig/figures.ts'
import { readOptions } from './webhooks/rig/options.ts'
import { waitUntil } from './webhooks/rig/wait.ts'

/**
 * Clients of the library, over every transport, lose their networks at random for up to a minute while calls go
 * on and instances die (SIGKILL) and return. Some calls last to the end, so that there is something to compare:
 * then each client's calls must be the server's, each event must have followed on the one before it unless the
 * client was told of a loss, and what each was told must be what the simulator's ledger says was sent.
 *
 *   node bench/mirrors.ts [--disconnects 1000] [--clients 200] [--away 60] [--kills 4] [--rate 6] [--users 60]
 *
 * `--away` is the longest in seconds, `--rate` calls per second. Random numbers come from `--seed`.
 */
const options = readOptions({ disconnects: 1_000, clients: 200, away: 60, kills: 4, rate: 6, users: 60, seed: 1 })
/** Between two deaths. */
const KILL_EVERY_MS = 25_000
/** A killed instance stays away for a part of that. */
const DEAD_MS = 6_000
/** A disconnect finds a client that is connected for a moment. */
const STAY_MS_MAX = 1_500
/** One such call is added every now and then. */
const LASTING_EVERY_MS = 2_000
/** Of ten clients. */
const TRANSPORTS: readonly TransportName[] = [
  ...(['websocket', 'websocket', 'websocket', 'websocket', 'websocket', 'websocket'] as const),
  ...(['sse', 'sse', 'poll', 'poll'] as const),
]

const random = seeded(options.seed)
await using cluster = await Cluster.start(options.users)
await cluster.untilHotStandby()
const { appId, apiKey } = cluster.account
// Longer than the program takes.
await cluster.control.call('PUT', '/settings', { noAnswerMs: 3_600_000 })
const dead = new Set<GatewayProcess>()
say(`load of the machine ${machineLoad()}; ${options.clients} clients, ${options.rate} calls/s, ${options.users} users`)

const clients = await Promise.all(
  Array.from({ length: options.clients }, (_, index) => {
    const transport = TRANSPORTS[index % TRANSPORTS.length] ?? 'websocket'
    return Wanderer.start({ appId, apiKey, transport, pickPort: () => portOf(pickAlive()) })
  }),
)
try {
  await run()
} finally {
  await Promise.all(clients.map((client) => client.stop()))
}

async function run(): Promise<void> {
  await waitUntil('all clients to be live', () => clients.every(({ isLive }) => isLive))
  const startedAt = performance.now()
  const isOver = new AbortController()
  const load = keepCallsGoing(isOver.signal)
  const deaths = killNowAndThen(isOver.signal)
  const lasting = addLastingCalls(isOver.signal)
  const disconnects = await wanderAll()
  const kills = await stopAndCount(isOver, deaths)
  await Promise.all([load, lasting])
  say(`${disconnects} disconnects and ${kills} deaths in ${Math.round((performance.now() - startedAt) / 1_000)} s`)
  await waitUntil('all events to be settled', async () => {
    const { body } = await cluster.control.call('GET', '/ledger/summary')
    return (body as { pending: number }).pending === 0
  })
  await cluster.untilQuiet()
  await judge({ disconnects, kills })
}

/** Each client loses its network again and again; together as often as they are to. */
async function wanderAll(): Promise<number> {
  let left = options.disconnects
  const lane = async (client: Wanderer) => {
    await delay(random() * options.away * 1_000)
    while (left > 0) {
      left -= 1
      await client.wander(random() * options.away * 1_000)
      // Only a client that is connected can be disconnected.
      await waitUntil('a client to be live again', () => client.isLive, { timeoutMs: 120_000 })
      await delay(random() * STAY_MS_MAX)
    }
  }
  await Promise.all(clients.map(lane))
  return options.disconnects - left
}

async function keepCallsGoing(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) await cluster.untilLoadIsDone(await cluster.startLoad(options.rate, 10))
}

/** Calls that ring and are never answered. */
async function addLastingCalls(signal: AbortSignal): Promise<void> {
  for (let index = 0; !signal.aborted; index += 1) {
    const user = cluster.users[index % cluster.users.length] ?? ''
    await cluster.control.call('POST', `/users/${encodeURIComponent(user)}/incoming-calls`, { from: '+15550199001' })
    await delay(LASTING_EVERY_MS, undefined, { signal }).catch(() => undefined)
  }
}

async function killNowAndThen(signal: AbortSignal): Promise<number> {
  let kills = 0
  while (!signal.aborted && kills < options.kills) {
    await delay(KILL_EVERY_MS, undefined, { signal }).catch(() => undefined)
    if (signal.aborted) break
    const victim = cluster.gateways[kills % 2] ?? cluster.gateways[0]
    kills += 1
    dead.add(victim)
    await victim.signal('SIGKILL')
    for (const client of clients) client.route()
    await delay(DEAD_MS)
    await victim.launch()
    dead.delete(victim)
  }
  return kills
}

async function stopAndCount(isOver: AbortController, deaths: Promise<number>): Promise<number> {
  isOver.abort()
  return deaths
}

async function judge({ disconnects, kills }: { readonly disconnects: number; readonly kills: number }): Promise<void> {
  const server = new ApiClient({ baseUrl: cluster.gateways[0].url, key: apiKey })
  const listed = (await server.call('GET', `/apps/${appId}/calls`)).body as readonly SnapshotCall[]
  const expected = textOf(toMirror(listed))
  const isMirrored = (client: Wanderer) => textOf(client) === expected
  await waitUntil('the mirrors to be the list', () => clients.every(isMirrored), { timeoutMs: 90_000 }).catch(
    () => undefined,
  )
  const wrong = clients.filter((client) => !isMirrored(client))
  for (const { call_id } of listed) await server.call('DELETE', `/apps/${appId}/calls/${encodeURIComponent(call_id)}`)
  await waitUntil('the last calls to end', () => clients.every((client) => client.calls().size === 0))
  await cluster.untilQuiet()
  const ledger = await cluster.readLedger()
  const { webhookArrivals, declaredSkipped, badSignatures } = cluster.app
  const lost = clients.flatMap(({ arrivals: streamArrivals, gapsAnnouncedAt, transport }) => {
    const app = { webhookArrivals, declaredSkipped, badSignatures, streamArrivals, gapsAnnouncedAt }
    return compareWithLedger({ ledger, app }).problems.map((problem) => `${transport}: ${problem}`)
  })
  const gaps = clients.flatMap(({ problems }) => problems)
  say()
  printTable(
    ['', 'clients', 'recovered: true', 'recovered: false', 'told of a loss', 'events'],
    (['websocket', 'sse', 'poll'] as const).map((name) => rowOf(name)),
  )
  for (const problem of [...gaps, ...lost].slice(0, 20)) say(`  ${problem}`)
  const recovered = sum(clients, (client) => client.recovered)
  conclude([
    { what: 'disconnects', holds: disconnects >= options.disconnects, seen: String(disconnects) },
    { what: 'deaths of an instance', holds: kills >= options.kills, seen: String(kills) },
    {
      what: 'every client has the server’s calls',
      holds: wrong.length === 0 && listed.length > 0,
      seen: `${clients.length - wrong.length} of ${clients.length}, ${listed.length} calls`,
    },
    { what: 'no gap after a recovered: true', holds: gaps.length === 0, seen: `${gaps.length} in ${recovered}` },
    { what: 'nothing in the ledger is missing, or out of order', holds: lost.length === 0, seen: String(lost.length) },
  ])
}

function rowOf(name: TransportName): readonly (string | number)[] {
  const of = clients.filter(({ transport }) => transport === name)
  return [
    name,
    of.length,
    sum(of, ({ recovered }) => recovered),
    sum(of, ({ fresh }) => fresh),
    sum(of, ({ gapsAnnouncedAt }) => gapsAnnouncedAt.length),
    sum(of, ({ arrivals }) => arrivals.length),
  ]
}

function pickAlive(): GatewayProcess {
  const alive = cluster.gateways.filter((gateway) => !dead.has(gateway))
  return alive[Math.floor(random() * alive.length)] ?? cluster.gateways[0]
}

function portOf({ url }: GatewayProcess): number {
  return Number(new URL(url).port)
}

function toMirror(calls: readonly SnapshotCall[]): Mirror {
  const mirror = new Mirror()
  mirror.replace(calls, { epoch: '0', offset: 0 })
  return mirror
}

/** In an order of its own: `calls` is a map, or a function that gives one. */
function textOf(of: Mirror | Wanderer): string {
  const calls = of instanceof Mirror ? of.calls : of.calls()
  return JSON.stringify([...calls].toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

function sum<Item>(items: readonly Item[], of: (item: Item) => number): number {
  return items.reduce((total, item) => total + of(item), 0)
}

/** Uniform in [0, 1), the same for the same seed (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
