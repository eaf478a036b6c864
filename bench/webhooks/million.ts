import type { AppRef } from '../../src/core/ids.ts'
import { setTimeout as delay } from 'node:timers/promises'
import { conclude, formatNumber, machineLoad, printTable, say } from './rig/figures.ts'
import { Generator } from './rig/generator.ts'
import { Installation } from './rig/installation.ts'
import { pushThrough } from './rig/load.ts'
import { readOptions } from './rig/options.ts'
import { emptyLogs, readInfo, readMemoryParts } from './rig/redis-figures.ts'
import { RECORDS_KEY } from '../../src/webhooks/keys.ts'
import { waitUntil } from './rig/wait.ts'

/**
 * A million events through: what Redis holds afterwards, apart from the configured log, is what it held
 * before. Each is delivered once and recorded in PostgreSQL.
 *
 *   node bench/webhooks/million.ts [--events 1000000] [--endpoints 20]
 */
const options = readOptions({
  events: 1_000_000,
  endpoints: 20,
  window: 2_000,
  warm: 2_000,
  settle: 5,
  recording: 300,
  tolerance: 0.1,
})

await using installation = await Installation.start()
const { redis } = installation
using generator = new Generator(installation.socketPath)
const { receiver, urls } = await installation.startReceiver(options.endpoints)
await receiver.call('keep', false)
const apps: AppRef[] = []
for (const [index, url] of urls.entries()) {
  const app = await installation.addApp(`million ${index}`)
  await installation.addEndpoint(app, { url, maxInFlight: 25 })
  apps.push(app)
}
const worker = await installation.startWorker('worker-1')

/** What Redis uses once nothing is under way: with the logs, and without. */
async function measure() {
  await delay(options.settle * 1_000)
  const slow = await readInfo(redis, 'memory', 'used_memory')
  // The server's own list of slow commands, up to 128 with their arguments: half a megabyte on a busy machine.
  await redis.slowlog('RESET')
  say(`  its list of slow commands held ${slow - (await readInfo(redis, 'memory', 'used_memory'))} bytes`)
  const memory = await emptyLogs(redis, apps)
  return { ...memory, keys: await redis.dbsize(), parts: await readMemoryParts(redis) }
}

/** Until each delivery is recorded, by looking at the number once a second. */
async function untilRecorded(count: number, timeoutMs: number): Promise<boolean> {
  const isDone = async () => (await installation.deliveries.count({ statuses: ['delivered'] }, count)) >= count
  return waitUntil(`${count} deliveries to be recorded`, isDone, { timeoutMs, pollMs: 500 }).then(
    () => true,
    (error: unknown) => {
      say(String(error))
      return false
    },
  )
}

// Scripts, connections and every structure exist before the first measurement.
await pushThrough({ generator, receiver, apps, count: options.warm, window: options.window, prefix: 'warm' })
await untilRecorded(options.warm, 60_000)
const before = await measure()

say(
  `${options.events} events for ${options.endpoints} endpoints, at most ${options.window} under way; load of the machine ${machineLoad()}`,
)
let told = performance.now()
let most = 0
let waitingMost = 0
let looked = 0
const cpuBefore = await worker.call('usage')
const { seconds, received } = await pushThrough({
  generator,
  receiver,
  apps,
  count: options.events,
  window: options.window,
  prefix: 'run',
  onProgress(count) {
    void noteWaiting()
    if (performance.now() - told < 30_000) return
    told = performance.now()
    void tellProgress(count)
  },
})
const cpuAfter = await worker.call('usage')
say(`  ${received} received after ${formatNumber(seconds)} s`)
const recordingFrom = performance.now()
const isRecorded = await untilRecorded(options.warm + received, options.recording * 1_000)
const recordedAfter = (performance.now() - recordingFrom) / 1_000
const after = await measure()
const lost = await installation.lostRecords()

printTable(
  ['Redis', 'used MB', 'log MB', 'rest MB'],
  [
    ['before', megabytes(before.full), megabytes(before.full - before.empty), megabytes(before.empty)],
    ['after', megabytes(after.full), megabytes(after.full - after.empty), megabytes(after.empty)],
  ],
)
say()
printTable(
  ['what', 'value'],
  [
    ['deliveries/s', received / seconds],
    ['CPU of the worker per delivery, µs', (cpuAfter.cpuUs - cpuBefore.cpuUs) / received],
    ['memory of the worker before, MB', megabytes(cpuBefore.rss)],
    ['and after, MB', megabytes(cpuAfter.rss)],
    ['most seen in Redis, MB', megabytes(Math.max(most, after.full))],
    ['most facts waiting for the records', waitingMost],
    ['recorded after the last was received, s', recordedAfter],
    ['records lost', lost],
  ],
)
say()
for (const [name, bytes] of after.parts) {
  const change = bytes - (before.parts.get(name) ?? 0)
  if (Math.abs(change) >= 10_000) say(`  ${name}: ${change > 0 ? '+' : ''}${change} bytes`)
}
const growth = after.empty / before.empty
conclude([
  { what: 'every event is received', holds: received >= options.events, seen: `${received}` },
  { what: 'every delivery is recorded', holds: isRecorded, seen: isRecorded ? 'all' : 'not all' },
  { what: 'no record is lost', holds: lost === 0, seen: `${lost}` },
  {
    what: `Redis without the log returns to within ${options.tolerance * 100} % of what it was`,
    holds: growth <= 1 + options.tolerance,
    seen: `× ${growth.toFixed(3)}`,
  },
])

async function noteWaiting(): Promise<void> {
  if (performance.now() - looked < 250) return
  looked = performance.now()
  waitingMost = Math.max(waitingMost, await redis.xlen(RECORDS_KEY))
}

async function tellProgress(count: number): Promise<void> {
  const used = await readInfo(redis, 'memory', 'used_memory')
  most = Math.max(most, used)
  say(`  ${count} received, Redis ${megabytes(used)} MB, load ${machineLoad()}`)
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 10_000) / 100
}
