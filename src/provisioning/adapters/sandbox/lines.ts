import { randomUUID } from 'node:crypto'
import { sql } from 'kysely'
import type { LineOutcome, ProviderAction } from '../../model/provider.ts'
import type { Queries } from '../../store/database.ts'
import type { LinePlan, SandboxRequest } from './plan.ts'

const IN_USE = { code: 'number_in_use', message: 'the carrier has a line with this number already' }
const NO_LINE = { code: 'no_such_line', message: 'the carrier has no such line of this account' }

/**
 * Carries out what is planned, and says what became of each line: one that is planned to be done may turn out to be
 * impossible, because the carrier has at most one line with a number and product.
 */
export async function carryOut(
  tx: Queries,
  {
    account,
    request,
    plan,
  }: { readonly account: string; readonly request: SandboxRequest; readonly plan: readonly LinePlan[] },
): Promise<readonly LineOutcome[]> {
  const isPlanned = new Set(plan.flatMap(({ e164, rejection }) => (rejection === undefined ? [e164] : [])))
  const work: Work = { account, request, numbers: [...isPlanned].toSorted() }
  const { apply, otherwise } = EFFECTS[request.action]
  const refs = await apply(tx, work)
  return plan.map(({ e164, rejection }) => {
    if (rejection !== undefined) return { e164, kind: 'rejected', ...rejection }
    const providerRef = refs.get(e164)
    return providerRef === undefined ? { e164, kind: 'rejected', ...otherwise } : { e164, kind: 'done', providerRef }
  })
}

type Work = { readonly account: string; readonly request: SandboxRequest; readonly numbers: readonly string[] }
type Refs = ReadonlyMap<string, string>

/** Begins those that can be; in the order of their numbers, so that two requests never wait for each other. */
async function beginLines(tx: Queries, { account, request, numbers }: Work): Promise<Refs> {
  const attributes = attributesOf(request, numbers)
  const { rows } = await sql<LineRow>`
    insert into sandbox_lines (line_id, account, e164, product, state, attributes)
    select line.id, ${account}, line.e164, ${request.productId}, 'active', line.attributes::jsonb
    from unnest(${numbers.map(() => `line_${randomUUID()}`)}::text[], ${[...numbers]}::text[], ${attributes}::text[])
      as line (id, e164, attributes)
    on conflict (e164, product) where ended_at is null do nothing
    returning line_id, e164`.execute(tx)
  return toRefs(rows)
}

async function changeLines(tx: Queries, work: Work): Promise<Refs> {
  const { account, request } = work
  const live = await lockLines(tx, work)
  const numbers = [...live.keys()]
  await sql`
    update sandbox_lines set attributes = sandbox_lines.attributes || line.attributes::jsonb
    from unnest(${numbers}::text[], ${attributesOf(request, numbers)}::text[]) as line (e164, attributes)
    where account = ${account} and product = ${request.productId} and ended_at is null
      and sandbox_lines.e164 = line.e164`.execute(tx)
  return live
}

async function endLines(tx: Queries, work: Work): Promise<Refs> {
  const live = await lockLines(tx, work)
  await sql`
    update sandbox_lines set state = 'ended', ended_at = now()
    where line_id = any(${[...live.values()]}::text[])`.execute(tx)
  return live
}

async function lockLines(tx: Queries, { account, request, numbers }: Work): Promise<Refs> {
  const { rows } = await sql<LineRow>`
    select line_id, e164 from sandbox_lines
    where account = ${account} and product = ${request.productId} and ended_at is null
      and e164 = any(${[...numbers]}::text[])
    order by e164 for update`.execute(tx)
  return toRefs(rows)
}

type Effect = {
  /** Resolves with the reference of each line that it was done to. */
  readonly apply: (tx: Queries, work: Work) => Promise<Refs>
  /** Why it was not done to the others. */
  readonly otherwise: { readonly code: string; readonly message: string }
}

const EFFECTS: Readonly<Record<ProviderAction, Effect>> = {
  begin: { apply: beginLines, otherwise: IN_USE },
  port: { apply: beginLines, otherwise: IN_USE },
  enable: { apply: beginLines, otherwise: IN_USE },
  change: { apply: changeLines, otherwise: NO_LINE },
  move: { apply: changeLines, otherwise: NO_LINE },
  end: { apply: endLines, otherwise: NO_LINE },
}

type LineRow = { readonly line_id: string; readonly e164: string }
const toRefs = (rows: readonly LineRow[]): Refs => new Map(rows.map(({ line_id, e164 }) => [e164, line_id]))

/** JSON of what each line is to be like. */
function attributesOf({ lines }: SandboxRequest, numbers: readonly string[]): string[] {
  const wanted = new Map(lines.map(({ e164, attributes }) => [e164, attributes]))
  return numbers.map((e164) => JSON.stringify(wanted.get(e164) ?? {}))
}

/** Whether an account other than this one has a line with the number. */
export async function isTakenElsewhere(queries: Queries, account: string, e164: string): Promise<boolean> {
  const line = await queries
    .selectFrom('sandbox_lines')
    .select('line_id')
    .where('e164', '=', e164)
    .where('account', '<>', account)
    .where('ended_at', 'is', null)
    .executeTakeFirst()
  return line !== undefined
}
