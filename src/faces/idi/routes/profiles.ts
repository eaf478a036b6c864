import { PatchBody } from '../../../provisioning/requests/model/patch.ts'
import { DefinitionChanges, ProfileInput } from '../../../provisioning/requests/model/profile.ts'
import type { IdiDeps } from '../deps.ts'
import type { AddIdi } from '../operation.ts'
import {
  AllowedDefinitionItem,
  ProfileItem,
  ProfileParams,
  toAllowedDefinitionItem,
  toProfileItem,
} from '../schemas/profiles.ts'
import { addSearch } from '../search-operation.ts'
import { IDI_TAGS } from '../tags.ts'

const tag = IDI_TAGS.profiles

/** Profiles: what a request has done, and about which objects. */
export function addProfileRoutes(add: AddIdi, deps: Pick<IdiDeps, 'profiles' | 'profileDefinitions'>): void {
  const { profiles } = deps
  addSearch(add, {
    name: 'listProfiles',
    tag,
    summary: 'Search for profiles',
    item: ProfileItem,
    toItem: toProfileItem,
    search: ({ environment, query }) => profiles.search(environment.environmentId, query),
  })
  add(
    'createProfile',
    {
      tag,
      summary: 'Create a profile',
      description: 'The parameters of scenarios are ours: the sample of the document is cut off before them.',
      body: ProfileInput,
      schema: ProfileItem,
      status: 201,
    },
    async ({ environment: { environmentId }, actor, body }) =>
      toProfileItem(await profiles.create({ environmentId, actor, input: body })),
  )
  add(
    'getProfile',
    { tag, summary: 'Get a profile', params: ProfileParams, schema: ProfileItem },
    async ({ environment, params }) => toProfileItem(await profiles.find(environment.environmentId, params.profileId)),
  )
  add(
    'patchProfile',
    {
      tag,
      summary: 'Change a profile by a JSON Patch',
      description:
        'All of the operations or none: replace /name; add, remove or replace /description; add scenarios to /addProfileScenarios, and ids of scenarios to /removeProfileScenarios. The profile of orders, which is built in, is refused.',
      params: ProfileParams,
      body: PatchBody,
    },
    ({ environment: { environmentId }, actor, params: { profileId }, body }) =>
      profiles.patch({ environmentId, actor, profileId, patch: body }),
  )
  addDefinitionRoutes(add, deps)
}

function addDefinitionRoutes(add: AddIdi, { profileDefinitions }: Pick<IdiDeps, 'profileDefinitions'>): void {
  addSearch(add, {
    name: 'listProfileDefinitions',
    tag,
    summary: 'List the definitions that a profile allows',
    description: 'Requests of a profile that allows none can be about objects of any definition.',
    params: ProfileParams,
    item: AllowedDefinitionItem,
    toItem: toAllowedDefinitionItem,
    search: ({ environment, params, query }) =>
      profileDefinitions.search(environment.environmentId, params.profileId, query),
  })
  add(
    'updateProfileDefinitions',
    {
      tag,
      summary: 'Set the definitions that a profile allows',
      description: 'All of the changes or none; definitions that are not in the list stay as they are.',
      params: ProfileParams,
      body: DefinitionChanges,
    },
    ({ environment: { environmentId }, actor, params: { profileId }, body }) =>
      profileDefinitions.update({ environmentId, actor, profileId, changes: body }),
  )
}
