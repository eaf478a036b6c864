import * as v from 'valibot'
import type { DataType, Transition } from '../../../provisioning/requests/store/auxiliary-data.ts'

const id = v.pipe(v.number(), v.integer())

export const TransitionItem = v.pipe(
  v.object({
    name: v.string(),
    provisionedObjectStatus: v.string(),
    provisionedObjectStatusID: id,
    provisionedObjectTranstionID: v.pipe(id, v.description('Spelled as in the document')),
  }),
  v.metadata({ ref: 'IdiTransition', title: 'How an object gets into a status' }),
)
export const toTransitionItem = (row: Transition): v.InferOutput<typeof TransitionItem> => ({
  name: row.name,
  provisionedObjectStatus: row.status_name,
  provisionedObjectStatusID: row.status_id,
  provisionedObjectTranstionID: row.transition_id,
})

export const DataTypeItem = v.pipe(
  v.object({
    dataTypeID: id,
    description: v.string(),
    name: v.string(),
    validation: v.string(),
    validationRegex: v.pipe(v.string(), v.description('Also lets through what is computed later: @[key], #[expression]')),
    validationRegexStrict: v.pipe(v.string(), v.description('For values as they are')),
  }),
  v.metadata({ ref: 'IdiDataType', title: 'What values may be like' }),
)
export const toDataTypeItem = (row: DataType): v.InferOutput<typeof DataTypeItem> => ({
  dataTypeID: row.data_type_id,
  description: row.description,
  name: row.name,
  validation: row.validation,
  validationRegex: row.validation_regex,
  validationRegexStrict: row.validation_regex_strict,
})
