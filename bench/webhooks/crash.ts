import type { PolicyOverrides } from '../../src/core/delivery-policy.ts'
import type { Endpoint } from '../../src/core/endpoint.ts'
import { checkOrder, checkTakeOver, type Suspect } from './rig/crash-checks.ts'
import { conclude, formatNumber, machineLoad, preciseNow, printTable, say, summarise } from './rig/figures.ts'
import { CALL_STATES_IN_ORDER, Generator } from './rig/generator.ts'
import { Installation } from './rig/installation.ts'
import { readOptions } from './rig/options.ts'
import { readDeliveries } from './rig/read-deliveries.ts'
import { paced, waitUntil } from './rig/wait.ts'

/**
 * Order and completeness through crashes: many concurrent calls, receivers that fail and hang, three
 * workers of which one is killed and one is told to stop. At the end, for every endpoint and call, the
 * events first arrived in order, and each was delivered or is declared: recorded as expired or parked, and
 * named in `callhalf-skipped` of a later event.
 *
 *   node bench/webhooks/crash.ts [--calls 1000] [--endpoints 3] [--rate 120] [--fail 0.1] [--hang 0.02]
 */
const options = readOptions({ calls: 1_000, endpoints: 3, rate: 120, fail: 0.1, hang: 0.02, timeout: 1_000 })
const TAKE_OVER_MAX_MS = 8_000
/** The usual ones, but for what would make the end of the run wait for a call's last event for minutes. */
const POLICIES: PolicyOverrides = {
  '*': { timeoutMs: options.timeout },
  'call.released': { delaysMs: [1_000, 2_000, 5_000] },
}

await using installation = await Installation.start()
using generator = new Generator(installation.socketPath)
const { receiver, urls } = await installation.startReceiver(options.endpoints)
const app = await installation.addApp('crash')
const endpoints: Endpoint[] = []
for (const url of urls) {
  endpoints.push(await installation.addEndpoint(app, { url, maxInFlight: 25, policies: POLICIES }))
}
await receiver.call(
  'behave',
  Object.fromEntries(
    urls.map((_url, port) => [
      port,
      { answerAfterMs: [10, 100], failRatio: options.fail, hangRatio: options.hang, hangMs: 4 * options.timeout },
    ]),
  ),
)
const workers = await Promise.all(['worker-1', 'worker-2', 'worker-3'].map((name) => installation.startWorker(name)))

const events = options.calls * CALL_STATES_IN_ORDER.length
const expected = events * endpoints.length
say(
  `${options.calls} calls × ${CALL_STATES_IN_ORDER.length} events × ${endpoints.length} endpoints = ${expected} deliveries`,
)
say(`load of the machine ${machineLoad()}; ${options.rate} events/s; 503 ${options.fail}, hanging ${options.hang}`)

const appending: Promise<void>[] = []
const generated = paced({ perSecond: options.rate, seconds: events / options.rate }, (index) => {
  // All calls at once: first everyone rings, then everyone answers.
  const call = index % options.calls
  const step = Math.floor(index / options.calls)
  const state = CALL_STATES_IN_ORDER[step] ?? 'released'
  const change = {
    callId: `callhalf-${call}:0`,
    subscriberId: `user${call % 50}@example.net`,
    sequence: step + 1,
    state,
  }
  appending.push(generator.append(app, [change]))
})

const isPast = (ratio: number) => async () => (await receiver.call('counts')).ok >= expected * ratio
await waitUntil('a third to be delivered', isPast(1 / 3), { timeoutMs: 900_000 })
const killedAt = preciseNow()
await workers[0]?.end('SIGKILL')
say(`worker-1 killed with SIGKILL, ${(await receiver.call('counts')).open.join(' + ')} requests open just after`)
await waitUntil('two thirds to be delivered', isPast(2 / 3), { timeoutMs: 900_000 })
const stoppedAt = preciseNow()
const stopMs = await workers[1]?.end('SIGTERM')
say(`worker-2 told to stop with SIGTERM, ended after ${formatNumber(Math.round(stopMs ?? Number.NaN))} ms`)
await generated
await Promise.all(appending)

/** Nothing pending in the records, which are written last. */
let pending = expected
await waitUntil(
  'every delivery to have ended',
  async () => {
    const all = await installation.deliveries.count({}, expected + 1)
    pending = await installation.deliveries.count({ statuses: ['pending'] }, expected)
    return all >= expected && pending === 0
  },
  { timeoutMs: 600_000, pollMs: 1_000 },
).catch((error: unknown) => say(String(error)))

const arrivals = await receiver.call('take')
const deliveries = await readDeliveries(installation.deliveries)
const order = checkOrder({
  arrivals,
  deliveries,
  endpoints,
  calls: options.calls,
  killedAt,
  stoppedAt,
  steps: CALL_STATES_IN_ORDER.length,
})
const takeOver = checkTakeOver({
  arrivals,
  killedAt,
  from: 'worker-1',
  timeoutMs: options.timeout - 100,
  maxMs: TAKE_OVER_MAX_MS,
})
const unexplained = await countUnexplained(order.suspects)

say()
printTable(
  ['what', 'count'],
  [
    ['requests received', arrivals.length],
    ...workers.map(({ name }): [string, number] => [
      `of them from ${name}`,
      arrivals.filter(({ from }) => from === name).length,
    ]),
    ...Object.entries(order.figures),
    ['in flight at the kill and sent again', takeOver.waits.length],
  ],
)
const ages = summarise(arrivals.filter(({ attempt }) => attempt === 1).map(({ at, emittedAt }) => at - emittedAt))
say(
  `appended → first attempt arrives: p50 ${formatNumber(ages.p50)} ms, p99 ${formatNumber(ages.p99)} ms, load ${machineLoad()}`,
)
say(`sent again after ms: ${takeOver.waits.map((ms) => ms.toFixed(0)).join(' ')}`)
for (const problem of [...order.problems.slice(0, 10), ...takeOver.problems.slice(0, 10)]) say(`  ${problem}`)
conclude([
  {
    what: 'events of a call first arrive in order',
    holds: order.outOfOrder === 0,
    seen: `${order.outOfOrder} did not`,
  },
  { what: 'no event is lost', holds: order.lost === 0, seen: `${order.lost} lost` },
  { what: 'what was not delivered is declared', holds: order.undeclared === 0, seen: `${order.undeclared} undeclared` },
  {
    what: 'repeated only what was in flight at a kill or had failed',
    holds: unexplained === 0,
    seen: `${unexplained} unexplained`,
  },
  { what: 'every delivery has ended in the records', holds: pending === 0, seen: `${pending} pending` },
  {
    what: `the killed worker's requests are sent again within ${TAKE_OVER_MAX_MS} ms`,
    holds: takeOver.waits.length > 0 && takeOver.problems.length === 0,
    seen: `${takeOver.waits.length} of them, slowest ${formatNumber(takeOver.waits.at(-1) ?? Number.NaN)} ms`,
  },
  {
    what: 'a stopped worker repeats nothing and ends within 10 s',
    holds: order.repeatedAfterStop === 0 && (stopMs ?? Infinity) <= 10_000,
    seen: `${order.repeatedAfterStop} repeated, ${formatNumber(stopMs ?? Number.NaN)} ms`,
  },
])

/** Repetitions of what the records do not know to have failed: its answer came too late, or never. */
async function countUnexplained(suspects: readonly Suspect[]): Promise<number> {
  let count = 0
  for (const { messageId, attempt } of suspects) {
    const found = await installation.deliveries.find(app.appId, messageId)
    const outcome = found?.attempts.find(({ number }) => number === attempt)?.outcome
    if (outcome === 'timeout' || outcome === 'connection_lost') continue
    count += 1
    say(`  ${messageId} was sent again although attempt ${attempt} was answered with 200 (recorded: ${outcome})`)
  }
  return count
}
