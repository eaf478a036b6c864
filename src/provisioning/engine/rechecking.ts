import type { Queries } from '../store/database.ts'
import { setFulfilment, type FulfilmentRow } from '../store/fulfilments.ts'
import { FINISHED } from './order-progress.ts'

/** When to ask after what was given up, each from the one before. */
const RECHECK_MS = [30_000, 600_000, 3_600_000]

/**
 * A provider may carry out later what it has rejected, and its telling so may be lost. So a fulfilment of which
 * something was given up is asked after a few times more, however the order ends: what turns out to be there is undone.
 */
export async function recheckLater(
  tx: Queries,
  fulfilment: Pick<FulfilmentRow, 'fulfilment_id' | 'provider_ref' | 'rechecks'>,
): Promise<undefined> {
  const inMs = RECHECK_MS[fulfilment.rechecks]
  const ended = inMs === undefined
  await setFulfilment(tx, fulfilment.fulfilment_id, {
    ...(ended ? FINISHED : { state: 'accepted', resume_state: null, dueInMs: inMs }),
    provider_ref: fulfilment.provider_ref,
    attempts: 0,
    rechecks: fulfilment.rechecks + 1,
    last_error: null,
    leased_until: null,
    is_cancel_requested: false,
  })
}
