import jsonPatch, { type Operation } from 'fast-json-patch'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { patchScenes, type Json, type PatchScene, type ScenicResource } from '../support/idi-patch-scenes.ts'
import { IdiRig, type RigEnvironment } from '../support/idi-rig.ts'
import { STORES } from '../support/records.ts'
import { DOCUMENTED_PATCHES } from './idi-patch-tables.ts'

const { applyPatch } = jsonPatch
const RUNS = 80

type GivenOperation = { readonly op: string; readonly path: string; readonly value: unknown }
type Kind = {
  readonly element: fc.Arbitrary<Json>
  readonly properties: Readonly<Record<string, fc.Arbitrary<unknown>>>
  /** Whether a resource like this could have been made, in words of the test's own. */
  readonly isValid: (document: Json) => boolean
  /** As answers have it. */
  readonly shown: (document: Json) => unknown
}

const name = fc.constantFrom('first', 'second', 'third', 'fourth', '')
const text = fc.oneof(fc.constantFrom('6', '@[first]', 'x', ''), fc.constant(null))
const dataTypeID = fc.constantFrom(3, 3, 4, 99)
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

const KINDS: Readonly<Record<ScenicResource, Kind>> = {
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
      listID: fc.constantFrom(1, 2, 0),
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
        sequenceNumber: fc.integer({ min: -1, max: 4 }),
        value: fc.constantFrom('1', '2', 'x'),
      },
      { requiredKeys: ['outcomeCode', 'sequenceNumber', 'value'] },
    ),
    properties: {
      outcomeCode: name,
      displayValue: text,
      sequenceNumber: fc.integer({ min: -1, max: 4 }),
      value: fc.constantFrom('1', '2', 'x'),
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

function patches(resource: ScenicResource, list: string): fc.Arbitrary<readonly GivenOperation[]> {
  const { element, properties } = KINDS[resource]
  const op = fc.constantFrom('add', 'remove', 'replace', 'replace', 'replace')
  const address = fc.constantFrom('0', '0', '1', '2', '-')
  const own = fc.oneof(
    fc.record({ op, path: fc.constantFrom('/name', '/description'), value: name }),
    fc.record({ op, path: fc.constant('/dataTypeID'), value: dataTypeID }),
  )
  const ofElement = fc.record({ op, path: address.map((at) => `/${list}/${at}`), value: element })
  const ofProperty = fc
    .tuple(op, address, fc.constantFrom(...Object.keys(properties)))
    .chain(([chosen, at, property]) =>
      fc.record({
        op: fc.constant(chosen),
        path: fc.constant(`/${list}/${at}/${property}`),
        value: properties[property] ?? text,
      }),
    )
  return fc.array(fc.oneof(own, ofElement, ofProperty, ofProperty), { minLength: 1, maxLength: 5 })
}

/** The document as RFC 6902 leaves it, if the document's table allows each operation; undefined if not. */
function applied(document: Json, patch: readonly GivenOperation[], resource: ScenicResource, list: string) {
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
  let scenes: Readonly<Record<ScenicResource, PatchScene>>
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
      fc.asyncProperty(patches(resource, scene.list), async (patch) => {
        const before = await scene.view(target)
        // Of one that has lost its elements, little can be told.
        if (before.ids.length === 0) target = await scene.make('full')
        const { document } = before.ids.length === 0 ? await scene.view(target) : before
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
