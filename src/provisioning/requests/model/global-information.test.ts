import { describe, expect, test } from 'vitest'
import { DataTypeRules } from './data-type-rules.ts'
import { changeItem, maskItem, type GlobalInformationChange, type GlobalInformationItem } from './global-information.ts'

const rule = (validationRegexStrict: string, loose = validationRegexStrict) => ({
  validation: 'The value must be right.',
  validationRegex: loose,
  validationRegexStrict,
})
const rules = new DataTypeRules(
  new Map([
    [3, rule('^[\\s\\S]*$')],
    [4, rule('^[0-9]*$', '^(([0-9]*)|([\\s\\S]*(@|#)\\[[\\s\\S]*))$')],
  ]),
)
const change = (before: GlobalInformationItem | undefined, more: Partial<GlobalInformationChange>) =>
  changeItem(before, { name: 'Key', ...more }, { rules, place: '2' })

const OPEN = { name: 'Key', dataTypeId: 3, isProtected: false, listId: 2, value: 'abc' }
const SECRET = { ...OPEN, isProtected: true }
const refusal = (field: string) => expect.objectContaining({ fields: { errors: [expect.objectContaining({ field })] } })

describe('an item that is changed', () => {
  test('is text and open, unless it is said otherwise', () => {
    expect(change(undefined, {})).toEqual({ name: 'Key', dataTypeId: 3, isProtected: false })
  })

  test('keeps what is absent from the change', () => {
    expect(change(SECRET, {})).toEqual(SECRET)
    expect(change(OPEN, { listID: 5 })).toEqual({ ...OPEN, listId: 5 })
  })

  test('takes the mask for the value that there is, if it is protected, and for text otherwise', () => {
    expect(change(SECRET, { value: '********' })).toEqual(SECRET)
    expect(change(OPEN, { value: '********', isProtected: true })).toEqual(SECRET)
    expect(change(OPEN, { value: '********' })).toEqual({ ...OPEN, value: '********' })
    expect(() => change(undefined, { value: '********', isProtected: true })).toThrow(refusal('2.value'))
  })

  test('does not give its value away when it is unprotected', () => {
    expect(() => change(SECRET, { isProtected: false })).toThrow(refusal('2.value'))
    expect(() => change(SECRET, { isProtected: false, value: '********' })).toThrow(refusal('2.value'))
    // Nor what it is like.
    expect(() => change({ ...SECRET, value: '123' }, { dataTypeID: 4 })).toThrow(refusal('2.value'))
    expect(change(SECRET, { dataTypeID: 3 })).toEqual(SECRET)
    expect(change(SECRET, { dataTypeID: 4, value: '5' })).toEqual({ ...SECRET, dataTypeId: 4, value: '5' })
    expect(change(SECRET, { isProtected: false, value: 'known' })).toEqual({ ...OPEN, value: 'known' })
  })

  test('is of its data type, also when only that changes; what is computed later is of any', () => {
    expect(() => change(OPEN, { dataTypeID: 4 })).toThrow(refusal('2.value'))
    expect(() => change(undefined, { dataTypeID: 4, value: 'x' })).toThrow(refusal('2.value'))
    expect(change(OPEN, { dataTypeID: 4, value: '@[Count]' })).toEqual({ ...OPEN, dataTypeId: 4, value: '@[Count]' })
    expect(() => change(undefined, { dataTypeID: 99 })).toThrow(refusal('2.dataTypeID'))
  })
})

test('only protected values are masked', () => {
  expect(maskItem(SECRET)).toEqual({ ...SECRET, value: '********' })
  expect(maskItem(OPEN)).toEqual(OPEN)
  expect(maskItem({ name: 'Key', dataTypeId: 3, isProtected: true })).not.toHaveProperty('value')
})
