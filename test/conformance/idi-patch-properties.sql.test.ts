import jsonPatch, { type Operation } from 'fast-json-patch'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { patchScenes, type Json, type PatchScene } from '../support/idi-patch-scenes.ts'
import { IdiRig, type RigEnvironment } from '../support/idi-rig.ts'
import { STORES } from '../support/records.ts'
import { DOCUMENTED_PATCHES, type PatchedResource } from './idi-patch-tables.ts'

const { applyPatch } = jsonPatch
const RUNS = 80

type ListedResource = Exclude<PatchedResource, 'profile'>
type GivenOperation = { readonly op: string; readonly path: string; readonly value: unknown }
type Kind = {
  readonly element: fc.Arbitrary<Json>
  readonly properties: Readonly<Record<string, fc.Arbitrary<unknown>>>
  /** Whether a resource like this could have been made, in words of the test's own. */
  readonly isValid: (document: Json) => boolean
  /** As answers have it. */
  readonly shown: (document: Json) => unknown
}

/** Mostly what can be, and now and then what cannot. */
const mostly = <Value>(good: fc.Arbitrary<Value>, bad: fc.Arbitrary<Value>): fc.Arbitrary<Value> =>
  fc.oneof({ arbitrary: good, weight: 9 }, { arbitrary: bad, weight: 1 })

const name = mostly(
  fc.integer({ min: 1, max: 30 }).map((number) => `name ${number}`),
  fc.constantFrom('first', 'second', ''),
)
const text = mostly(fc.constantFrom('6', '@[first]', '', null), fc.constant('x'))
const dataTypeID = mostly(fc.constantFrom(3, 4), fc.constant(99))
const sequenceNumber = mostly(fc.integer({ min: 0, max: 60 }), fc.constant(-1))
const outcomeValue = mostly(fc.constantFrom('1', '2'), fc.constant('x'))
const options = fc.subarray([1, 2, 3, 4, 5]).map((transitions) =>
  transitions.map((provisionedObjectTransitionID) => ({
    isRequired: true,
    isVisible: false,
    provisionedObjectTransitionID,
  })),
)
const isName = (value: unknown): boolean => typeof value === 'string' && value.trim() !== ''
const hasEachOnce = (values: readonly unknown[]): boolean => new Set(values).size === values.length
const listOf = (document: Json, list: string) => document[list] as readonly Json[]
const withoutNulls = (object: Json): Json =>
  Object.fromEntries(Object.entries(object).filter(([, value]) => value !== null))

const KINDS: Readonly<Record<ListedResource, Kind>> = {
  definition: {
    element: fc.record(
      {
        name,
        dataTypeID,
        defaultValue: text,
        description: text,
        isRequired: fc.boolean(),
        isVisible: fc.boolean(),
        transitionOptions: options,
      },
      { requiredKeys: ['name', 'dataTypeID', 'isRequired', 'isVisible', 'transitionOptions'] },
    ),
    properties: {
      name,
      dataTypeID,
      defaultValue: text,
      description: text,
      isRequired: fc.boolean(),
      isVisible: fc.boolean(),
      listID: mostly(fc.constantFrom(1, 2), fc.constant(0)),
      transitionOptions: options,
      nothing: text,
    },
    isValid: (document) =>
      isName(document['name']) &&
      hasEachOnce(listOf(document, 'dataDefinitions').map((data) => data['name'])) &&
      listOf(document, 'dataDefinitions').every(
        (data) =>
          isName(data['name']) &&
          data['dataTypeID'] !== 99 &&
          data['listID'] !== 0 &&
          (data['dataTypeID'] === 3 || !['x'].includes(String(data['defaultValue']))),
      ),
    shown: (document) => ({
      ...withoutNulls(document),
      dataDefinitions: listOf(document, 'dataDefinitions').map(withoutNulls),
    }),
  },
  variable: {
    element: fc.record(
      {
        outcomeCode: name,
        displayValue: text,
        sequenceNumber,
        value: outcomeValue,
      },
      { requiredKeys: ['outcomeCode', 'sequenceNumber', 'value'] },
    ),
    properties: {
      outcomeCode: name,
      displayValue: text,
      sequenceNumber,
      value: outcomeValue,
      nothing: text,
    },
    isValid: (document) => {
      const outcomes = listOf(document, 'outcomes')
      return (
        isName(document['name']) &&
        document['dataTypeID'] !== 99 &&
        hasEachOnce(outcomes.map((outcome) => outcome['outcomeCode'])) &&
        hasEachOnce(outcomes.map((outcome) => outcome['sequenceNumber'])) &&
        outcomes.every(
          (outcome) =>
            isName(outcome['outcomeCode']) &&
            Number(outcome['sequenceNumber']) >= 0 &&
            (document['dataTypeID'] === 3 || outcome['value'] !== 'x'),
        )
      )
    },
    shown: (document) => ({
      ...document,
      outcomes: listOf(document, 'outcomes')
        .toSorted((left, right) => Number(left['sequenceNumber']) - Number(right['sequenceNumber']))
        .map(withoutNulls),
    }),
  },
}

function patches(resource: ListedResource, list: string): fc.Arbitrary<readonly GivenOperation[]> {
  const { element, properties } = KINDS[resource]
  const table: Readonly<Record<string, string>> = DOCUMENTED_PATCHES[resource]
  const anyOp = fc.constantFrom('add', 'remove', 'replace')
  const opFor = (pattern: string) => mostly(fc.constantFrom(...(table[pattern] ?? 'replace').split(', ')), anyOp)
  const of = (pattern: string, given: fc.Arbitrary<unknown>) =>
    fc.record({
      op: opFor(pattern),
      path: mostly(fc.constantFrom('0', '0', '1'), fc.constantFrom('2', '-')).map((at) => pattern.replace('#', at)),
      value: given,
    })
  const whole = of(`/${list}/#`, element)
  const ofProperty = fc
    .constantFrom(...Object.keys(properties))
    .chain((property) => of(`/${list}/#/${property}`, properties[property] ?? text))
  const own = fc.oneof(of('/name', name), of('/description', text), of('/dataTypeID', dataTypeID))
  return fc.array(fc.oneof({ arbitrary: ofProperty, weight: 3 }, whole, own), { minLength: 1, maxLength: 4 })
}

/** The document as RFC 6902 leaves it, if the document's table allows each operation; undefined if not. */
function applied(document: Json, patch: readonly GivenOperation[], resource: ListedResource, list: string) {
  const isAllowed = patch.every(({ op, path }) => {
    const pattern = path.replace(new RegExp(`^/${list}/[^/]+`), `/${list}/#`)
    const table: Readonly<Record<string, string>> = DOCUMENTED_PATCHES[resource]
    return table[pattern]?.split(', ').includes(op) === true
  })
  if (!isAllowed) return undefined
  try {
    return applyPatch(structuredClone(document), structuredClone(patch) as Operation[], true).newDocument
  } catch {
    return undefined
  }
}

describe.each(STORES)('any JSON Patch, on %s', (store) => {
  let rig: IdiRig
  let environment: RigEnvironment
  let scenes: Readonly<Record<ListedResource, PatchScene>>
  beforeAll(async () => {
    rig = await IdiRig.start({ store })
    environment = await rig.addEnvironment()
    scenes = await patchScenes(rig, environment)
  })
  afterAll(() => rig.stop())

  test.each(['definition', 'variable'] as const)('of a %s is applied whole, or changes nothing', async (resource) => {
    const scene = scenes[resource]
    const { isValid, shown } = KINDS[resource]
    let target = await scene.make('full')
    const counts = { applied: 0, refused: 0 }
    await fc.assert(
      fc.asyncProperty(patches(resource, scene.list), async (operations) => {
        const before = await scene.view(target)
        // Of one that has lost its elements, little can be told.
        if (before.ids.length === 0) target = await scene.make('full')
        const { document } = before.ids.length === 0 ? await scene.view(target) : before
        // No two have one name, also of those that were made before.
        const patch = operations.map((operation) =>
          operation.path === '/name' && operation.value !== ''
            ? { ...operation, value: `${target} ${String(operation.value)}` }
            : operation,
        )
        const wanted = applied(document, patch, resource, scene.list)
        const isWanted = wanted !== undefined && isValid(wanted)
        counts[isWanted ? 'applied' : 'refused'] += 1
        const answer = await rig.send(environment, 'PATCH', target, patch)
        expect(answer.status).toBe(isWanted ? 204 : 400)
        expect((await scene.view(target)).document).toEqual(isWanted ? shown(wanted) : document)
      }),
      { numRuns: RUNS },
    )
    expect(counts.applied).toBeGreaterThan(5)
    expect(counts.refused).toBeGreaterThan(5)
  })
})
