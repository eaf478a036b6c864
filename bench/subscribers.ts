import { parseArgs } from 'node:util'
import { report, timing, type Goal } from './pipeline/goals.ts'
import { weigh, type Weight } from './subscribers/installation.ts'
import { formatNumber, machineLoad, printTable, say } from './webhooks/rig/figures.ts'

/**
 * What monitored subscribers cost while nothing happens: the time until the gateway has all of them after a start,
 * its memory and that of Redis, for a few and for many. The cost of each must not grow with their number.
 *
 *   node bench/subscribers.ts [--few 1000] [--many 10000] [--pglite] [--redis redis://…] [--strict]
 *
 * Without `--pglite` the records are in PostgreSQL, so that they do not count as memory of the gateway.
 */
const { values } = parseArgs({
  options: {
    few: { type: 'string', default: '1000' },
    many: { type: 'string', default: '10000' },
    pglite: { type: 'boolean', default: false },
    redis: { type: 'string' },
    strict: { type: 'boolean', default: false },
  },
})
const KINDS_SHOWN = 10
const FEWEST = 100
const MEGABYTE = 1_048_576
const sizes = [Number(values.few), Number(values.many)]

if (!((sizes[0] ?? 0) > FEWEST && (sizes[1] ?? 0) > (sizes[0] ?? 0))) {
  throw new Error(`--few is more than ${FEWEST}, and --many more than that`)
}

const GOALS = { gatewayBytes: 3 * 1_024, redisBytes: 2 * 1_024 }
/** What is not growth: the measurement's own error. */
const GROWTH_MAX = 1.15
const stores = { postgres: !values.pglite, redisUrl: values.redis }

say(`${values.pglite ? 'PGlite' : 'PostgreSQL'}; load of the machine ${machineLoad()}`)
const weights: Weight[] = []
const loads: string[] = []
// The smallest one is there for what is the same however many there are, once the gateway has done all it does.
for (const size of [FEWEST, ...sizes]) {
  weights.push(await weigh(size, stores))
  loads.push(machineLoad())
  say(`  ${size} done, load ${machineLoad()}`)
}

/** What each subscriber beyond those of the size before costs. */
const costs = weights.slice(1).map((weight, index) => {
  const before = weights[index] ?? weight
  const of = (amount: (weight: Weight) => number) =>
    (amount(weight) - amount(before)) / (weight.subscribers - before.subscribers)
  return {
    subscribers: weight.subscribers,
    live: of(({ gateway }) => gateway.live),
    rss: of(({ gateway }) => gateway.rss),
    redis: of(({ redis }) => redis.used),
    startCpuUs: of(({ startCpuMs }) => startCpuMs * 1_000),
  }
})
say()
printTable(
  [
    'subscribers',
    'register s',
    'start s',
    'RSS MB',
    'live MB',
    'Redis MB',
    'each: CPU µs',
    'live KB',
    'RSS KB',
    'Redis KB',
    'load',
  ],
  weights.map(({ subscribers, registerMs, startMs, gateway, redis }, index) => {
    const cost = costs[index - 1]
    return [
      String(subscribers),
      registerMs / 1_000,
      startMs / 1_000,
      gateway.rss / MEGABYTE,
      gateway.live / MEGABYTE,
      redis.used / MEGABYTE,
      ...(cost === undefined
        ? ['', '', '', '']
        : [cost.startCpuUs, cost.live / 1_024, cost.rss / 1_024, cost.redis / 1_024]),
      loads[index] ?? '',
    ]
  }),
)
say('(each: of those beyond the line above; live: objects and buffers; RSS stays what the start needed at its peak)')
const largest = weights.at(-1)
say()
printTable(
  [`Redis keys, ${largest?.subscribers} subscribers`, 'keys', 'bytes per subscriber'],
  (largest?.redis.kinds ?? [])
    .slice(0, KINDS_SHOWN)
    .map(({ kind, keys, bytes }) => [kind, keys, bytes / (largest?.subscribers ?? 1)]),
)

const [few, many] = costs
if (few === undefined || many === undefined) throw new Error('nothing was measured')
report(
  [
    atMost('gateway memory', many.live, GOALS.gatewayBytes),
    atMost('Redis memory', many.redis, GOALS.redisBytes),
    doesNotGrow('gateway memory', few.live, many.live),
    doesNotGrow('Redis memory', few.redis, many.redis),
    doesNotGrow('processor time of the start', few.startCpuUs, many.startCpuUs),
  ],
  { strict: values.strict },
)

function atMost(what: string, bytes: number, most: number): Goal {
  return timing(
    `${what} of each of ${many?.subscribers} idle subscribers, at most ${most / 1_024} KB`,
    bytes <= most,
    `${formatNumber(bytes / 1_024)} KB`,
  )
}

function doesNotGrow(what: string, ofFew: number, ofMany: number): Goal {
  return timing(
    `${what} of each does not grow with their number`,
    ofMany <= ofFew * GROWTH_MAX,
    `${formatNumber(ofFew)} at ${few?.subscribers}, ${formatNumber(ofMany)} at ${many?.subscribers}`,
  )
}
