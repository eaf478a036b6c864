import { sql } from 'kysely'
import { invalidRequest, type FieldError } from '../../../core/parse-input.ts'
import type { Queries } from '../../store/database.ts'
import { ComputationError, missingItems } from '../model/computed-items.ts'
import type { NewRequest } from '../model/new-request.ts'
import { noAccess } from '../model/refusal.ts'
import type { ObjectStatusId, TransitionId } from '../model/status.ts'
import { readDataTypeRules } from '../store/data-type-rules.ts'
import { findAccountCustomer } from '../store/environments.ts'
import { computeFor } from './computation.ts'

/** What a request refers to. */
export type CheckedRequest = {
  /** Whose account it is, if it is a customer's. */
  readonly customer: { readonly customerId: string; readonly name: string } | undefined
  readonly objectStatusId: ObjectStatusId | undefined
  readonly transitionId: TransitionId | undefined
}

type Item = NewRequest['items'][number]

const ITEMS = 'extendedInformationItems'

/**
 * Checks a request against what its environment defines, all of it before anything is written. Rejects with
 * `resource_not_found` for a profile that there is not, and `invalid_request` that names every field which is wrong.
 */
export async function checkRequest(tx: Queries, environmentId: number, request: NewRequest): Promise<CheckedRequest> {
  await checkProfile(tx, environmentId, request)
  const status = await checkStatus(tx, request)
  const errors = [
    ...status.errors,
    ...checkDates(request),
    ...(await checkObject(tx, environmentId, request)),
    ...(await checkLinks(tx, environmentId, request)),
    ...(await checkOutcomes(tx, environmentId, request)),
    ...(await checkItems(tx, environmentId, request)),
  ]
  if (errors.length > 0) throw invalidRequest(errors)
  const missing = await checkComputation(tx, environmentId, request)
  if (missing.length > 0) throw invalidRequest(missing)
  const { accountNumber } = request.account
  return { ...status.known, customer: await findAccountCustomer(tx, { environmentId, accountNumber }) }
}

async function checkProfile(tx: Queries, environmentId: number, { profileId }: NewRequest): Promise<void> {
  const row = await tx
    .selectFrom('profiles')
    .select('profile_id')
    .where('profile_id', '=', profileId)
    .where('environment_id', '=', environmentId)
    .executeTakeFirst()
  if (row === undefined) throw noAccess('profile', profileId, 'profileID')
}

/** The status is that which the transition leads to, and need not be said then. */
async function checkStatus(tx: Queries, { objectStatusId, transitionId }: NewRequest) {
  const errors: FieldError[] = []
  const statuses = await tx.selectFrom('object_statuses').select('status_id').execute()
  const status = statuses.find((row) => row.status_id === objectStatusId)?.status_id
  if (objectStatusId !== undefined && status === undefined) {
    errors.push({ field: 'provisionedObjectStatusID', message: 'must be the id of a status' })
  }
  const transitions = await tx.selectFrom('object_transitions').select(['transition_id', 'status_id']).execute()
  const transition = transitions.find((row) => row.transition_id === transitionId)
  if (transitionId !== undefined && transition === undefined) {
    errors.push({ field: 'provisionedObjectTransitionID', message: 'must be the id of a transition' })
  }
  if (status !== undefined && transition !== undefined && transition.status_id !== status) {
    errors.push({
      field: 'provisionedObjectStatusID',
      message: `must be ${transition.status_id}, which the transition leads to`,
    })
  }
  return {
    errors,
    known: { objectStatusId: status ?? transition?.status_id, transitionId: transition?.transition_id },
  }
}

const checkDates = ({ objectStartsAt, objectEndsAt }: NewRequest): readonly FieldError[] =>
  objectStartsAt !== undefined && objectEndsAt !== undefined && objectEndsAt < objectStartsAt
    ? [{ field: 'provisionedObjectEndDate', message: 'must not be before the start date' }]
    : []

/** A profile that names definitions is for these alone. */
async function checkObject(
  tx: Queries,
  environmentId: number,
  { objectCode, profileId }: NewRequest,
): Promise<readonly FieldError[]> {
  if (objectCode === undefined) return []
  const field = 'provisionedObjectCode'
  const { rows } = await sql<{ is_allowed: boolean }>`
    select not exists (select from profile_definitions where profile_id = ${profileId})
      or exists (select from profile_definitions p where p.profile_id = ${profileId}
        and p.definition_id = d.definition_id) as is_allowed
    from object_definitions d where d.environment_id = ${environmentId} and d.code = ${objectCode}`.execute(tx)
  const [row] = rows
  if (row === undefined) return [{ field, message: 'must be the code of a provisionable object definition' }]
  return row.is_allowed ? [] : [{ field, message: `must be a code that profile ${profileId} allows` }]
}

async function checkLinks(tx: Queries, environmentId: number, { links }: NewRequest): Promise<readonly FieldError[]> {
  const rows = await tx
    .selectFrom('link_types')
    .select('link_type_id')
    .where('environment_id', '=', environmentId)
    .execute()
  const known = new Set(rows.map((row) => row.link_type_id))
  return links.flatMap(({ linkTypeId }, index) =>
    known.has(linkTypeId)
      ? []
      : [{ field: `provisioningRequestLinks.${index}.linkTypeID`, message: 'must be the id of a link type' }],
  )
}

async function checkOutcomes(
  tx: Queries,
  environmentId: number,
  { outcomes }: NewRequest,
): Promise<readonly FieldError[]> {
  if (outcomes.length === 0) return []
  const codes = [...new Set(outcomes.map(({ variableCode }) => variableCode))]
  const { rows } = await sql<{ code: string; outcome_code: string | null }>`
    select v.code, o.outcome_code from variables v left join variable_outcomes o using (variable_id)
    where v.environment_id = ${environmentId} and v.is_active and v.code = any(${codes}::text[])`.execute(tx)
  const variables = Map.groupBy(rows, (row) => row.code)
  const seen = new Set<string>()
  return outcomes.flatMap(({ variableCode, outcomeCode }, index) => {
    const field = `provisioningRequestVariableOutcomes.${index}`
    const isRepeated = seen.has(variableCode)
    seen.add(variableCode)
    const variable = variables.get(variableCode)
    if (variable === undefined) {
      return [{ field: `${field}.VariableCode`, message: 'must be the code of an active variable' }]
    }
    if (isRepeated) return [{ field: `${field}.VariableCode`, message: 'must be named once' }]
    if (variable.some((row) => row.outcome_code === outcomeCode)) return []
    return [{ field: `${field}.OutcomeCode`, message: 'must be the code of an outcome of the variable' }]
  })
}

/** Keys must be those of the object's definition, and values such as its data types let through. */
async function checkItems(
  tx: Queries,
  environmentId: number,
  { items, objectCode }: NewRequest,
): Promise<readonly FieldError[]> {
  const seen = new Set<string>()
  const repeated = items.flatMap(({ keyName }, index) => {
    if (seen.has(keyName)) return [{ field: `${ITEMS}.${index}.keyName`, message: 'must be named once' }]
    seen.add(keyName)
    return []
  })
  if (objectCode === undefined) return repeated
  const rules = await readDataTypeRules(tx)
  const { rows } = await sql<{ name: string; data_type_id: number }>`
    select d.name, d.data_type_id from object_definitions od join data_definitions d using (definition_id)
    where od.environment_id = ${environmentId} and od.code = ${objectCode}`.execute(tx)
  const definitions = new Map(rows.map((row) => [row.name, row]))
  const wrong = items.flatMap((item: Item, index) => {
    const definition = definitions.get(item.keyName)
    if (definition === undefined) {
      return [{ field: `${ITEMS}.${index}.keyName`, message: `must be a data definition of ${objectCode}` }]
    }
    const problem = rules.problemOfComputed(definition.data_type_id, item.value)
    return problem === undefined ? [] : [{ field: `${ITEMS}.${index}.value`, message: problem }]
  })
  return [...repeated, ...wrong]
}

/** Whatever the transition requires must come to something. */
async function checkComputation(
  tx: Queries,
  environmentId: number,
  request: NewRequest,
): Promise<readonly FieldError[]> {
  try {
    const computed = await computeFor(tx, {
      environmentId,
      objectCode: request.objectCode,
      internalId: request.internalId,
      transitionId: request.transitionId,
      given: new Map(request.items.map(({ keyName, value }) => [keyName, value])),
    })
    return missingItems(computed).map((keyName) => ({ field: ITEMS, message: `${keyName} is required` }))
  } catch (error) {
    if (error instanceof ComputationError) return [{ field: ITEMS, message: error.message }]
    throw error
  }
}
