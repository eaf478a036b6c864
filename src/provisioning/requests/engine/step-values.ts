import type { Queries } from '../../store/database.ts'
import { ACTION_CATALOGUE } from '../model/action-catalogue.ts'
import { MASK } from '../model/mask.ts'
import { parameterSources, type ParameterSource } from '../model/parameter-scope.ts'
import { resolveParameters, type StepContext, type StepValues } from '../model/step-parameters.ts'
import type { RequestRow } from '../store/request-rows.ts'
import type { RequestStep } from '../store/request-steps.ts'
import { computeRequest } from './computation.ts'

/** The values of an environment's global information items, by name; those that there are and that have one. */
export type ReadGlobals = (
  queries: Queries,
  environmentId: number,
  names: readonly string[],
) => Promise<StepContext['globals']>

type Values = {
  readonly values: StepValues
  /** The values as they may be shown. */
  readonly shown: Readonly<Record<string, string>>
}

/** What a step's parameters come to as things stand. Throws an ExpressionError that names what is wrong. */
export async function readStepValues(
  queries: Queries,
  { request, step, readGlobals }: { request: RequestRow; step: RequestStep; readGlobals: ReadGlobals },
): Promise<Values> {
  const rows = await queries
    .selectFrom('scenario_parameters')
    .select(['name', 'scope', 'value'])
    .where('scenario_id', '=', step.scenario_id)
    .orderBy('sequence_number')
    .execute()
  const parameters = rows.map(({ value, ...row }) => ({ ...row, ...(value !== null && { value }) }))
  const sources = parameterSources(parameters, request.object_code ?? undefined)
  const items = await computeRequest(queries, request)
  const context: StepContext = {
    items: new Map(items.map((item) => [item.keyName, item.value])),
    fields: fieldsOf(request),
    globals: await readGlobalValues(queries, { environmentId: request.environment_id, sources, readGlobals }),
  }
  const values = resolveParameters(sources, context)
  const secrets = secretNames(step)
  const shown = [...values].map(([name, { value, isSecret }]) => [name, isSecret || secrets.has(name) ? MASK : value])
  return { values, shown: Object.fromEntries(shown) }
}

async function readGlobalValues(
  queries: Queries,
  {
    environmentId,
    sources,
    readGlobals,
  }: {
    readonly environmentId: number
    readonly sources: ReadonlyMap<string, readonly ParameterSource[]>
    readonly readGlobals: ReadGlobals
  },
): Promise<StepContext['globals']> {
  const wanted = [...sources.values()].flat().flatMap(({ scope, value }) => (scope === 'Global' ? [value] : []))
  if (wanted.length === 0) return new Map()
  return readGlobals(queries, environmentId, [...new Set(wanted)])
}

const secretNames = ({ operation }: RequestStep): ReadonlySet<string> =>
  new Set(
    ACTION_CATALOGUE[operation].parameters
      .filter(({ isSecret }) => isSecret === true)
      .map(({ name }) => name as string),
  )

/** What parameters may take of the request itself, by the names in the document. */
function fieldsOf(request: RequestRow): ReadonlyMap<string, string> {
  const fields: readonly (readonly [string, string | number | null])[] = [
    ['provisioningRequestID', request.request_id],
    ['accountNumber', request.account_number],
    ['provisionedObjectCode', request.object_code],
    ['provisionedObjectInternalID', request.internal_id],
    ['workItemInstanceID', request.work_item_instance_id],
  ]
  return new Map(fields.flatMap(([name, value]) => (value === null ? [] : [[name, String(value)] as const])))
}
