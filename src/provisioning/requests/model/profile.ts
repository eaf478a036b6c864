import * as v from 'valibot'
import { invalidRequest } from '../../../core/parse-input.ts'
import { hasEachOnce, idField, listField, nameField, optionalField, valueField } from './fields.ts'
import { toScope } from './parameter-scope.ts'

/** A request runs the scenarios of its profile one after the other. */
export const SCENARIOS_MAX = 100

const parameterEntries = {
  name: v.pipe(nameField, v.description("Of the action's data definitions; the action passes over others")),
  scope: v.pipe(
    v.nullish(v.pipe(v.string(), v.maxLength(200)), 'Literal'),
    v.transform(toScope),
    v.description(
      'Literal (unless given): the value, in which @[key] and #[expression] are computed; Request: the value names an extended information item; Global: it names a global information item; else the code of the definition whose objects it is for, as a literal',
    ),
  ),
  value: optionalField(valueField),
}

const keyOf = ({ name, scope }: { readonly name: string; readonly scope: string }) => JSON.stringify([name, scope])

const ScenarioInput = v.strictObject({
  providerActionID: idField,
  parameters: v.nullish(
    v.pipe(
      listField(v.strictObject(parameterEntries)),
      v.check((list) => hasEachOnce(list.map(keyOf)), 'must have each parameter once in a scope'),
    ),
    [],
  ),
})
export type ScenarioInput = v.InferOutput<typeof ScenarioInput>
export type ParameterInput = ScenarioInput['parameters'][number]

const scenarioList = v.pipe(
  v.array(ScenarioInput),
  v.maxLength(SCENARIOS_MAX, `must have up to ${SCENARIOS_MAX} items`),
)
const entries = { name: v.pipe(nameField, v.description('Unique')), description: optionalField(valueField) }

/** A profile, as one that makes it sends it: what requests do, in order. */
export const ProfileInput = v.strictObject({ ...entries, scenarios: v.nullish(scenarioList, []) })
export type ProfileInput = v.InferOutput<typeof ProfileInput>

/** What a patch leaves of a profile, besides what it does to the scenarios. */
export const PatchedProfile = v.object(entries)

const oneOrMany = <Item extends v.GenericSchema>(list: Item) =>
  v.pipe(
    v.unknown(),
    v.transform((value): unknown => (Array.isArray(value) ? value : [value])),
    list,
  )
/** What a patch adds to `/addProfileScenarios`: scenarios, or one. */
export const AddedScenarios = oneOrMany(scenarioList)
/** What a patch adds to `/removeProfileScenarios`: ids of scenarios, or one. */
export const RemovedScenarios = oneOrMany(listField(idField))

/** Parameters of a scenario to be put or removed, all of them or none. */
export const ParameterChanges = v.pipe(
  listField(
    v.strictObject({
      ...parameterEntries,
      remove: v.pipe(optionalField(v.boolean()), v.description('true: it is removed, if it is there')),
    }),
  ),
  v.check((list) => hasEachOnce(list.map(keyOf)), 'must have each parameter once in a scope'),
)
export type ParameterChange = v.InferOutput<typeof ParameterChanges>[number]

/** Definitions to be allowed for a profile, or allowed no longer. */
export const DefinitionChanges = v.pipe(
  listField(
    v.strictObject({
      provisionableObjectDefinitionID: idField,
      remove: v.pipe(optionalField(v.boolean()), v.description('true: it is allowed no longer')),
    }),
  ),
  v.check(
    (changes) => hasEachOnce(changes.map((change) => change.provisionableObjectDefinitionID)),
    'must have each definition once',
  ),
)
export type DefinitionChange = v.InferOutput<typeof DefinitionChanges>[number]

/** The profile of orders that came through other APIs is as it is. */
export const builtInProfile = () =>
  invalidRequest([{ field: 'profileId', message: 'must not be that of orders, which is built in' }])
