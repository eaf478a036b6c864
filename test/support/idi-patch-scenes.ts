import * as v from 'valibot'
import { expect } from 'vitest'
import type { PatchedResource } from '../conformance/idi-patch-tables.ts'
import type { IdiRig, RigEnvironment } from './idi-rig.ts'

export type Json = Readonly<Record<string, unknown>>

/** A resource as a patch sees it. */
export type PatchView = {
  readonly document: Json
  /** Of the elements of its list. */
  readonly ids: readonly number[]
}

/** One kind of resource that can be patched. */
export type PatchScene = {
  /** The list in it that has ids. */
  readonly list: string
  /** Makes one: with two elements and everything set, or with all left out that may be; resolves to its path. */
  readonly make: (whole: 'full' | 'bare') => Promise<string>
  readonly view: (path: string) => Promise<PatchView>
  /** What each property may be set to, by its path in the document's table; none is what it is. */
  readonly values: Json
  /** Of properties that are none of the resource itself: a value for one, and what then becomes of the resource. */
  readonly effects?: Readonly<
    Record<string, (before: PatchView) => { readonly value: unknown; readonly after: object }>
  >
  /** Paths that are not in the document's table, nor there at all. */
  readonly otherPaths: readonly string[]
}

/** Of an element that a patch added. */
export const NEW_ID: unknown = expect.any(Number)

const OTHER_PATHS = [
  '',
  '/',
  '//',
  'name',
  '/name/',
  '/Name',
  '/name/0',
  '/nothing',
  '/createDate',
  '/lastModifiedUser',
  '/-',
  '/0',
  '/__proto__',
  '/__proto__/name',
  '/constructor/prototype/name',
]
const elementPaths = (list: string, ...names: readonly string[]) => [
  `/${list}`,
  `/${list}/`,
  `/${list}/#`,
  `/${list}/3`,
  `/${list}/-1`,
  `/${list}/01`,
  `/${list}/10000`,
  `/${list}/2147483647`,
  `/${list}/length`,
  `/${list}/__proto__`,
  `/${list}/2/name`,
  `/${list}/-/name`,
  ...['nothing', '__proto__', '', ...names].map((name) => `/${list}/0/${name}`),
]

/** The scenes of an environment. */
export async function patchScenes(
  rig: IdiRig,
  environment: RigEnvironment,
): Promise<Readonly<Record<PatchedResource, PatchScene>>> {
  let made = 0
  const client: Client = {
    get: async (path) => (await rig.send(environment, 'GET', path)).body,
    post: async (path, idName, body) => {
      const answer = await rig.send(environment, 'POST', path, body)
      return v.parse(v.looseObject({ [idName]: v.number() }), answer.body)[idName] ?? 0
    },
    unique: () => `unique ${(made += 1)}`,
  }
  return {
    profile: await profileScene(client),
    definition: await definitionScene(client),
    variable: variableScene(client),
  }
}
type Client = {
  readonly get: (path: string) => Promise<unknown>
  readonly post: (path: string, idName: string, body: Json) => Promise<number>
  /** A code or name that nothing has. */
  readonly unique: () => string
}

const ActionsBody = v.object({ value: v.array(v.object({ providerActionID: v.number() })) })
const ScenariosBody = v.object({ value: v.array(v.object({ providerActionID: v.number(), scenarioID: v.number() })) })
const ProfileBody = v.object({ name: v.string(), description: v.optional(v.string()) })

/** Its scenarios are no property of it: they are seen elsewhere, and a patch adds to them and takes from them. */
async function profileScene({ get, post, unique }: Client): Promise<PatchScene> {
  const providers = v.parse(v.object({ value: v.array(v.object({ providerID: v.number() })) }), await get('provider'))
  const { value: actions } = v.parse(ActionsBody, await get(`provider/${providers.value[0]?.providerID}/action`))
  const [first, second] = actions.map(({ providerActionID }) => ({ providerActionID }))
  const values = {
    '/name': unique(),
    '/description': 'patched',
    '/addProfileScenarios': [second],
    '/removeProfileScenarios': [],
  }
  return {
    list: 'scenarios',
    make: async (whole) => {
      const body = { name: unique(), scenarios: [first, second], ...(whole === 'full' && { description: 'of all' }) }
      return `profile/${await post('profile', 'profileID', body)}`
    },
    view: async (path) => {
      const { value } = v.parse(ScenariosBody, await get(`${path}/scenario`))
      return {
        document: { ...v.parse(ProfileBody, await get(path)), scenarios: value.map((item) => item.providerActionID) },
        ids: value.map(({ scenarioID }) => scenarioID),
      }
    },
    values,
    effects: {
      '/addProfileScenarios': ({ document, ids }) => ({
        value: values['/addProfileScenarios'],
        after: {
          document: { ...document, scenarios: [first, second, second].map((item) => item?.providerActionID) },
          ids: [...ids, NEW_ID],
        },
      }),
      '/removeProfileScenarios': ({ document, ids }) => ({
        value: [ids[0]],
        after: { document: { ...document, scenarios: [second?.providerActionID] }, ids: ids.slice(1) },
      }),
    },
    otherPaths: [
      ...OTHER_PATHS,
      '/code',
      '/profileID',
      '/scenarios',
      '/scenarios/0',
      '/addProfileScenarios/0',
      '/addProfileScenarios/-',
      '/removeProfileScenarios/-',
    ],
  }
}

const DefinitionBody = v.object({ code: v.string(), name: v.string(), description: v.optional(v.string()) })
const DataDefinitionsBody = v.object({
  value: v.array(
    v.object({
      dataDefinitionID: v.number(),
      dataTypeID: v.number(),
      defaultValue: v.optional(v.string()),
      description: v.optional(v.string()),
      isRequired: v.boolean(),
      isVisible: v.boolean(),
      listID: v.optional(v.number()),
      name: v.string(),
      transitionOptions: v.array(
        v.object({ isRequired: v.boolean(), isVisible: v.boolean(), provisionedObjectTransitionID: v.number() }),
      ),
      variableID: v.optional(v.number()),
    }),
  ),
})

const without = (item: Json, name: string): Json =>
  Object.fromEntries(Object.entries(item).filter(([key]) => key !== name))

const options = (provisionedObjectTransitionID: number) => [
  { isRequired: true, isVisible: false, provisionedObjectTransitionID },
]

async function definitionScene({ get, post, unique }: Client): Promise<PatchScene> {
  const makeVariable = () => post('variable', 'variableID', { code: unique(), name: unique(), dataTypeID: 3 })
  const variableID = await makeVariable()
  const element = {
    dataTypeID: 4,
    defaultValue: '6',
    description: 'of data',
    isRequired: true,
    isVisible: false,
    listID: 2,
    name: 'first',
    transitionOptions: options(1),
  }
  const added = {
    ...element,
    name: 'third',
    defaultValue: '@[first]',
    transitionOptions: [...options(2), ...options(5)],
  }
  return {
    list: 'dataDefinitions',
    make: async (whole) => {
      const names = { code: unique(), name: unique() }
      const body =
        whole === 'bare'
          ? { ...names, dataDefinitions: [{ name: 'first', dataTypeID: 3 }] }
          : {
              ...names,
              description: 'of all',
              dataDefinitions: [
                { ...element, variableID },
                { ...element, variableID, name: 'second' },
              ],
            }
      const path = 'provisionableObjectDefinition'
      return `${path}/${await post(path, 'provisionableObjectDefinitionID', body)}`
    },
    view: async (path) => {
      const { value } = v.parse(DataDefinitionsBody, await get(`${path}/dataDefinition?$top=500`))
      return {
        document: {
          ...v.parse(DefinitionBody, await get(path)),
          dataDefinitions: value.map((item) => without(item, 'dataDefinitionID')),
        },
        ids: value.map(({ dataDefinitionID }) => dataDefinitionID),
      }
    },
    values: {
      '/code': unique(),
      '/name': unique(),
      '/description': 'patched',
      '/dataDefinitions/#': added,
      '/dataDefinitions/#/dataTypeID': 3,
      '/dataDefinitions/#/defaultValue': '7',
      '/dataDefinitions/#/description': 'patched',
      '/dataDefinitions/#/isRequired': false,
      '/dataDefinitions/#/isVisible': true,
      '/dataDefinitions/#/listID': 3,
      '/dataDefinitions/#/name': 'patched',
      '/dataDefinitions/#/transitionOptions': [...options(3), ...options(4)],
      '/dataDefinitions/#/variableID': await makeVariable(),
    },
    otherPaths: [
      ...OTHER_PATHS,
      '/provisionableObjectDefinitionID',
      ...elementPaths(
        'dataDefinitions',
        'dataDefinitionID',
        'sequenceNumber',
        'transitionOptions/0',
        'transitionOptions/-',
      ),
    ],
  }
}

const VariableBody = v.object({
  code: v.string(),
  dataTypeID: v.number(),
  isActive: v.boolean(),
  name: v.string(),
  outcomes: v.array(
    v.object({
      displayValue: v.optional(v.string()),
      outcomeCode: v.string(),
      outcomeID: v.number(),
      sequenceNumber: v.number(),
      value: v.string(),
    }),
  ),
})

function variableScene({ get, post, unique }: Client): PatchScene {
  const element = { displayValue: 'one', outcomeCode: 'first', sequenceNumber: 1, value: '300' }
  return {
    list: 'outcomes',
    make: async (whole) => {
      const common = { code: unique(), name: unique(), dataTypeID: 4 }
      const second = { ...element, outcomeCode: 'second', sequenceNumber: 2 }
      const body = { ...common, outcomes: whole === 'bare' ? [without(element, 'displayValue')] : [element, second] }
      return `variable/${await post('variable', 'variableID', body)}`
    },
    view: async (path) => {
      const { outcomes, ...document } = v.parse(VariableBody, await get(path))
      return {
        document: { ...document, outcomes: outcomes.map((item) => without(item, 'outcomeID')) },
        ids: outcomes.map(({ outcomeID }) => outcomeID),
      }
    },
    values: {
      '/code': unique(),
      '/dataTypeID': 3,
      '/isActive': false,
      '/name': unique(),
      '/outcomes/#': { displayValue: 'none', outcomeCode: 'third', sequenceNumber: 0, value: '0' },
      '/outcomes/#/displayValue': 'patched',
      '/outcomes/#/outcomeCode': 'patched',
      '/outcomes/#/sequenceNumber': 0,
      '/outcomes/#/value': '7',
    },
    otherPaths: [...OTHER_PATHS, '/variableID', '/description', ...elementPaths('outcomes', 'outcomeID', 'variableID')],
  }
}
