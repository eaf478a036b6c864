import type { AppRef } from '../../src/core/ids.ts'
import { conclude, formatNumber, machineLoad, printTable, say, summarise } from './rig/figures.ts'
import { Generator } from './rig/generator.ts'
import { Installation } from './rig/installation.ts'
import { readOptions } from './rig/options.ts'
import { paced, waitUntil } from './rig/wait.ts'

/**
 * A blip: each first attempt of a ringing event is answered with 503. How long until the second arrives.
 *
 *   node bench/webhooks/blip.ts [--endpoints 20] [--rate 60] [--seconds 20] [--max 500]
 */
const options = readOptions({ endpoints: 20, rate: 60, seconds: 20, max: 500 })

await using installation = await Installation.start()
using generator = new Generator(installation.socketPath)
const { receiver, urls } = await installation.startReceiver(options.endpoints)
const apps: AppRef[] = []
for (const [index, url] of urls.entries()) {
  // One app each, so that no endpoint has enough failures at a time for its breaker to open.
  const app = await installation.addApp(`blip ${index}`)
  await installation.addEndpoint(app, { url })
  apps.push(app)
}
await installation.startWorker('worker-1')
await receiver.call('behave', Object.fromEntries(urls.map((_url, port) => [port, { failsFirst: true }])))

say(
  `${options.endpoints} endpoints, ${options.rate} events/s for ${options.seconds} s; load of the machine ${machineLoad()}`,
)
const appending: Promise<void>[] = []
await paced({ perSecond: options.rate, seconds: options.seconds }, (index) => {
  const app = apps[index % apps.length]
  const change = {
    callId: `callhalf-${index}:0`,
    subscriberId: 'anna@example.net',
    sequence: 1,
    state: 'ringing',
  } as const
  if (app !== undefined) appending.push(generator.append(app, [change]))
})
await Promise.all(appending)
await waitUntil('every event to be delivered', async () => (await receiver.call('counts')).ok >= generator.appended)

const arrivals = await receiver.call('take')
const repeats = [...Map.groupBy(arrivals, ({ messageId }) => messageId).values()]
const gaps = summarise(repeats.map(([first, second]) => (second?.at ?? Number.NaN) - (first?.at ?? Number.NaN)))
const firsts = summarise(repeats.map(([first]) => (first?.at ?? Number.NaN) - (first?.emittedAt ?? Number.NaN)))
printTable(
  ['what', 'events', 'min ms', 'p50 ms', 'p99 ms', 'max ms'],
  [
    ['appended → first attempt arrives', firsts.count, firsts.min, firsts.p50, firsts.p99, firsts.max],
    ['first → second attempt', gaps.count, gaps.min, gaps.p50, gaps.p99, gaps.max],
  ],
)
const notTwice = repeats.filter((attempts) => attempts.length !== 2).length
conclude([
  {
    what: `second attempt within ${options.max} ms (p99)`,
    holds: gaps.p99 <= options.max,
    seen: `${formatNumber(gaps.p99)} ms of ${gaps.count}`,
  },
  {
    what: 'no second attempt earlier than half of the first delay (125 ms)',
    holds: gaps.min >= 120,
    seen: `${formatNumber(gaps.min)} ms`,
  },
  { what: 'each delivered by its second attempt', holds: notTwice === 0, seen: `${notTwice} were not` },
])
