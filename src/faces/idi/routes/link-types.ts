import type { IdiDeps } from '../deps.ts'
import type { AddIdi } from '../operation.ts'
import {
  LinkTypeAnswer,
  LinkTypeItem,
  LinkTypeParams,
  toLinkTypeAnswer,
  toLinkTypeItem,
} from '../schemas/link-types.ts'
import { addSearch } from '../search-operation.ts'
import { IDI_TAGS } from '../tags.ts'

/** Link types; the operator makes them, see `putLinkType`. */
export function addLinkTypeRoutes(add: AddIdi, { linkTypes }: IdiDeps): void {
  const tag = IDI_TAGS.linkTypes
  addSearch(add, {
    name: 'listLinkTypes',
    tag,
    summary: 'List link types',
    item: LinkTypeItem,
    toItem: toLinkTypeItem,
    search: ({ environment, query }) => linkTypes.search(environment.environmentId, query),
  })
  add(
    'getLinkType',
    { tag, summary: 'Get a link type', params: LinkTypeParams, schema: LinkTypeAnswer },
    async ({ environment, params }) =>
      toLinkTypeAnswer(await linkTypes.find(environment.environmentId, params.linkTypeId)),
  )
}
