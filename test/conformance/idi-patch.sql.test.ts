import * as v from 'valibot'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  DEFINITION_PATCHES,
  PROFILE_PATCHES,
  VARIABLE_PATCHES,
} from '../../src/provisioning/requests/model/patch-tables.ts'
import { NEW_ID, patchScenes, type Json, type PatchScene, type PatchView } from '../support/idi-patch-scenes.ts'
import { IdiRig, type RigEnvironment } from '../support/idi-rig.ts'
import { STORES } from '../support/records.ts'
import { DOCUMENTED_PATCHES } from './idi-patch-tables.ts'

const OPS = ['add', 'remove', 'replace', 'test', 'move', 'copy', '_get', 'Replace', ''] as const
const Definitions = v.object({ value: v.array(v.looseObject({ provisionableObjectDefinitionID: v.number() })) })
const RESOURCES = ['profile', 'definition', 'variable'] as const
/** Those with a list whose elements can be patched. */
const LISTED = ['definition', 'variable'] as const

/** Every operation on every property of the document's tables, and whether they allow it. */
const CASES = RESOURCES.flatMap((resource) =>
  Object.entries(DOCUMENTED_PATCHES[resource]).flatMap(([path, allowed]) =>
    OPS.map((op) => ({ resource, path, op, isAllowed: allowed.split(', ').includes(op) })),
  ),
)

test('the tables are those of the document', () => {
  const written = { profile: PROFILE_PATCHES, definition: DEFINITION_PATCHES, variable: VARIABLE_PATCHES }
  for (const resource of RESOURCES) {
    const table = Object.entries(written[resource]).map(([path, ops]) => [path, ops.join(', ')])
    expect(Object.fromEntries(table)).toEqual(DOCUMENTED_PATCHES[resource])
  }
})

describe.each(STORES)('JSON Patch in the IDI API, on %s', (store) => {
  let rig: IdiRig
  let environment: RigEnvironment
  let scenes: Awaited<ReturnType<typeof patchScenes>>
  beforeAll(async () => {
    rig = await IdiRig.start({ store })
    environment = await rig.addEnvironment()
    scenes = await patchScenes(rig, environment)
  })
  afterAll(() => rig.stop())

  const patch = (path: string, operations: readonly object[]) => rig.send(environment, 'PATCH', path, operations)

  describe('what the tables allow has its effect and no other', () => {
    test.each(CASES.filter(({ isAllowed }) => isAllowed))('$resource: $op $path', async ({ resource, path, op }) => {
      const scene = scenes[resource]
      for (const { whole, address } of placesOf(path, op)) {
        const target = await scene.make(whole)
        const before = await scene.view(target)
        const index = { index: 0, last: before.ids.length - 1, end: before.ids.length }[address.at]
        const name = address.isId ? String(before.ids[index]) : address.at === 'end' ? '-' : String(index)
        const effect = scene.effects?.[path]?.(before)
        const value = effect?.value ?? scene.values[path]
        const answer = await patch(target, [{ op, path: path.replace('#', name), value }])
        expect(answer).toMatchObject({ status: 204, body: undefined })
        const after = await scene.view(target)
        expect(after).toEqual(effect?.after ?? changed(before, { scene, path, op, index, value }))
        expect(after.document).not.toEqual(before.document)
      }
    })
  })

  describe('what they do not allow is refused, and nothing is changed', () => {
    test.each(CASES.filter(({ isAllowed }) => !isAllowed))('$resource: $op $path', async ({ resource, path, op }) => {
      const scene = scenes[resource]
      const target = await scene.make('full')
      const before = await scene.view(target)
      for (const name of path.includes('#') ? ['0', '-', String(before.ids[0])] : ['']) {
        const given = path.replace('#', name)
        const answer = await patch(target, [{ op, path: given, value: scene.values[path], from: '/name' }])
        expect(answer).toMatchObject(refusalOf(given))
      }
      expect(await scene.view(target)).toEqual(before)
    })
  })

  describe.each(RESOURCES)('of a %s', (resource) => {
    test.each(OPS)('%s is refused on everything that the tables do not name', async (op) => {
      const scene = scenes[resource]
      const target = await scene.make('full')
      const before = await scene.view(target)
      for (const path of scene.otherPaths) {
        expect(await patch(target, [{ op, path, value: 'patched', from: '/name' }])).toMatchObject(refusalOf(path))
      }
      expect(await scene.view(target)).toEqual(before)
    })
  })

  describe.each(LISTED)('of a %s', (resource) => {
    let scene: PatchScene
    let target: string
    let before: PatchView
    beforeEach(async () => {
      scene = scenes[resource]
      target = await scene.make('full')
      before = await scene.view(target)
    })

    test('what an optional property is without cannot be removed or replaced', async () => {
      const bare = await scene.make('bare')
      const was = await scene.view(bare)
      const optional = Object.entries(DOCUMENTED_PATCHES[resource]).filter(
        ([path, allowed]) => allowed.includes('add') && !path.endsWith('#'),
      )
      for (const [path] of optional) {
        const given = path.replace('#', '0')
        for (const op of ['remove', 'replace']) {
          expect(await patch(bare, [{ op, path: given, value: scene.values[path] }])).toMatchObject(refusalOf(given))
        }
      }
      expect(optional.length).toBeGreaterThan(0)
      expect(await scene.view(bare)).toEqual(was)
    })

    test('one operation that is refused undoes those before it', async () => {
      const good = [
        { op: 'replace', path: '/name', value: 'half way' },
        { op: 'remove', path: `/${scene.list}/0` },
        { op: 'add', path: `/${scene.list}/-`, value: scene.values[`/${scene.list}/#`] },
      ]
      expect(await patch(target, [...good, { op: 'remove', path: '/name' }])).toMatchObject(refusalOf('/name'))
      expect(await scene.view(target)).toEqual(before)
      expect((await patch(target, good)).status).toBe(204)
      expect((await scene.view(target)).document).toMatchObject({ name: 'half way' })
    })

    test('what comes out must be as a new one might be', async () => {
      const list = `/${scene.list}`
      const wrong: readonly (readonly [string, unknown])[] = [
        ['/name', ''],
        ['/name', 7],
        ['/name', null],
        ['/code', 'x'.repeat(201)],
        [`${list}/0`, {}],
        [`${list}/0`, null],
        [`${list}/0`, 'text'],
        [`${list}/0`, [1]],
        [`${list}/0`, { ...(scene.values[`${list}/#`] as object), surprise: 1 }],
        [`${list}/0/${resource === 'definition' ? 'name' : 'outcomeCode'}`, 'second'],
        [resource === 'definition' ? `${list}/0/dataTypeID` : '/dataTypeID', 99],
        [resource === 'definition' ? `${list}/0/dataTypeID` : '/dataTypeID', 6],
      ]
      for (const [path, value] of wrong) {
        const answer = await patch(target, [
          { op: 'replace', path: '/code', value: 'changed' },
          { op: 'replace', path, value },
        ])
        expect(answer.status).toBe(400)
        expect(answer.body).toEqual({
          errors: expect.arrayContaining([expect.objectContaining({ loggingNumber: 500_002 })]),
        })
      }
      expect(await scene.view(target)).toEqual(before)
    })

    test('its code and name stay unique', async () => {
      const other = await scene.view(await scene.make('bare'))
      for (const field of ['code', 'name']) {
        expect(await patch(target, [{ op: 'replace', path: `/${field}`, value: other.document[field] }])).toMatchObject(
          {
            status: 400,
            body: { errors: [{ field, loggingNumber: 500_002, message: expect.stringContaining('must be unique') }] },
          },
        )
      }
      const same = ['code', 'name'].map((field) => ({
        op: 'replace',
        path: `/${field}`,
        value: before.document[field],
      }))
      expect((await patch(target, same)).status).toBe(204)
      expect(await scene.view(target)).toEqual(before)
    })

    test('a value is required of add and replace, and only of them', async () => {
      for (const op of ['add', 'replace']) {
        expect(await patch(target, [{ op, path: `/${scene.list}/0` }])).toMatchObject({
          status: 400,
          body: { errors: [{ field: 'value', loggingNumber: 500_002 }] },
        })
      }
      expect((await patch(target, [{ op: 'remove', path: `/${scene.list}/0` }])).status).toBe(204)
      expect((await scene.view(target)).ids).toEqual(before.ids.slice(1))
    })

    test.each([
      [{}],
      [{ op: 'replace', path: '/name', value: 'x' }],
      [[1]],
      [[null]],
      [[{ path: '/name', value: 'x' }]],
      [[{ op: 'replace', value: 'x' }]],
      [[{ op: 'replace', path: 7, value: 'x' }]],
      [Array.from({ length: 1_001 }, () => ({ op: 'replace', path: '/name', value: 'x' }))],
    ])('%j is no patch', async (body) => {
      const answer = await rig.send(environment, 'PATCH', target, body)
      expect(answer).toMatchObject({ status: 400, body: { errors: [{ loggingNumber: 500_002 }] } })
      expect(await scene.view(target)).toEqual(before)
    })

    test('names that would change what all objects have are refused', async () => {
      const body = `[{"op": "replace", "path": "/${scene.list}/0", "value": {"__proto__": {"polluted": true}}}]`
      expect((await rig.send(environment, 'PATCH', target, body)).status).toBe(400)
      expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false)
      expect(await scene.view(target)).toEqual(before)
    })

    test('no operation at all changes nothing, not even who changed it last', async () => {
      const read = async () => (await rig.send(environment, 'GET', target)).body
      const was = await read()
      const name = { op: 'replace', path: '/name', value: before.document['name'] }
      expect((await patch(target, [])).status).toBe(204)
      expect((await patch(target, [name])).status).toBe(204)
      expect(await read()).toEqual(was)
    })

    test('codes and sequence numbers may be swapped in one patch', async () => {
      const list = before.document[scene.list] as readonly Json[]
      const properties = resource === 'definition' ? ['name'] : ['outcomeCode', 'sequenceNumber']
      const swap = properties.flatMap((name) => [
        { op: 'replace', path: `/${scene.list}/0/${name}`, value: list[1]?.[name] },
        { op: 'replace', path: `/${scene.list}/1/${name}`, value: list[0]?.[name] },
      ])
      expect((await patch(target, swap)).status).toBe(204)
      const after = await scene.view(target)
      expect(after.ids).toEqual(resource === 'definition' ? before.ids : before.ids.toReversed())
    })

    test('patches that come at the same time all have their effect', async () => {
      const value = scene.values[`/${scene.list}/#`] as object
      const added = [3, 4, 5, 6].map((number) =>
        resource === 'definition'
          ? { ...value, name: `at once ${number}` }
          : { ...value, outcomeCode: `at once ${number}`, sequenceNumber: number },
      )
      const answers = await Promise.all(
        added.map((element) => patch(target, [{ op: 'add', path: `/${scene.list}/-`, value: element }])),
      )
      expect(answers.map(({ status }) => status)).toEqual([204, 204, 204, 204])
      expect((await scene.view(target)).document[scene.list]).toEqual(expect.arrayContaining(added))
    })
  })

  describe('of the definition of a product', () => {
    let scene: PatchScene
    let target: string
    let before: PatchView
    beforeEach(async () => {
      environment = await rig.addEnvironment()
      const { body } = await rig.send(
        environment,
        'GET',
        "provisionableObjectDefinition?$filter=createUser eq 'engine'&$top=1",
      )
      const [definition] = v.parse(Definitions, body).value
      target = `provisionableObjectDefinition/${definition?.provisionableObjectDefinitionID}`
      scene = (await patchScenes(rig, environment)).definition
      before = await scene.view(target)
    })

    test.each([
      [{ op: 'replace', path: '/code', value: 'another' }, 'code'],
      [{ op: 'remove', path: '/dataDefinitions/0' }, 'dataDefinitions'],
      [{ op: 'replace', path: '/dataDefinitions/0/name', value: 'another' }, 'dataDefinitions'],
      [{ op: 'replace', path: '/dataDefinitions/0/dataTypeID', value: 4 }, 'dataDefinitions'],
      [{ op: 'replace', path: '/dataDefinitions/0', value: { name: 'another', dataTypeID: 7 } }, 'dataDefinitions'],
    ])('the code and what is built in stay: %j', async (operation, field) => {
      expect(await patch(target, [operation])).toMatchObject({
        status: 400,
        body: { errors: [{ field, loggingNumber: 500_002 }] },
      })
      expect(await scene.view(target)).toEqual(before)
    })

    test('the rest may be changed', async () => {
      const answer = await patch(target, [
        { op: 'replace', path: '/name', value: `of ${target}` },
        { op: 'add', path: '/dataDefinitions/0', value: { name: 'more', dataTypeID: 3 } },
        { op: 'replace', path: '/dataDefinitions/1/isVisible', value: false },
        { op: 'replace', path: '/dataDefinitions/1/description', value: 'in E.164' },
      ])
      expect(answer).toMatchObject({ status: 204 })
      const after = await scene.view(target)
      expect(after.ids.slice(1)).toEqual(before.ids)
      expect(after.document).toMatchObject({
        name: `of ${target}`,
        dataDefinitions: expect.arrayContaining([
          expect.objectContaining({ name: 'more' }),
          expect.objectContaining({ name: 'Number', isVisible: false, description: 'in E.164' }),
        ]),
      })
    })
  })
})

type Place = {
  readonly whole: 'full' | 'bare'
  readonly address: { readonly at: 'index' | 'last' | 'end'; readonly isId?: true }
}

/** Where an operation is tried: elements by index and by id, and for one that is added, behind the last one. */
function placesOf(path: string, op: string): readonly Place[] {
  const here: Place = { whole: 'full', address: { at: 'index' } }
  const isProperty = !path.endsWith('#')
  return [
    here,
    ...(isProperty && op === 'add' ? [{ ...here, whole: 'bare' as const }] : []),
    ...(path.includes('#') ? [{ ...here, address: { at: 'last' as const, isId: true as const } }] : []),
    ...(!isProperty && op === 'add' ? [{ ...here, address: { at: 'end' as const } }] : []),
  ]
}

/** What a resource is expected to be after one operation: written without the library that applies it. */
function changed(
  { document, ids }: PatchView,
  done: {
    readonly scene: PatchScene
    readonly path: string
    readonly op: string
    readonly index: number
    readonly value: unknown
  },
): { readonly document: Json; readonly ids: readonly unknown[] } {
  const { scene, path, op, index, value } = done
  const property = path.split('/').at(-1) ?? ''
  const elements = document[scene.list] as readonly Json[]
  const set = (object: Json): Json => {
    const { [property]: _, ...others } = object
    return op === 'remove' ? others : { ...others, [property]: value }
  }
  if (!path.includes('#')) return { document: set(document), ids }
  const count = op === 'add' ? 0 : 1
  const list = path.endsWith('#')
    ? elements.toSpliced(index, count, ...(op === 'remove' ? [] : [value as Json]))
    : elements.with(index, set(elements[index] ?? {}))
  const newIds: readonly unknown[] = !path.endsWith('#')
    ? ids
    : op === 'replace'
      ? ids
      : (ids as readonly unknown[]).toSpliced(index, count, ...(op === 'add' ? [NEW_ID] : []))
  if (scene.list !== 'outcomes') return { document: { ...document, [scene.list]: list }, ids: newIds }
  // Outcomes are shown by their sequence numbers.
  const sorted = list
    .map((element, at) => ({ element, id: newIds[at] }))
    .toSorted((left, right) => Number(left.element['sequenceNumber']) - Number(right.element['sequenceNumber']))
  return { document: { ...document, outcomes: sorted.map(({ element }) => element) }, ids: sorted.map(({ id }) => id) }
}

const refusalOf = (path: string) => ({
  status: 400,
  body: {
    errors: [{ field: 'path', loggingNumber: 500_002, message: `Value for argument 'path' is not valid '${path}'.` }],
  },
})
