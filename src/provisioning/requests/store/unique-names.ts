import { invalidRequest } from '../../../core/parse-input.ts'
import type { Queries } from '../../store/database.ts'

/**
 * Rejects with `invalid_request` when another one of the environment has this code or name. Of two that are made at
 * the same time, the table's constraint refuses one.
 */
export async function checkUnique(
  tx: Queries,
  asked: {
    readonly kind: 'definition' | 'variable'
    readonly environmentId: number
    /** That has them already, and may. */
    readonly id?: number
    readonly code: string
    readonly name: string
  },
): Promise<void> {
  const { kind, environmentId, id, code, name } = asked
  const rows = await (kind === 'definition'
    ? tx
        .selectFrom('object_definitions')
        .select(['definition_id as id', 'code', 'name'])
        .where('environment_id', '=', environmentId)
        .where((where) => where.or([where('code', '=', code), where('name', '=', name)]))
        .execute()
    : tx
        .selectFrom('variables')
        .select(['variable_id as id', 'code', 'name'])
        .where('environment_id', '=', environmentId)
        .where((where) => where.or([where('code', '=', code), where('name', '=', name)]))
        .execute())
  const others = rows.filter((row) => row.id !== id)
  const errors = [
    ...(others.some((row) => row.code === code) ? [{ field: 'code', message: 'must be unique' }] : []),
    ...(others.some((row) => row.name === name) ? [{ field: 'name', message: 'must be unique' }] : []),
  ]
  if (errors.length > 0) throw invalidRequest(errors)
}
