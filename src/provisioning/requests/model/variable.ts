import * as v from 'valibot'
import { hasEachOnce, idField, listField, nameField, optionalField, sequenceField, valueField } from './fields.ts'

const OutcomeInput = v.strictObject({
  displayValue: optionalField(valueField),
  outcomeCode: v.pipe(nameField, v.description('Unique within the variable')),
  sequenceNumber: v.pipe(sequenceField, v.description('Unique within the variable')),
  value: v.pipe(valueField, v.description('Of the data type of the variable')),
})

/** A variable, as one that makes it sends it and as a patch leaves it. */
export const VariableInput = v.strictObject({
  code: v.pipe(nameField, v.description('Unique')),
  dataTypeID: idField,
  isActive: v.nullish(v.boolean(), true),
  name: v.pipe(nameField, v.description('Unique')),
  outcomes: v.nullish(
    v.pipe(
      listField(OutcomeInput),
      v.check(
        (outcomes) => hasEachOnce(outcomes.map(({ outcomeCode }) => outcomeCode)),
        'must have each outcomeCode once',
      ),
      v.check(
        (outcomes) => hasEachOnce(outcomes.map(({ sequenceNumber }) => sequenceNumber)),
        'must have each sequenceNumber once',
      ),
    ),
    [],
  ),
})
export type VariableInput = v.InferOutput<typeof VariableInput>
export type OutcomeInput = VariableInput['outcomes'][number]
