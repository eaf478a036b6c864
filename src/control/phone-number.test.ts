import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isSameNumber, toDialable, toE164 } from './phone-number.ts'

describe('toE164', () => {
  it.each([
    ['+15129104114', '+15129104114'],
    ['+1 (512) 910-4114', '+15129104114'],
    [' +44 20 7946 0018 ', '+442079460018'],
    ['+15550000001', '+15550000001'],
  ])('%j is %s', (text, number) => {
    expect(toE164(text)).toBe(number)
  })

  it.each([
    ['', 'empty'],
    ['+', 'only the plus'],
    ['15129104114', 'no plus'],
    ['+1512910411', 'a digit too few for its country'],
    ['+151291041141', 'a digit too many for its country'],
    ['+999123456789', 'no such country'],
    ['+1512910CALL', 'letters'],
    ['+15129104114;ext=12', 'an extension'],
    ['+15129104114 x12', 'an extension'],
    ['tel:+15129104114', 'a URI'],
    ['+15129104114+15129104115', 'two numbers'],
    ['+1\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669', 'digits of another script'],
    [`+1${'5'.repeat(100)}`, 'far too long'],
  ])('%j is refused: %s', (text) => {
    expect(toE164(text)).toBeUndefined()
  })

  it('gives E.164 or nothing, for any text', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^\+[\d ()-]{0,20}$/)), (text) => {
        const number = toE164(text)
        expect(number === undefined || /^\+[1-9]\d{3,14}$/.test(number)).toBe(true)
      }),
    )
  })
})

describe('toDialable', () => {
  it('takes extensions of 2 to 10 digits', () => {
    expect(toDialable('42')).toBe('42')
    expect(toDialable('1002')).toBe('1002')
    expect(toDialable('5129104114')).toBe('5129104114')
  })

  it.each(['7', '15129104114', '*72', '*72+15129104114', '#31#', '1002#', '10 02', '1;2', 'alice', '-12'])(
    'refuses %j',
    (text) => {
      expect(toDialable(text)).toBeUndefined()
    },
  )
})

describe('isSameNumber', () => {
  it.each([
    ['+15129104114', '+15129104114'],
    ['15129104114', '+15129104114'],
    ['5129104114', '+15129104114'],
    ['tel:+1-512-910-4114', '+15129104114'],
    ['1002', '1002'],
  ])('%s is %s', (reported, dialled) => {
    expect(isSameNumber(reported, dialled)).toBe(true)
  })

  it.each([
    ['', ''],
    ['+15129104115', '+15129104114'],
    ['104114', '+15129104114'],
    ['+15550001002', '1002'],
    ['', '+15129104114'],
  ])('%j is not %j', (reported, dialled) => {
    expect(isSameNumber(reported, dialled)).toBe(false)
  })
})
