import { sql } from 'kysely'
import type { Queries } from '../../store/database.ts'
import type { ElementChanges, Kept } from '../model/element-changes.ts'
import type { OutcomeInput } from '../model/variable.ts'

/** An outcome without its id, so that two can be compared. */
export type OutcomeColumns = {
  readonly outcome_code: string
  readonly display_value: string | null
  readonly sequence_number: number
  readonly value: string
}
export type StoredOutcome = Kept<OutcomeColumns>

export const toOutcomeColumns = (input: OutcomeInput): OutcomeColumns => ({
  outcome_code: input.outcomeCode,
  display_value: input.displayValue ?? null,
  sequence_number: input.sequenceNumber,
  value: input.value,
})

/** As it would be sent: what a patch is applied to. */
export const toOutcomeInput = (columns: OutcomeColumns): OutcomeInput => ({
  outcomeCode: columns.outcome_code,
  ...(columns.display_value !== null && { displayValue: columns.display_value }),
  sequenceNumber: columns.sequence_number,
  value: columns.value,
})

/** Those of a variable, by their sequence numbers. */
export async function readOutcomes(queries: Queries, variableId: number): Promise<readonly StoredOutcome[]> {
  const rows = await queries
    .selectFrom('variable_outcomes')
    .select(['outcome_id as id', 'outcome_code', 'display_value', 'sequence_number', 'value'])
    .where('variable_id', '=', variableId)
    .orderBy('sequence_number')
    .execute()
  return rows.map(({ id, ...element }) => ({ id, element }))
}

const COLUMNS = sql`outcome_code text, display_value text, sequence_number int, value text`

/** Writes what became of the outcomes of a variable, each kind in one statement. */
export async function writeOutcomes(
  tx: Queries,
  variableId: number,
  { removed, added, changed }: ElementChanges<OutcomeColumns>,
): Promise<void> {
  if (removed.length > 0) {
    const ids = removed.map(({ id }) => id)
    await tx.deleteFrom('variable_outcomes').where('outcome_id', 'in', ids).execute()
  }
  if (changed.length > 0) {
    const rows = JSON.stringify(changed.map(({ id, element }) => ({ id, ...element })))
    await sql`update variable_outcomes o set outcome_code = w.outcome_code, display_value = w.display_value,
        sequence_number = w.sequence_number, value = w.value
      from jsonb_to_recordset(${rows}::jsonb) as w(id int, ${COLUMNS}) where o.outcome_id = w.id`.execute(tx)
  }
  if (added.length > 0) {
    await sql`insert into variable_outcomes (variable_id, outcome_code, display_value, sequence_number, value)
      select ${variableId}::int, outcome_code, display_value, sequence_number, value
      from jsonb_to_recordset(${JSON.stringify(added)}::jsonb) as w(${COLUMNS})
      order by sequence_number`.execute(tx)
  }
}
