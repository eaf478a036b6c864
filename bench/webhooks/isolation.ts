import type { Endpoint } from '../../src/core/endpoint.ts'
import { conclude, formatNumber, machineLoad, median, printTable, say, summarise, type Summary } from './rig/figures.ts'
import { Generator } from './rig/generator.ts'
import { Installation } from './rig/installation.ts'
import { readOptions } from './rig/options.ts'
import { toEndpointId, toSubscriberId, type AppRef } from '../../src/core/ids.ts'
import { DeliveryStore } from '../../src/webhooks/delivery-store.ts'
import { paced, waitUntil } from './rig/wait.ts'
import { setTimeout as delay } from 'node:timers/promises'

/**
 * Isolation: of many endpoints one does not answer for 30 s, again and again. What the others see of it is
 * the time from appending an event to its arrival, against a phase of the same run in which all are well.
 * The phases alternate; since other programs share the machine, the verdict is on the median of the pairs.
 *
 *   node bench/webhooks/isolation.ts [--endpoints 50] [--rate 100] [--seconds 20] [--pairs 3]
 */
const options = readOptions({ endpoints: 50, rate: 100, seconds: 20, pairs: 3, ratio: 2, hang: 30_000 })
const ENDPOINTS_PER_APP = 20
const CAP = 10
/** After so long the first requests have timed out, and the breaker has five seconds from then. */
const OPEN_MAX_S = 5 + 5
const HUNG = 0

type Target = { readonly app: AppRef; readonly subscriberId: string; readonly endpoint: Endpoint }

await using installation = await Installation.start()
using generator = new Generator(installation.socketPath)
const { receiver, urls } = await installation.startReceiver(options.endpoints)
const targets: Target[] = []
for (const [port, url] of urls.entries()) {
  const previous = targets.at(-1)
  const app =
    port % ENDPOINTS_PER_APP === 0 || previous === undefined
      ? await installation.addApp(`isolation ${port}`)
      : previous.app
  const subscriberId = `user${port}@example.net`
  // A filter gives each endpoint its own events, though they share a log.
  const endpoint = await installation.addEndpoint(app, {
    url,
    subscriberIds: [toSubscriberId(subscriberId)],
    maxInFlight: CAP,
  })
  targets.push({ app, subscriberId, endpoint })
}
const worker = await installation.startWorker('worker-1')
const store = new DeliveryStore(installation.redis)
const hungId = targets[HUNG]?.endpoint.endpointId ?? toEndpointId('none')

let calls = 0
type Phase = { readonly name: string; readonly latency: Summary; readonly failures: number; readonly missing: number }

/** One phase of events over all endpoints; resolves when all but the hung one's have arrived. */
async function runPhase(name: string): Promise<Phase> {
  const appending: Promise<void>[] = []
  const emitted = new Map<number, number>()
  await paced({ perSecond: options.rate, seconds: options.seconds }, (index) => {
    const port = index % targets.length
    const target = targets[port]
    if (target === undefined) return
    calls += 1
    emitted.set(port, (emitted.get(port) ?? 0) + 1)
    const change = {
      callId: `callhalf-${calls}:0`,
      subscriberId: target.subscriberId,
      sequence: 1,
      state: 'ringing',
    } as const
    appending.push(generator.append(target.app, [change]))
  })
  await Promise.all(appending)
  await delay(1_500)
  const arrivals = (await receiver.call('take')).filter(({ port }) => port !== HUNG)
  const wanted = [...emitted].reduce((sum, [port, count]) => sum + (port === HUNG ? 0 : count), 0)
  return {
    name,
    latency: summarise(arrivals.map(({ at, emittedAt }) => at - emittedAt)),
    failures: arrivals.filter(({ answer, attempt }) => answer !== 'ok' || attempt !== 1).length,
    missing: wanted - new Set(arrivals.map(({ messageId }) => messageId)).size,
  }
}

const hang = (ratio: number) => receiver.call('behave', { [HUNG]: { hangRatio: ratio, hangMs: options.hang } })

say(
  `${options.endpoints} endpoints, ${options.rate} events/s, ${options.seconds} s a phase; load of the machine ${machineLoad()}`,
)
await runPhase('warm-up')
const pairs: (readonly [Phase, Phase])[] = []
const breaker: string[] = []
const openedAfterS: number[] = []
for (let pair = 1; pair <= options.pairs; pair += 1) {
  const well = await runPhase(`pair ${pair}, all well`)
  await hang(1)
  const watching = new AbortController()
  const watched = watchBreaker(watching.signal)
  const hung = await runPhase(`pair ${pair}, one hangs`)
  watching.abort()
  const { lines, openS } = await watched
  breaker.push(...lines.map((line) => `pair ${pair}, ${line}`))
  openedAfterS.push(openS)
  pairs.push([well, hung])
  await hang(0)
  await untilCalm()
}

printTable(
  ['phase', 'events', 'p50 ms', 'p99 ms', 'max ms', 'failures', 'missing'],
  pairs
    .flat()
    .map(({ name, latency, failures, missing }) => [
      name,
      latency.count,
      latency.p50,
      latency.p99,
      latency.max,
      failures,
      missing,
    ]),
)
say()
for (const line of breaker) say(line)
const p99Ratios = pairs.map(([well, hung]) => hung.latency.p99 / well.latency.p99)
const p50Ratios = pairs.map(([well, hung]) => hung.latency.p50 / well.latency.p50)
const openMax = (await receiver.call('counts')).openMax[HUNG] ?? 0
const failures = pairs.flat().reduce((sum, phase) => sum + phase.failures + phase.missing, 0)
const { cpuUs } = await worker.call('usage')
say(`worker CPU ${formatNumber(cpuUs / 1_000)} ms in all; load of the machine ${machineLoad()}`)
conclude([
  {
    what: `median p99 of the others, one hanging against all well, is at most ${options.ratio}`,
    holds: median(p99Ratios) <= options.ratio,
    seen: `${formatNumber(median(p99Ratios))} of ${p99Ratios.map(formatNumber).join(', ')} (p50: ${p50Ratios.map(formatNumber).join(', ')})`,
  },
  { what: 'no failure at the others', holds: failures === 0, seen: `${failures}` },
  {
    what: `the breaker of the hanging one opens within ${OPEN_MAX_S} s`,
    holds: openedAfterS.every((seconds) => seconds <= OPEN_MAX_S),
    seen: openedAfterS.map((seconds) => `${formatNumber(seconds)} s`).join(', '),
  },
  { what: `at most ${CAP} requests open at the hanging one`, holds: openMax > 0 && openMax <= CAP, seen: `${openMax}` },
])

/** The hung endpoint's state whenever it changes, until `signal`, and when its breaker was open for the first time. */
async function watchBreaker(
  signal: AbortSignal,
): Promise<{ readonly lines: readonly string[]; readonly openS: number }> {
  const lines: string[] = []
  let openS = Infinity
  const startedAt = performance.now()
  let last = ''
  while (!signal.aborted) {
    const status = (await store.status([hungId])).get(hungId)
    const state = `breaker ${status?.breaker}, ${status?.inFlight} in flight`
    const afterS = (performance.now() - startedAt) / 1_000
    if (state !== last) lines.push(`${formatNumber(afterS)} s: ${state}, ${status?.pending} pending`)
    last = state
    if (status?.breaker === 'open') openS = Math.min(openS, afterS)
    await delay(250)
  }
  return { lines, openS }
}

/** Nothing left at the hung endpoint: its backlog belongs to no later phase. */
async function untilCalm(): Promise<void> {
  await waitUntil(
    'the hung endpoint to be worked off',
    async () => (await store.status([hungId])).get(hungId)?.pending === 0,
    {
      timeoutMs: 120_000,
      pollMs: 250,
    },
  )
  await receiver.call('take')
}
