import { expect, test } from 'vitest'
import { parameterSources, toScope } from './parameter-scope.ts'

test('a scope is one of ours in any case, or the code of a definition as it is', () => {
  expect(['literal', 'REQUEST', 'Global', 'Wireline', ''].map(toScope)).toEqual([
    'Literal',
    'Request',
    'Global',
    'Wireline',
    'Literal',
  ])
})

const PARAMETERS = [
  { name: 'Product', scope: 'Literal', value: 'prd_1' },
  { name: 'Product', scope: 'Global', value: 'DefaultProduct' },
  { name: 'Product', scope: 'DSL', value: 'prd_dsl' },
  { name: 'Product', scope: 'Request', value: 'ProductID' },
  { name: 'Number', scope: 'Request', value: 'TN' },
  { name: 'URL', scope: 'Wireline' },
  { name: 'Area', scope: 'Wireline', value: '212' },
]

test('what is meant for the code of the object goes first, then the request, global information, the literal', () => {
  expect([...parameterSources(PARAMETERS, 'DSL')]).toEqual([
    [
      'Product',
      [
        { scope: 'Literal', value: 'prd_dsl' },
        { scope: 'Request', value: 'ProductID' },
        { scope: 'Global', value: 'DefaultProduct' },
        { scope: 'Literal', value: 'prd_1' },
      ],
    ],
    ['Number', [{ scope: 'Request', value: 'TN' }]],
  ])
})

test('what is meant for other codes takes no part', () => {
  expect([...parameterSources(PARAMETERS, undefined).keys()]).toEqual(['Product', 'Number'])
  expect([...parameterSources(PARAMETERS, 'Wireline').keys()]).toEqual(['Product', 'Number', 'Area'])
})

test('a code that is a word of ours takes nothing twice', () => {
  expect(parameterSources(PARAMETERS, 'Request').get('Number')).toEqual([{ scope: 'Request', value: 'TN' }])
})
