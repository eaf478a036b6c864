import * as v from 'valibot'
import { idField, listField, nameField } from '../../../provisioning/requests/model/fields.ts'
import type {
  DataDefinitionWithItem,
  DefinitionRow,
  FoundDataDefinition,
} from '../../../provisioning/requests/store/definition-sources.ts'
import { authorship, id, internalId, internalIdField, present, toAuthorship, toInternalId } from './fields.ts'

const absentUnlessSet = 'Absent unless it is set'
const optionalText = v.optional(v.pipe(v.string(), v.description(absentUnlessSet)))
const optionalId = v.optional(v.pipe(id, v.description(absentUnlessSet)))

const transition = {
  provisionedObjectStatus: v.string(),
  provisionedObjectStatusID: id,
  provisionedObjectTransition: v.string(),
  provisionedObjectTransitionID: id,
}
const toTransition = (row: {
  readonly transition_id: number
  readonly transition: string
  readonly status_id: number
  readonly status: string
}) => ({
  provisionedObjectStatus: row.status,
  provisionedObjectStatusID: row.status_id,
  provisionedObjectTransition: row.transition,
  provisionedObjectTransitionID: row.transition_id,
})

/** What can be provisioned. */
export const DefinitionItem = v.object({
  code: v.string(),
  ...authorship,
  description: optionalText,
  name: v.string(),
  provisionableObjectDefinitionID: id,
})
export const toDefinitionItem = (row: DefinitionRow): v.InferOutput<typeof DefinitionItem> =>
  present({
    code: row.code,
    ...toAuthorship(row),
    description: row.description,
    name: row.name,
    provisionableObjectDefinitionID: row.definition_id,
  })

/** A piece of data that objects of a definition have. */
export const DataDefinitionItem = v.object({
  dataDefinitionID: id,
  dataTypeID: id,
  defaultValue: optionalText,
  description: optionalText,
  isRequired: v.boolean(),
  isVisible: v.boolean(),
  listID: optionalId,
  name: v.string(),
  sequenceNumber: v.pipe(id, v.description('What data definitions are in the order of')),
  transitionOptions: v.array(v.object({ isRequired: v.boolean(), isVisible: v.boolean(), ...transition })),
  variableID: optionalId,
})
export const toDataDefinitionItem = (row: FoundDataDefinition): v.InferOutput<typeof DataDefinitionItem> =>
  present({
    dataDefinitionID: row.data_definition_id,
    dataTypeID: row.data_type_id,
    defaultValue: row.default_value,
    description: row.description,
    isRequired: row.is_required,
    isVisible: row.is_visible,
    listID: row.list_id,
    name: row.name,
    sequenceNumber: row.sequence_number,
    transitionOptions: row.transition_options.map((option) => ({
      isRequired: option.is_required,
      isVisible: option.is_visible,
      ...toTransition(option),
    })),
    variableID: row.variable_id,
  })

/** The same, of one of several definitions. */
export const DataDefinitionOfCodeItem = v.object({ code: v.string(), ...DataDefinitionItem.entries })
export const toDataDefinitionOfCodeItem = (row: FoundDataDefinition) => ({
  code: row.code,
  ...toDataDefinitionItem(row),
})

/** What can be provisioned, with its data. */
export const DefinitionAnswer = v.object({ ...DefinitionItem.entries, dataDefinitions: v.array(DataDefinitionItem) })

/** Codes whose data definitions are wanted. */
export const Codes = v.pipe(listField(nameField), v.description('Codes of provisionable object definitions'))

/** The objects whose data is wanted, each for a transition. */
export const AskedObjects = listField(
  v.strictObject({
    code: nameField,
    includeNonVisible: v.nullish(
      v.pipe(v.boolean(), v.description('Also what is not displayed to an end user; false unless given')),
      false,
    ),
    internalID: internalIdField,
    transitionID: idField,
  }),
)

/** A piece of data of an object, as it is for a transition. */
export const DataDefinitionWithItemItem = v.object({
  code: v.string(),
  dataDefinitionID: id,
  dataTypeID: id,
  internalID: internalId,
  isRequired: v.boolean(),
  isVisible: v.boolean(),
  listID: optionalId,
  name: v.string(),
  ...transition,
  sequenceNumber: id,
  value: v.optional(v.pipe(v.string(), v.description('What the object has, else the default value, else absent'))),
  variableID: optionalId,
})
export const toDataDefinitionWithItemItem = (
  row: DataDefinitionWithItem,
): v.InferOutput<typeof DataDefinitionWithItemItem> =>
  present({
    code: row.code,
    dataDefinitionID: row.data_definition_id,
    dataTypeID: row.data_type_id,
    internalID: toInternalId(row.internal_id),
    isRequired: row.is_required,
    isVisible: row.is_visible,
    listID: row.list_id,
    name: row.name,
    ...toTransition(row),
    sequenceNumber: row.sequence_number,
    value: row.value,
    variableID: row.variable_id,
  })
