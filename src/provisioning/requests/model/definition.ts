import * as v from 'valibot'
import { hasEachOnce, idField, listField, nameField, optionalField, valueField } from './fields.ts'

/** How a data definition differs while an object goes through a transition. */
const TransitionOptionInput = v.strictObject({
  provisionedObjectTransitionID: idField,
  isRequired: v.boolean(),
  isVisible: v.boolean(),
})

const DataDefinitionInput = v.strictObject({
  name: v.pipe(nameField, v.description('Of the extended information items that it defines')),
  dataTypeID: idField,
  defaultValue: v.pipe(
    optionalField(valueField),
    v.description('Of the data type, or with @[key] or #[expression] in it'),
  ),
  description: optionalField(valueField),
  isRequired: v.nullish(v.boolean(), false),
  isVisible: v.nullish(v.boolean(), true),
  listID: optionalField(idField),
  transitionOptions: v.nullish(
    v.pipe(
      v.array(TransitionOptionInput),
      v.maxLength(100),
      v.check(
        (options) => hasEachOnce(options.map((option) => option.provisionedObjectTransitionID)),
        'must have each transition once',
      ),
    ),
    [],
  ),
  variableID: optionalField(idField),
})

/** A provisionable object definition, as one that makes it sends it and as a patch leaves it. */
export const DefinitionInput = v.strictObject({
  code: v.pipe(nameField, v.description('Unique')),
  name: v.pipe(nameField, v.description('Unique')),
  description: optionalField(valueField),
  dataDefinitions: v.nullish(
    v.pipe(
      listField(DataDefinitionInput),
      v.check((definitions) => hasEachOnce(definitions.map(({ name }) => name)), 'must have each name once'),
    ),
    [],
  ),
})
export type DefinitionInput = v.InferOutput<typeof DefinitionInput>
export type DataDefinitionInput = DefinitionInput['dataDefinitions'][number]
