import { makeInventory } from './provisioning/inventory.ts'
import { measureOrders } from './provisioning/orders.ts'
import { compareReservers } from './provisioning/reservers.ts'
import { measureSearches } from './provisioning/searches.ts'
import { startStore } from './provisioning/store.ts'
import { conclude, formatNumber, machineLoad, median, printTable, say, type Condition } from './webhooks/rig/figures.ts'
import { readOptions } from './webhooks/rig/options.ts'

/**
 * What the inventory does with many numbers, on PostgreSQL and on PGlite: how long a search takes, by what is
 * searched for; how many numbers a second 64 buyers reserve at once, beside the bare claim (one UPDATE of one row
 * found with SKIP LOCKED) in turn in the same run; how many orders a second they place, and are completed. Timing
 * fails the program only with `--strict`, and is judged for PostgreSQL.
 *
 *   node bench/provisioning.ts [--numbers 1000000] [--pglite 100000] [--searches 60] [--claims 2000] [--rounds 7]
 *     [--orders 1000] [--strict]
 *
 * `--searches` of each kind; `--pglite` is PGlite's numbers, and it has a fifth of the claims and orders.
 */
const options = readOptions({
  numbers: 1_000_000,
  pglite: 100_000,
  searches: 60,
  claims: 2_000,
  rounds: 7,
  orders: 1_000,
  strict: false,
})
const BUYERS = 64
const SEARCH_P99_MAX_MS = 20
const RATIO_MIN = 0.7

const conditions: Condition[] = []
await measure('postgresql', { numbers: options.numbers, share: 1 })
await measure('pglite', { numbers: options.pglite, share: 0.2 })
conclude(conditions)

async function measure(
  kind: 'postgresql' | 'pglite',
  { numbers, share }: { readonly numbers: number; readonly share: number },
): Promise<void> {
  await using store = await startStore(kind, BUYERS)
  const { database } = store
  const startedAt = performance.now()
  const inventory = await makeInventory(database, numbers)
  const seconds = (performance.now() - startedAt) / 1_000
  say(`\n${kind}: ${inventory.total} numbers made in ${formatNumber(seconds)} s; load of the machine ${machineLoad()}`)

  const searches = await measureSearches(database, inventory, options.searches)
  printTable(
    ['search', 'p50 ms', 'p99 ms', 'max ms'],
    [...searches.kinds, ['all', searches.all] as const].map(([name, { p50, p99, max }]) => [name, p50, p99, max]),
  )
  const claims = Math.ceil(options.claims * share)
  const { bare, ours } = await compareReservers(database, { buyers: BUYERS, claims, rounds: options.rounds })
  const ratio = median(ours.map((pace, round) => pace / (bare[round] ?? Number.NaN)))
  printTable(
    ['numbers/s', ...bare.map((_, round) => `round ${round + 1}`), 'median'],
    [
      ['bare claim', ...bare, median(bare)],
      ['reservation', ...ours, median(ours)],
    ],
  )
  const orders = await measureOrders(database, { buyers: BUYERS, orders: Math.ceil(options.orders * share) })
  say(
    `orders of one number: ${formatNumber(orders.placed)}/s placed, ${formatNumber(orders.completed)}/s placed and ` +
      `completed; reservations ${formatNumber(ratio)} of the bare claim; load of the machine ${machineLoad()}`,
  )
  conditions.push({
    what: `${kind}: every order is completed`,
    holds: orders.unfinished === 0,
    seen: `${orders.unfinished} are not`,
  })
  if (kind === 'pglite') return
  const timing = [
    {
      what: `a search in ${inventory.total} numbers takes at most ${SEARCH_P99_MAX_MS} ms (p99)`,
      isMet: searches.all.p99 <= SEARCH_P99_MAX_MS,
      seen: `${formatNumber(searches.all.p99)} ms`,
    },
    {
      what: `${BUYERS} buyers reserve at least ${RATIO_MIN} of what the bare claim takes`,
      isMet: ratio >= RATIO_MIN,
      seen: formatNumber(ratio),
    },
  ]
  for (const { what, isMet, seen } of timing) {
    if (options.strict) conditions.push({ what, holds: isMet, seen })
    else say(`${isMet ? 'met' : 'NOT met'}: ${what}: ${seen}`)
  }
}
