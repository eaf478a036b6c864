import { ParameterChanges } from '../../../provisioning/requests/model/profile.ts'
import type { IdiDeps } from '../deps.ts'
import type { AddIdi } from '../operation.ts'
import {
  ParameterItem,
  ProfileParams,
  ScenarioItem,
  ScenarioParams,
  toParameterItem,
  toScenarioItem,
} from '../schemas/profiles.ts'
import { addSearch } from '../search-operation.ts'
import { IDI_TAGS } from '../tags.ts'

const tag = IDI_TAGS.profiles

/** Scenarios of profiles: what providers are to do, and what they are told of it. */
export function addScenarioRoutes(add: AddIdi, { scenarios }: Pick<IdiDeps, 'scenarios'>): void {
  addSearch(add, {
    name: 'listScenarios',
    tag,
    summary: 'List the scenarios of a profile',
    description: 'By their ids, in which order they run.',
    params: ProfileParams,
    item: ScenarioItem,
    toItem: toScenarioItem,
    search: ({ environment, params, query }) => scenarios.search(environment.environmentId, params.profileId, query),
  })
  addSearch(add, {
    name: 'listScenarioParameters',
    tag,
    summary: 'List the parameters of a scenario',
    params: ScenarioParams,
    item: ParameterItem,
    toItem: toParameterItem,
    search: ({ environment: { environmentId }, params, query }) =>
      scenarios.parameters({ environmentId, ...params }, query),
  })
  add(
    'updateScenarioParameters',
    {
      tag,
      summary: 'Put and remove parameters of a scenario',
      description: 'By name and scope, all of them or none; those that are not in the list stay as they are.',
      params: ScenarioParams,
      body: ParameterChanges,
    },
    ({ environment: { environmentId }, actor, params, body }) =>
      scenarios.update({ environmentId, actor, ...params, changes: body }),
  )
}
