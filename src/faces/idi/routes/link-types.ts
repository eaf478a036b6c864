import type { IdiDeps } from '../deps.ts'
import type { AddIdi } from '../operation.ts'
import {
  LinkTypeAnswer,
  LinkTypeItem,
  LinkTypeParams,
  toLinkTypeAnswer,
  toLinkTypeItem,
} from '../schemas/link-types.ts'
import { envelopeOf, searchAnswer } from '../search-answer.ts'
import { IDI_TAGS } from '../tags.ts'

/** Link types; the operator makes them, see `putLinkType`. */
export function addLinkTypeRoutes(add: AddIdi, { linkTypes }: IdiDeps): void {
  const tag = IDI_TAGS.linkTypes
  add(
    'listLinkTypes',
    { tag, summary: 'List link types', isSearch: true, schema: envelopeOf(LinkTypeItem) },
    async ({ environment, query, c }) =>
      searchAnswer(await linkTypes.search(environment.environmentId, query), {
        query,
        c,
        item: LinkTypeItem,
        toItem: toLinkTypeItem,
      }),
  )
  add(
    'getLinkType',
    { tag, summary: 'Get a link type', params: LinkTypeParams, schema: LinkTypeAnswer },
    async ({ environment, params }) =>
      toLinkTypeAnswer(await linkTypes.find(environment.environmentId, params.linkTypeId)),
  )
}
