import type { Queries } from '../../store/database.ts'
import { DataTypeRules } from '../model/data-type-rules.ts'

/** The rules of all data types. */
export async function readDataTypeRules(queries: Queries): Promise<DataTypeRules> {
  const rows = await queries
    .selectFrom('data_types')
    .select(['data_type_id', 'validation', 'validation_regex', 'validation_regex_strict'])
    .execute()
  return new DataTypeRules(
    new Map(
      rows.map((row) => [
        row.data_type_id,
        {
          validation: row.validation,
          validationRegex: row.validation_regex,
          validationRegexStrict: row.validation_regex_strict,
        },
      ]),
    ),
  )
}
