import { expect, test } from 'vitest'
import { ExpressionError } from './expression.ts'
import { parameterSources } from './parameter-scope.ts'
import { resolveParameters, type StepContext } from './step-parameters.ts'

const CONTEXT: StepContext = {
  items: new Map([
    ['TN', '+12065550142'],
    ['Empty', ''],
    ['Unset', undefined],
  ]),
  fields: new Map([
    ['provisionedObjectInternalID', 'ID001'],
    ['TN', 'not this one'],
  ]),
  globals: new Map([
    ['Site', { value: 'Berlin', isSecret: false }],
    ['Password', { value: 'hunter2', isSecret: true }],
  ]),
}
const resolve = (...parameters: readonly (readonly [name: string, scope: string, value: string])[]) =>
  Object.fromEntries(
    resolveParameters(
      parameterSources(
        parameters.map(([name, scope, value]) => ({ name, scope, value })),
        'POC1',
      ),
      CONTEXT,
    ),
  )

test('values are those of items, fields, global information, and literals with references in them', () => {
  const values = resolve(
    ['Number', 'Request', 'TN'],
    ['ExternalID', 'Request', 'provisionedObjectInternalID'],
    ['City', 'Global', 'Site'],
    ['PIN', 'Global', 'Password'],
    ['Reason', 'Literal', '#[concat(@[provisionedObjectInternalID], ": ", length(@[TN]))]'],
  )
  expect(values).toEqual({
    Number: { value: '+12065550142', isSecret: false },
    ExternalID: { value: 'ID001', isSecret: false },
    City: { value: 'Berlin', isSecret: false },
    PIN: { value: 'hunter2', isSecret: true },
    Reason: { value: 'ID001: 12', isSecret: false },
  })
})

test('what comes to nothing makes way for the next source', () => {
  const values = resolve(
    ['Number', 'Request', 'Unset'],
    ['Number', 'Global', 'Nothing'],
    ['Number', 'Literal', '+12065550100'],
    ['City', 'Request', 'Empty'],
  )
  expect(values).toEqual({ Number: { value: '+12065550100', isSecret: false } })
})

test('what cannot be computed is said with the name of the parameter', () => {
  expect(() => resolve(['Number', 'Literal', '@[Nobody]'])).toThrow(
    new ExpressionError('Number refers to Nobody, which there is not'),
  )
})
