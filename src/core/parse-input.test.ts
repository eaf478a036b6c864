import * as fc from 'fast-check'
import * as v from 'valibot'
import { failureOf } from '../../test/support/failure-of.ts'
import { describe, expect, it } from 'vitest'
import { isGatewayError } from './errors.ts'
import { parseInput } from './parse-input.ts'

const schema = v.strictObject({
  name: v.string(),
  port: v.optional(v.pipe(v.number(), v.minValue(1))),
  xsp: v.optional(v.array(v.pipe(v.string(), v.regex(/^https:/, 'must be an HTTPS URL')))),
})

function errorsOf(input: unknown, prefix?: string): unknown {
  try {
    parseInput(schema, input, prefix)
  } catch (error) {
    if (isGatewayError(error, 'invalid_request')) return error.fields['errors']
    throw error
  }
  return undefined
}

describe('parseInput', () => {
  it('names a missing, an unknown and a mistyped field at once', () => {
    expect(errorsOf({ port: 'x', extra: 1 })).toEqual([
      { field: 'name', message: 'is required' },
      { field: 'port', message: 'must be a number' },
      { field: 'extra', message: 'is not a known field' },
    ])
  })

  it('names an element of a list below the prefix, in the words of the schema', () => {
    expect(errorsOf({ name: 'a', xsp: ['https://a', 'ftp://b'] }, 'config')).toEqual([
      { field: 'config.xsp.1', message: 'must be an HTTPS URL' },
    ])
  })

  it('says of a body that is no object what it must be', () => {
    expect(errorsOf(null)).toEqual([{ field: '', message: 'must be an object' }])
    expect(errorsOf(null, 'config')).toEqual([{ field: 'config', message: 'must be an object' }])
  })

  it('tells about 20 fields at most', () => {
    expect(errorsOf({ name: 'a', xsp: Array.from({ length: 50 }, () => 'ftp:') })).toHaveLength(20)
  })

  it('never repeats what it received', () => {
    const secret = fc.string({ minLength: 12 }).map((text) => `hunter2-${text}`)
    fc.assert(
      fc.property(secret, fc.constantFrom('name', 'port', 'xsp'), (value, field) => {
        const input = field === 'name' ? { name: [value] } : { name: 'a', [field]: value }
        expect(JSON.stringify(errorsOf(input))).not.toContain('hunter2')
      }),
    )
  })
})

it.each([
  [[], ''],
  [{ filter: [] }, 'filter'],
  [{ labels: [] }, 'labels'],
  [{ items: [{ at: {} }, { at: [] }] }, 'items.1.at'],
  [[{ filter: {} }], ''],
])('a list is not taken for an object whose names are all optional: %j', (input, field) => {
  const nested = v.object({
    filter: v.optional(v.strictObject({ city: v.optional(v.string()) })),
    labels: v.optional(v.pipe(v.record(v.string(), v.string()), v.description('yours'))),
    items: v.optional(v.array(v.object({ at: v.optional(v.object({})) }))),
  })
  expect(failureOf(() => parseInput(nested, input))).toMatchObject({
    code: 'invalid_request',
    fields: { errors: [{ field, message: 'must be an object' }] },
  })
})
