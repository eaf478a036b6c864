import * as v from 'valibot'
import type { DataType, Transition } from '../../../provisioning/requests/store/auxiliary-data.ts'
import { id } from './fields.ts'

/** How an object gets into a status. */
export const TransitionItem = v.object({
  name: v.string(),
  provisionedObjectStatus: v.string(),
  provisionedObjectStatusID: id,
  provisionedObjectTranstionID: v.pipe(id, v.description('Spelled as in the document')),
})
export const toTransitionItem = (row: Transition): v.InferOutput<typeof TransitionItem> => ({
  name: row.name,
  provisionedObjectStatus: row.status_name,
  provisionedObjectStatusID: row.status_id,
  provisionedObjectTranstionID: row.transition_id,
})

/** What values may be like. */
export const DataTypeItem = v.object({
  dataTypeID: id,
  description: v.string(),
  name: v.string(),
  validation: v.string(),
  validationRegex: v.pipe(v.string(), v.description('Also lets through what is computed later: @[key], #[expression]')),
  validationRegexStrict: v.pipe(v.string(), v.description('For values as they are')),
})
export const toDataTypeItem = (row: DataType): v.InferOutput<typeof DataTypeItem> => ({
  dataTypeID: row.data_type_id,
  description: row.description,
  name: row.name,
  validation: row.validation,
  validationRegex: row.validation_regex,
  validationRegexStrict: row.validation_regex_strict,
})
