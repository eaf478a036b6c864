import { GlobalInformationChanges } from '../../../provisioning/requests/model/global-information.ts'
import type { IdiDeps } from '../deps.ts'
import type { AddIdi } from '../operation.ts'
import {
  GlobalInformationItem,
  GlobalInformationItems,
  ItemParams,
  namesOf,
  RetrieveBody,
  toGlobalInformationItem,
} from '../schemas/global-information.ts'
import { addSearch } from '../search-operation.ts'
import { IDI_TAGS } from '../tags.ts'

/** Global information: values that scenarios of an environment share. */
export function addGlobalInformationRoutes(add: AddIdi, { globalInformation }: IdiDeps): void {
  const tag = IDI_TAGS.globalInformation
  addSearch(add, {
    name: 'listGlobalInformation',
    tag,
    summary: 'Search for global information',
    item: GlobalInformationItem,
    toItem: toGlobalInformationItem,
    search: ({ environment, query }) => globalInformation.search(environment.environmentId, query),
  })
  add(
    'updateGlobalInformation',
    {
      tag,
      summary: 'Put and remove global information',
      description: 'All items or none; those that are not in the list stay as they are.',
      body: GlobalInformationChanges,
    },
    ({ environment: { environmentId }, actor, body }) =>
      globalInformation.update({ environmentId, actor, changes: body }),
  )
  // Before the items: it would be the name of one.
  add(
    'retrieveGlobalInformation',
    {
      tag,
      summary: 'Get the items of these names',
      description: 'Those that there are. Also as a GET, with the body or with names in the query.',
      body: RetrieveBody,
      isBodyOptional: true,
      schema: GlobalInformationItems,
    },
    async ({ environment, body, c }) => {
      const names = namesOf(body, c.req.queries('names') ?? [])
      const items = await globalInformation.findAll(environment.environmentId, names)
      return { globalInformationItems: items.map(toGlobalInformationItem) }
    },
  )
  add(
    'getGlobalInformation',
    { tag, summary: 'Get an item of global information', params: ItemParams, schema: GlobalInformationItem },
    async ({ environment, params }) =>
      toGlobalInformationItem(await globalInformation.find(environment.environmentId, params.name)),
  )
}
