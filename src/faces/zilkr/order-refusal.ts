import { GatewayError, isGatewayError } from '../../core/errors.ts'
import type { OrderTerms } from '../../provisioning/model/order-terms.ts'

/** What the engine calls a field, and what an order's body does. */
const NAMES: Readonly<Record<string, string>> = {
  requested_date: 'requestedDate',
  requested_foc_date: 'requestedFocDate',
  product_id: 'productId',
  location_id: 'locationId',
  connection_id: 'connectionId',
  reservation_ids: 'reservationIds',
}
const NAMES_BY_ACTION: Readonly<Partial<Record<OrderTerms['action'], Readonly<Record<string, string>>>>> = {
  move: { location_id: 'toLocationId', connection_id: 'toConnectionId' },
  change: { connection_id: 'changes.connectionId' },
}

/** Runs `work`; a refusal of the engine's names the field as the caller wrote it. */
export async function withFieldNames<Result>(
  action: OrderTerms['action'],
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    return await work()
  } catch (error) {
    throw isGatewayError(error, 'order_refused') ? named(error, action) : error
  }
}

function named(error: GatewayError, action: OrderTerms['action']): GatewayError {
  const { field } = error.fields
  if (typeof field !== 'string') return error
  const name = NAMES_BY_ACTION[action]?.[field] ?? NAMES[field] ?? field
  return new GatewayError('order_refused', {
    ...(error.detail !== undefined && { detail: error.detail }),
    fields: { ...error.fields, field: name, errors: [{ field: name, message: error.detail ?? error.title }] },
    cause: error,
  })
}
