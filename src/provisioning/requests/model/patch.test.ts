import jsonPatch, { type Operation } from 'fast-json-patch'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isGatewayError } from '../../../core/errors.ts'
import { applyPatch, type Patch } from './patch.ts'
import { DEFINITION_PATCHES, PROFILE_PATCHES } from './patch-tables.ts'

const { applyPatch: applyWholePatch } = jsonPatch

const dataDefinition = (name: string) => ({ name, dataTypeID: 3, isRequired: true, isVisible: true })
const DOCUMENT = { code: 'A', name: 'a', dataDefinitions: [dataDefinition('x'), dataDefinition('y')] }
const list = { name: 'dataDefinitions', ids: [10_001, 10_002] }
const patched = (...patch: Patch) => applyPatch(patch, { table: DEFINITION_PATCHES, document: DOCUMENT, list })
const refusal = (...patch: Patch): unknown => {
  try {
    return patched(...patch)
  } catch (error) {
    return isGatewayError(error) ? error.detail : error
  }
}

describe('a patch of a document', () => {
  test('elements are named by index and by id, which follows its element', () => {
    expect(
      patched(
        { op: 'add', path: '/dataDefinitions/0', value: dataDefinition('new') },
        { op: 'replace', path: '/dataDefinitions/10002/name', value: 'of 10002' },
        { op: 'remove', path: '/dataDefinitions/10001' },
        { op: 'replace', path: '/dataDefinitions/0/name', value: 'of the new one' },
        { op: 'add', path: '/dataDefinitions/-', value: dataDefinition('last') },
      ),
    ).toEqual({
      document: {
        code: 'A',
        name: 'a',
        dataDefinitions: [dataDefinition('of the new one'), dataDefinition('of 10002'), dataDefinition('last')],
      },
      ids: [undefined, 10_002, undefined],
    })
  })

  test('an element that is replaced keeps its id', () => {
    const { ids } = patched({ op: 'replace', path: '/dataDefinitions/1', value: dataDefinition('z') })
    expect(ids).toEqual([10_001, 10_002])
  })

  test('the document that was given stays as it is', () => {
    patched({ op: 'replace', path: '/name', value: 'b' }, { op: 'remove', path: '/dataDefinitions/0' })
    expect(DOCUMENT).toMatchObject({ name: 'a', dataDefinitions: [{ name: 'x' }, { name: 'y' }] })
  })

  test.each([
    ['/'],
    [''],
    ['name'],
    ['/name/'],
    ['/Name'],
    ['/dataDefinitions'],
    ['/dataDefinitions/#'],
    ['/dataDefinitions/-'],
    ['/dataDefinitions/2'],
    ['/dataDefinitions/00'],
    ['/dataDefinitions/+1'],
    ['/dataDefinitions/4294967296'],
    ['/dataDefinitions/10003'],
    ['/dataDefinitions/-/name'],
    ['/dataDefinitions/2/name'],
    ['/dataDefinitions/0/nothing'],
    ['/dataDefinitions/length'],
    ['/dataDefinitions/0/transitionOptions/0'],
    ['/description'],
    ['/dataDefinitions/0/listID'],
    ['/__proto__'],
    ['/__proto__/polluted'],
    ['/constructor/prototype/polluted'],
    ['/dataDefinitions/0/__proto__'],
    ['/dataDefinitions/__proto__/name'],
    ['/toString'],
    ['/~0'],
  ])('to replace what is not there is refused, naming the path: %s', (path) => {
    const value = dataDefinition('z')
    expect(refusal({ op: 'replace', path, value })).toBe(`Value for argument 'path' is not valid '${path}'.`)
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false)
  })

  test.each(['test', 'move', 'copy', '_get', 'Replace', '', 'toString'])('there is no operation %j', (op) => {
    expect(refusal({ op, path: '/name', value: 'a' })).toBe("Value for argument 'path' is not valid '/name'.")
  })

  test('add and replace need a value, which is not nested without end', () => {
    let deep: unknown = 1
    for (let depth = 0; depth < 100_000; depth += 1) deep = [deep]
    expect(refusal({ op: 'replace', path: '/name' })).toBe('value: is required')
    expect(refusal({ op: 'replace', path: '/name', value: deep })).toBe('value: is nested too deeply')
  })

  test('what an operation made of an element, the next one does not take for one', () => {
    for (const value of [null, 'text', 7, []]) {
      const path = '/dataDefinitions/0/name'
      expect(refusal({ op: 'replace', path: '/dataDefinitions/0', value }, { op: 'replace', path, value: 'x' })).toBe(
        `Value for argument 'path' is not valid '${path}'.`,
      )
    }
  })

  test('a resource without a list has no elements', () => {
    const patch = [{ op: 'add', path: '/addProfileScenarios', value: [{ providerActionID: 1 }] }]
    expect(applyPatch(patch, { table: PROFILE_PATCHES, document: { name: 'p' } }).document).toEqual({
      name: 'p',
      addProfileScenarios: [{ providerActionID: 1 }],
    })
  })
})

const value = fc.oneof(
  fc.string(),
  fc.integer(),
  fc.constant(null),
  fc.record({ name: fc.string(), dataTypeID: fc.integer() }),
)
const token = fc.constantFrom('0', '1', '2', '3', '-')
const path = fc.oneof(
  fc.constantFrom('/code', '/name', '/description', '/other', '/dataDefinitions'),
  token.map((element) => `/dataDefinitions/${element}`),
  fc
    .tuple(token, fc.constantFrom('name', 'listID', 'defaultValue', 'other'))
    .map(([element, name]) => `/dataDefinitions/${element}/${name}`),
)
const operation = fc.record({ op: fc.constantFrom('add', 'remove', 'replace', 'test'), path, value })

describe('any patch', () => {
  test('does what RFC 6902 says, or is refused', () => {
    let applied = 0
    const run = (patch: Patch) => {
      const mine = patched(...patch)
      applied += 1
      const theirs = applyWholePatch(structuredClone(DOCUMENT), structuredClone(patch) as Operation[], true)
      expect(mine.document).toEqual(theirs.newDocument)
      expect(mine.ids).toHaveLength(theirs.newDocument.dataDefinitions.length)
    }
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 4 }), (patch) => {
        try {
          run(patch)
        } catch (error) {
          if (!isGatewayError(error) || error.code !== 'invalid_request') throw error
        }
      }),
      { numRuns: 2_000 },
    )
    expect(applied).toBeGreaterThan(200)
  })
})
