import { setTimeout as delay } from 'node:timers/promises'
import { DEFAULT_POLICIES, type PolicyOverrides } from '../../src/core/delivery-policy.ts'
import { conclude, formatNumber, machineLoad, printTable, say, summarise } from './rig/figures.ts'
import { Generator } from './rig/generator.ts'
import { Installation } from './rig/installation.ts'
import { readOptions } from './rig/options.ts'
import { readDeliveries } from './rig/read-deliveries.ts'
import { paced, waitUntil } from './rig/wait.ts'
import type { CallState } from '../../src/core/call.ts'

/**
 * An outage of several times to live: the receiver refuses connections, then answers 503. No act-now event
 * may arrive later than its time to live and one attempt's timeout; each that did not arrive has a record
 * that says so; every record event arrives.
 *
 *   node bench/webhooks/outage.ts [--rate 5] [--outage 15]      short times to live: 3 s and 6 s
 *   node bench/webhooks/outage.ts --real                         the usual ones, 11 minutes of outage
 */
const options = readOptions({ real: false, rate: 5, outage: 0, before: 5, after: 10 })
const outageSeconds = options.outage > 0 ? options.outage : options.real ? 660 : 15
const SHORT: PolicyOverrides = {
  'call.ringing': { ttlMs: 3_000, delaysMs: [250, 500, 1_000], timeoutMs: 1_000 },
  'call.active': { ttlMs: 6_000, delaysMs: [500, 1_000, 2_000], timeoutMs: 1_000 },
  'call.released': { delaysMs: [1_000, 2_000, 5_000], timeoutMs: 1_000 },
}
const STATES: readonly CallState[] = ['ringing', 'active', 'released']
const timeoutMs = options.real ? DEFAULT_POLICIES.act_now.timeoutMs : 1_000
const ttlMs = options.real ? DEFAULT_POLICIES.act_now.ttlMs : 3_000

await using installation = await Installation.start()
using generator = new Generator(installation.socketPath)
const { receiver, urls } = await installation.startReceiver(1)
const app = await installation.addApp('outage')
await installation.addEndpoint(app, { url: urls[0] ?? '', ...(!options.real && { policies: SHORT }) })
await installation.startWorker('worker-1')

const seconds = options.before + outageSeconds + options.after
say(
  `${options.rate} calls/s of 3 events for ${seconds} s, down for ${outageSeconds} s of them; load of the machine ${machineLoad()}`,
)
const appending: Promise<void>[] = []
const generating = paced({ perSecond: options.rate * STATES.length, seconds }, (index) => {
  const step = index % STATES.length
  const change = {
    callId: `callhalf-${Math.floor(index / STATES.length)}:0`,
    subscriberId: 'anna@example.net',
    sequence: step + 1,
    state: STATES[step] ?? 'released',
  }
  appending.push(generator.append(app, [change]))
})
await delay(options.before * 1_000)
await receiver.call('refuse')
say('down: connections are refused')
await delay((outageSeconds * 1_000) / 2)
await receiver.call('behave', { 0: { status: 503 } })
await receiver.call('listen', 1)
say('down: 503')
await delay((outageSeconds * 1_000) / 2)
await receiver.call('behave', { 0: {} })
say('up again')
await generating
await Promise.all(appending)
const emitted = generator.appended / STATES.length

// A record event's last failure may have put it off for as long as the outage itself.
const drainMs = options.real ? 45 * 60_000 : 120_000
let pending = Number.NaN
await waitUntil(
  'every delivery to have ended',
  async () => {
    pending = await installation.deliveries.count({ statuses: ['pending'] }, generator.appended + 1)
    return pending === 0 && (await installation.deliveries.count({}, generator.appended + 1)) >= generator.appended
  },
  { timeoutMs: drainMs, pollMs: 1_000 },
).catch((error: unknown) => say(String(error)))

const arrivals = await receiver.call('take')
const deliveries = await readDeliveries(installation.deliveries)
const delivered = arrivals.filter(({ answer }) => answer === 'ok')
const answeredIds = new Set(delivered.map(({ messageId }) => messageId))
const rows = STATES.map((state) => {
  const type = `call.${state}`
  const own = deliveries.filter((delivery) => delivery.type === type)
  const status = (name: string) => own.filter((delivery) => delivery.status === name).length
  const age = summarise(delivered.filter((arrival) => arrival.type === type).map(({ at, emittedAt }) => at - emittedAt))
  const told = new Set(delivered.filter((arrival) => arrival.type === type).map(({ messageId }) => messageId)).size
  return {
    type,
    own,
    told,
    age,
    cells: [
      type,
      emitted,
      told,
      status('delivered'),
      status('expired'),
      status('parked'),
      status('dropped'),
      age.p50,
      age.max,
    ],
  }
})
printTable(
  ['type', 'emitted', 'arrived', 'delivered', 'expired', 'parked', 'dropped', 'age p50 ms', 'age max ms'],
  rows.map(({ cells }) => cells),
)
const [ringing, , released] = rows
const late = arrivals.filter(({ type, at, expiresAt }) => type === 'call.ringing' && at > expiresAt + timeoutMs)
const silent = (ringing?.own ?? []).filter(
  ({ deliveryId, status }) => !answeredIds.has(deliveryId) && status !== 'expired' && status !== 'parked',
)
const unrecorded = emitted - (ringing?.own.length ?? 0)
const expired = ringing?.own.filter(({ status }) => status === 'expired' || status === 'parked').length ?? 0
conclude([
  {
    what: `no ringing event arrives later than ${ttlMs} + ${timeoutMs} ms`,
    holds: late.length === 0 && (ringing?.age.max ?? Infinity) <= ttlMs + timeoutMs,
    seen: `${late.length} late, oldest ${formatNumber(ringing?.age.max ?? Number.NaN)} ms`,
  },
  {
    what: 'each that did not arrive is recorded as expired or parked',
    holds: silent.length + unrecorded === 0 && expired > 0,
    seen: `${expired} so recorded, ${silent.length + unrecorded} not`,
  },
  { what: 'every record event arrives', holds: released?.told === emitted, seen: `${released?.told} of ${emitted}` },
  { what: 'nothing is left pending', holds: pending === 0, seen: `${pending}` },
])
