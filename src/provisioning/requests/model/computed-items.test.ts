import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { failureOf } from '../../../../test/support/failure-of.ts'
import { ComputationError, computeItems, missingItems, type ItemDefinition } from './computed-items.ts'

const define = (name: string, defaultValue?: string, isRequired = false): ItemDefinition => ({
  name,
  isRequired,
  defaultValue,
})
const items = (values: Readonly<Record<string, string>> = {}) => new Map(Object.entries(values))

describe('where values are from', () => {
  test('the request goes before the object, and the object before the default', () => {
    const definitions = [define('A', 'default'), define('B', 'default'), define('C', 'default'), define('D')]
    const computed = computeItems({
      definitions,
      given: items({ A: 'request', Z: 'more' }),
      previous: items({ A: 'object', B: 'object', Y: 'not shown' }),
    })
    expect(computed).toEqual([
      { keyName: 'A', value: 'request', isRequired: false, computationType: 'Request' },
      { keyName: 'B', value: 'object', isRequired: false, computationType: 'State' },
      { keyName: 'C', value: 'default', isRequired: false, computationType: 'Default' },
      { keyName: 'D', isRequired: false, computationType: 'Default' },
      { keyName: 'Z', value: 'more', isRequired: false, computationType: 'Request' },
    ])
  })

  test('references are followed wherever the value is from, and what the object had is not computed again', () => {
    const computed = computeItems({
      definitions: [
        define('Full', '@[First] @[Last]'),
        define('First'),
        define('Last'),
        define('Code', '#[upper(@[Full])]'),
      ],
      given: items({ First: 'Ada' }),
      previous: items({ Last: '@[First]' }),
    })
    expect(computed.map(({ value, computationType }) => [value, computationType])).toEqual([
      ['Ada @[First]', 'Reference'],
      ['Ada', 'Request'],
      ['@[First]', 'State'],
      ['ADA @[FIRST]', 'Expression'],
    ])
  })

  test('required items without a value are named', () => {
    const definitions = [define('A', undefined, true), define('B', '', true), define('C', 'c', true), define('D')]
    expect(missingItems(computeItems({ definitions, given: items(), previous: items() }))).toEqual(['A', 'B'])
  })
})

describe('what is wrong is said of an item', () => {
  test.each([
    ['A refers to itself: A → A', { A: '@[A]' }],
    ['A refers to itself: A → B → C → A', { A: '@[B]', B: "#[if(true, 'x', @[C])]", C: '@[A]' }],
    ['A refers to Nobody, which there is not', { A: '@[Nobody]' }],
    ['B calculates with what is not a number', { A: 'x', B: '#[@[A] + 1]' }],
  ])('%s', (message, given) => {
    const compute = () => computeItems({ definitions: [], given: items(given), previous: items() })
    expect(compute).toThrow(ComputationError)
    expect(compute).toThrow(message)
  })
})

test('a thousand items in a row are computed, and a thousand in a circle are refused', () => {
  const row = Object.fromEntries(Array.from({ length: 1_000 }, (_, index) => [`K${index}`, `@[K${index + 1}]`]))
  const end = computeItems({ definitions: [], given: items({ ...row, K1000: 'end' }), previous: items() })
  expect(end.every(({ value }) => value === 'end')).toBe(true)
  expect(() => computeItems({ definitions: [], given: items({ ...row, K1000: '@[K0]' }), previous: items() })).toThrow(
    /refers to itself/,
  )
})

test('items that refer to one another at random come to values or to a ComputationError', () => {
  const keys = ['A', 'B', 'C', 'D', 'E']
  const value = fc.oneof(
    fc.string({ maxLength: 5 }),
    fc.array(fc.constantFrom(...keys.map((key) => `@[${key}]`), 'x'), { maxLength: 4 }).map((parts) => parts.join('')),
    fc.constantFrom(...keys).map((key) => `#[concat(@[${key}], 1)]`),
  )
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...keys), value), (given) => {
      const compute = () => computeItems({ definitions: [], given: items(given), previous: items() })
      const failure = failureOf(compute)
      const computed = failure === undefined ? compute() : []
      expect(failure === undefined || failure instanceof ComputationError).toBe(true)
      expect(computed.every((item) => item.value !== undefined)).toBe(true)
    }),
    { numRuns: 1_000 },
  )
})
