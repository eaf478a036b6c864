import { sql } from 'kysely'
import { reasonToCustomer } from '../model/eligibility.ts'
import { isFinalItem, itemMayBecome, standsAlone, PROVIDER_ACTION_OF } from '../model/order.ts'
import type { LineOutcome } from '../model/provider.ts'
import type { Queries } from '../store/database.ts'
import { itemsOf, type FulfilmentRow, type ItemRow } from '../store/fulfilments.ts'
import { appendHistory, completeItems, markUndone, setItems } from '../store/order-rows.ts'
import type { LockedOrder } from './locked-order.ts'
import { addCompensation, loseItems, type EngineSettings } from './order-progress.ts'
import { takeEffect } from './service-effects.ts'

/** What a provider said of the lines of a fulfilment, and of which order that is. */
export type Reported = {
  readonly order: LockedOrder
  readonly fulfilment: FulfilmentRow
  readonly lines: readonly LineOutcome[]
  readonly settings: EngineSettings
}

/**
 * Applies what a provider says became of lines, by answer, poll or callback: the same facts in any order and any
 * number of times come to the same. Resolves with the items of the fulfilment that still wait for an outcome. The
 * caller has the order's lock, and advances the order afterwards.
 */
export async function applyLines(tx: Queries, reported: Reported): Promise<readonly ItemRow[]> {
  const { fulfilment } = reported
  const items = await itemsOf(tx, fulfilment.fulfilment_id)
  const lines = new Map(reported.lines.map((line) => [line.e164, line]))
  if (fulfilment.is_compensation) return applyUndone(tx, { ...reported, items, lines })
  return applyDone(tx, { ...reported, items, lines })
}

type Matched = Omit<Reported, 'lines'> & {
  readonly items: readonly ItemRow[]
  readonly lines: ReadonlyMap<string, LineOutcome>
}

async function applyDone(tx: Queries, matched: Matched): Promise<readonly ItemRow[]> {
  const { order, fulfilment, items, settings } = matched
  const done = linesOf(matched, 'done')
  const fresh = done.filter(({ item }) => itemMayBecome(item.state, 'completed'))
  const late = done.filter(({ item }) => item.state === 'failed' || item.state === 'cancelled')
  const completed = fresh.map(({ item, line }) => ({ ...item, provider_ref: line.providerRef ?? item.provider_ref }))
  await completeItems(tx, completed)
  if (standsAlone({ partialAllowed: order.partial_allowed, action: order.action })) {
    await takeEffect(tx, order, { items: completed, agingDays: settings.agingDays })
  }
  await undoLate(tx, matched, late)

  const rejected = linesOf(matched, 'rejected').filter(({ item }) => itemMayBecome(item.state, 'failed'))
  const state = fulfilment.is_cancel_requested ? 'cancelled' : 'failed'
  for (const [code, alike] of Map.groupBy(rejected, ({ line }) => line.code)) {
    const error = errorToCustomer({ code, message: alike[0]?.line.message ?? '' })
    await loseItems(tx, order, { items: alike.map(({ item }) => item), state, error })
  }
  await applyPending(tx, matched)
  const settled = new Set([...fresh, ...rejected].map(({ item }) => item.item_id))
  return items.filter((item) => !isFinalItem(item.state) && !settled.has(item.item_id))
}

type ItemError = { readonly code: string; readonly message: string }

/** The engine asks for nothing that the customer has by our books: see {@link reasonToCustomer}. */
function errorToCustomer(error: ItemError): ItemError {
  const code = reasonToCustomer(error.code)
  return code === error.code ? error : { code, message: 'the carrier has a line of another customer with this number' }
}

/** Numbers that wait for somebody else, with the date on which they are to come over. */
async function applyPending(tx: Queries, matched: Matched): Promise<void> {
  for (const { item, line } of linesOf(matched, 'pending')) {
    if (item.state !== 'pending' && !itemMayBecome(item.state, 'pending')) continue
    const focDate = line.focDate === undefined ? undefined : new Date(line.focDate)
    const isNewDate = focDate !== undefined && focDate.getTime() !== item.foc_date?.getTime()
    if (item.state === 'pending' && !isNewDate) continue
    await setItems(tx, [item.item_id], { state: 'pending', ...(focDate !== undefined && { foc_date: focDate }) })
    if (!isNewDate) continue
    const text = `comes over on ${focDate.toISOString()}`
    await appendHistory(tx, matched.order.order_id, [{ kind: 'milestone', number: item.e164, text }])
  }
}

/**
 * The provider did after all what we have given up. An end cannot be taken back, so it takes effect; anything
 * else is undone, while the item stays what it is.
 */
async function undoLate(
  tx: Queries,
  { order, settings }: Matched,
  late: readonly { readonly item: ItemRow; readonly line: Extract<LineOutcome, { kind: 'done' }> }[],
): Promise<void> {
  if (late.length === 0) return
  const items = late.map(({ item, line }) => ({ ...item, provider_ref: line.providerRef ?? item.provider_ref }))
  await appendHistory(
    tx,
    order.order_id,
    items.map((item) => ({ kind: 'note' as const, number: item.e164, text: 'the provider did it after all' })),
  )
  if (PROVIDER_ACTION_OF[order.action] === 'end') {
    return takeEffect(tx, order, { items, agingDays: settings.agingDays })
  }
  await sql`
    update order_items set provider_ref = late.provider_ref, updated_at = now()
    from unnest(${items.map((item) => item.item_id)}::text[], ${items.map((item) => item.provider_ref)}::text[])
      as late (item_id, provider_ref)
    where order_items.item_id = late.item_id`.execute(tx)
  await addCompensation(tx, order, { items, settings, state: undefined })
}

const COMPENSATED = { code: 'compensated', message: 'given back, because not all numbers could be done' }

async function applyUndone(tx: Queries, matched: Matched): Promise<readonly ItemRow[]> {
  const { order, items } = matched
  const undone = linesOf(matched, 'done').flatMap(({ item }) => (awaitsUndoing(item) ? [item] : []))
  // Of an item that is final already a late success was undone.
  const given = undone.filter((item) => !isFinalItem(item.state))
  await loseItems(tx, order, { items: given, state: 'cancelled', error: COMPENSATED })
  await markUndone(
    tx,
    undone.map((item) => item.item_id),
  )
  const answered = new Set(undone.map((item) => item.item_id))
  return items.filter((item) => !answered.has(item.item_id) && awaitsUndoing(item))
}

/** Whether what was done for an item of a compensating fulfilment is still there. */
export const awaitsUndoing = (item: ItemRow): boolean => item.undone_at === null

function linesOf<Kind extends LineOutcome['kind']>(
  { items, lines }: Matched,
  kind: Kind,
): readonly { readonly item: ItemRow; readonly line: Extract<LineOutcome, { kind: Kind }> }[] {
  return items.flatMap((item) => {
    const line = lines.get(item.e164)
    return line !== undefined && isOfKind(line, kind) ? [{ item, line }] : []
  })
}

const isOfKind = <Kind extends LineOutcome['kind']>(
  line: LineOutcome,
  kind: Kind,
): line is Extract<LineOutcome, { kind: Kind }> => line.kind === kind
