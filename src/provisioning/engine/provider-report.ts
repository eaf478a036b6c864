import type { LineOutcome } from '../model/provider.ts'
import type { Queries } from '../store/database.ts'
import { setFulfilment } from '../store/fulfilments.ts'
import { lockOrder } from './locked-order.ts'
import { advanceOrder, FINISHED, type EngineSettings } from './order-progress.ts'
import { applyLines } from './outcomes.ts'
import { recheckLater } from './rechecking.ts'

/** Applies what a provider told of its own accord; resolves with whether it is about a fulfilment of ours. */
export async function applyReport(
  tx: Queries,
  told: {
    readonly provider: string
    readonly ref: string
    readonly lines: readonly LineOutcome[]
    readonly settings: EngineSettings
  },
): Promise<boolean> {
  const { provider, ref, lines, settings } = told
  const named = await tx
    .selectFrom('fulfilments')
    .select(['fulfilment_id', 'order_id'])
    .where('provider', '=', provider)
    .where((where) => where.or([where('provider_ref', '=', ref), where('fulfilment_id', '=', ref)]))
    .limit(1)
    .executeTakeFirst()
  if (named === undefined) return false
  const order = await lockOrder(tx, named.order_id)
  const fulfilment = await tx
    .selectFrom('fulfilments')
    .selectAll()
    .where('fulfilment_id', '=', named.fulfilment_id)
    .executeTakeFirstOrThrow()
  const waiting = await applyLines(tx, { order, fulfilment, lines, settings })
  if (fulfilment.state !== 'done' && fulfilment.rechecks === 0 && waiting.length === 0) {
    await setFulfilment(tx, fulfilment.fulfilment_id, { ...FINISHED, last_error: null, leased_until: null })
    const isDoubtful = !fulfilment.is_compensation && lines.some((line) => line.kind === 'rejected')
    if (isDoubtful && fulfilment.provider_ref !== null) await recheckLater(tx, fulfilment)
  }
  await advanceOrder(tx, order, { settings })
  return true
}
