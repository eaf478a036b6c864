import { GatewayError } from '../src/core/errors.ts'
import { parseQuery } from '../src/provisioning/odata/query.ts'
import { Requests } from '../src/provisioning/requests/store/requests.ts'
import { drawQueries } from './odata/queries.ts'
import { makeRequests } from './odata/requests.ts'
import { startStore } from './provisioning/store.ts'
import {
  conclude,
  formatNumber,
  machineLoad,
  printTable,
  say,
  summarise,
  type Condition,
} from './webhooks/rig/figures.ts'
import { readOptions } from './webhooks/rig/options.ts'

/**
 * What searches by `$filter` and `$orderby` take among a million requests on PostgreSQL, and which ones are refused
 * because they would take too long. Searches are made up of indexed and other fields, functions, orders, counts and
 * pages; of those that have a next page, it is asked for, too. Timing fails the program only with `--strict`.
 *
 *   node bench/odata.ts [--rows 1000000] [--searches 3000] [--slowest 5] [--strict]
 */
const options = readOptions({ rows: 1_000_000, searches: 3_000, slowest: 5, strict: false })
const P99_MAX_MS = 50
const ACCEPTED_SHARE_MIN = 0.5

type Outcome = {
  readonly kind: string
  readonly text: string
  readonly ms: number
  readonly refusals: readonly string[]
}

await using store = await startStore('postgresql', 4)
const { database } = store
const startedAt = performance.now()
const environmentId = await makeRequests(database, options.rows)
const requests = new Requests({ database, secret: Buffer.alloc(32, 7) })
say(`${options.rows} requests made in ${formatNumber((performance.now() - startedAt) / 1_000)} s`)
say(`load of the machine ${machineLoad()}`)

const outcomes: Outcome[] = []
const asked = drawQueries(options.rows, options.searches)
// The first ones find neither pages nor plans.
for (const { options: given } of asked.slice(0, 100)) await search('', given)
for (const { kind, options: given } of asked) {
  const { outcome, skipToken } = await search(kind, given)
  outcomes.push(outcome)
  const { $skip: _, ...others } = given
  if (skipToken !== undefined)
    outcomes.push((await search('the next page', { ...others, $skiptoken: skipToken })).outcome)
}
report(outcomes)

async function search(kind: string, given: Readonly<Record<string, string>>) {
  const query = parseQuery(given)
  const from = performance.now()
  const text = Object.entries(given)
    .map(([name, value]) => `${name}=${value}`)
    .join('&')
  try {
    const page = await requests.search(environmentId, query)
    const outcome: Outcome = { kind, text, ms: performance.now() - from, refusals: [] }
    return { outcome, skipToken: page.skipToken }
  } catch (error) {
    const isRefusal = error instanceof GatewayError && error.code === 'invalid_request'
    if (!isRefusal || error.detail?.includes('has no field') === true) throw error
    const outcome: Outcome = { kind, text, ms: performance.now() - from, refusals: reasonsOf(error) }
    return { outcome, skipToken: undefined }
  }
}

function reasonsOf({ fields }: GatewayError): readonly string[] {
  const errors: unknown = fields?.['errors']
  return Array.isArray(errors) ? errors.map((error: { readonly field: string }) => error.field) : []
}

function report(all: readonly Outcome[]): void {
  const accepted = all.filter(({ refusals }) => refusals.length === 0)
  const refused = all.filter(({ refusals }) => refusals.length > 0)
  const kinds = [...new Set(all.map(({ kind }) => kind))]
  const rowOf = (name: string, some: readonly Outcome[]) => {
    const times = summarise(some.filter(({ refusals }) => refusals.length === 0).map(({ ms }) => ms))
    return [name, times.count, some.length - times.count, times.p50, times.p99, times.max]
  }
  printTable(
    ['filtered by', 'accepted', 'refused', 'p50 ms', 'p99 ms', 'max ms'],
    [
      ...kinds.map((kind) =>
        rowOf(
          kind,
          all.filter((outcome) => outcome.kind === kind),
        ),
      ),
      rowOf('all', all),
    ],
  )
  const times = summarise(refused.map(({ ms }) => ms))
  say(
    `\nrefused in ${formatNumber(times.p50)} ms (p50), ${formatNumber(times.p99)} ms (p99), ${formatNumber(times.max)} ms at most, because of`,
  )
  const reasons = new Map<string, number>()
  for (const { refusals } of refused) reasons.set(refusals.join(', '), (reasons.get(refusals.join(', ')) ?? 0) + 1)
  for (const [reason, count] of reasons) say(`  ${reason}: ${count}`)
  for (const [what, some] of [
    ['accepted', accepted],
    ['refused', refused],
  ] as const) {
    say(`slowest ${what}`)
    for (const { ms, text } of some.toSorted((left, right) => right.ms - left.ms).slice(0, options.slowest)) {
      say(`  ${formatNumber(ms)} ms  ${text.slice(0, 200)}`)
    }
  }
  judge(accepted, all.length)
}

function judge(accepted: readonly Outcome[], total: number): void {
  const { p99 } = summarise(accepted.map(({ ms }) => ms))
  const conditions: Condition[] = [
    {
      what: `at least ${ACCEPTED_SHARE_MIN} of the searches are accepted`,
      holds: accepted.length >= ACCEPTED_SHARE_MIN * total,
      seen: formatNumber(accepted.length / total),
    },
  ]
  const timing = {
    what: `an accepted search among ${options.rows} takes at most ${P99_MAX_MS} ms (p99)`,
    holds: p99 <= P99_MAX_MS,
    seen: `${formatNumber(p99)} ms`,
  }
  if (options.strict) conditions.push(timing)
  else say(`${timing.holds ? 'met' : 'NOT met'}: ${timing.what}: ${timing.seen}`)
  conclude(conditions)
}
