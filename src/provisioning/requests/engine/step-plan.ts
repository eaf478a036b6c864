import { sql } from 'kysely'
import { E164 } from '../../../core/e164.ts'
import type { PlaceOrder } from '../../model/order-terms.ts'
import type { Queries } from '../../store/database.ts'
import { ExpressionError } from '../model/expression.ts'
import { toOrderTerms, type StepTerms } from '../model/step-terms.ts'
import { findAccountCustomer } from '../store/environments.ts'
import type { RequestRow } from '../store/request-rows.ts'
import type { RequestStep } from '../store/request-steps.ts'
import { readStepValues, type ReadGlobals } from './step-values.ts'

/** What is to become of a step that has not begun. */
export type StepPlan =
  | { readonly kind: 'order'; readonly order: PlaceOrder; readonly number?: string }
  /** There is nothing to do: `reason` says why. */
  | { readonly kind: 'done'; readonly reason: string; readonly number?: string }
  | { readonly kind: 'refused'; readonly reason: string }

type Planned = {
  readonly request: RequestRow
  readonly step: RequestStep
  /** Those before it. */
  readonly earlier: readonly RequestStep[]
  readonly readGlobals: ReadGlobals
}

/** Makes an order of a step, unless what it was to do is done already or cannot be ordered. */
export async function planStep(tx: Queries, planned: Planned): Promise<StepPlan> {
  try {
    return await plan(tx, planned)
  } catch (error) {
    if (error instanceof ExpressionError) return { kind: 'refused', reason: error.message }
    throw error
  }
}

async function plan(tx: Queries, { request, step, earlier, readGlobals }: Planned): Promise<StepPlan> {
  // The account may have been given to a customer after the request was made.
  const customer = await findAccountCustomer(tx, {
    environmentId: request.environment_id,
    accountNumber: request.account_number ?? undefined,
  })
  if (customer === undefined) return { kind: 'refused', reason: noCustomer(request) }
  const { customerId } = customer
  const { values } = await readStepValues(tx, { request, step, readGlobals })
  const ownNumber = E164.test(request.internal_id ?? '') ? (request.internal_id ?? undefined) : undefined
  const earlierNumber = earlier.findLast(({ e164 }) => e164 !== null)?.e164 ?? undefined
  const wanted = toOrderTerms(step.operation, values, {
    productId: await productOf(tx, request),
    number: step.operation === 'begin' ? ownNumber : (earlierNumber ?? ownNumber),
  })
  const provider = await providerOf(tx, wanted.productId)
  if (provider !== undefined && provider !== step.provider) {
    return { kind: 'refused', reason: `Product is carried out by ${provider}, not by ${step.provider}` }
  }
  const done = await findDone(tx, { request, step, customerId, wanted })
  if (done !== undefined) return done
  return {
    kind: 'order',
    ...(wanted.number !== undefined && { number: wanted.number }),
    order: {
      customerId,
      actor: request.created_by,
      face: 'idi',
      productId: wanted.productId,
      partialAllowed: false,
      metadata: {
        provisioningRequestID: String(request.request_id),
        step: String(step.sequence_number),
      },
      terms: wanted.terms,
    },
  }
}

const noCustomer = ({ account_number: accountNumber }: RequestRow): string =>
  accountNumber === null
    ? 'the request has no account number'
    : `the account ${accountNumber} is no customer's in this environment`

async function productOf(tx: Queries, request: RequestRow): Promise<string | undefined> {
  if (request.object_code === null) return undefined
  const row = await tx
    .selectFrom('object_definitions')
    .select('product_id')
    .where('environment_id', '=', request.environment_id)
    .where('code', '=', request.object_code)
    .executeTakeFirst()
  return row?.product_id ?? undefined
}

async function providerOf(tx: Queries, productId: string): Promise<string | undefined> {
  const row = await tx.selectFrom('products').select('provider').where('product_id', '=', productId).executeTakeFirst()
  return row?.provider
}

type Wanted = {
  readonly request: RequestRow
  readonly step: RequestStep
  readonly customerId: string
  readonly wanted: StepTerms
}

/** A regenerated request begins at the beginning, and finds what its source has done. */
async function findDone(tx: Queries, { request, step, customerId, wanted }: Wanted): Promise<StepPlan | undefined> {
  const { number, productId } = wanted
  switch (step.operation) {
    case 'begin':
    case 'port':
    case 'enable': {
      const served =
        number === undefined
          ? await numberOfSource(tx, { request, step, customerId, wanted })
          : await numberInService(tx, { customerId, productId, number })
      return served === undefined ? undefined : doneAs('already has', { ...wanted, number: served })
    }
    case 'end': {
      if (number === undefined || (await numberInService(tx, { customerId, productId, number })) !== undefined) {
        return undefined
      }
      return doneAs('no longer has', { ...wanted, number })
    }
    case 'change':
    case 'move':
      return undefined
    default:
      return step.operation satisfies never
  }
}

const doneAs = (
  how: string,
  { number, productId }: { readonly number: string; readonly productId: string },
): StepPlan => ({
  kind: 'done',
  number,
  reason: `The customer ${how} a service of ${productId} on ${number}.`,
})

/** The number, if the customer has a service of the product on it. */
async function numberInService(
  tx: Queries,
  { customerId, productId, number }: { customerId: string; productId: string; number: string },
): Promise<string | undefined> {
  const row = await tx
    .selectFrom('services')
    .select('e164')
    .where('e164', '=', number)
    .where('product_id', '=', productId)
    .where('customer_id', '=', customerId)
    .where('state', '<>', 'ended')
    .executeTakeFirst()
  return row?.e164
}

/** The number that the same step of a request which this one was regenerated from has got, if it is still there. */
async function numberOfSource(tx: Queries, { request, step, customerId, wanted }: Wanted): Promise<string | undefined> {
  const root = request.root_regenerated_from_id
  if (root === null) return undefined
  const { rows } = await sql<{ e164: string }>`
    select s.e164 from provisioning_requests r
      join request_steps earlier on earlier.request_id = r.request_id and earlier.sequence_number = ${step.sequence_number}
        and earlier.provider_action_id = ${step.provider_action_id} and earlier.state = 'done'
      join services s on s.e164 = earlier.e164 and s.product_id = ${wanted.productId}
        and s.customer_id = ${customerId} and s.state <> 'ended'
    where (r.request_id = ${root} or r.root_regenerated_from_id = ${root}) and r.request_id < ${request.request_id}
    order by r.request_id desc limit 1`.execute(tx)
  return rows[0]?.e164
}
