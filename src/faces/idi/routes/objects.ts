import type { IdiDeps } from '../deps.ts'
import type { AddIdi } from '../operation.ts'
import {
  ExpandedItem,
  ObjectItem,
  ObjectItemsBody,
  ObjectKeysBody,
  toExpandedItem,
  toObjectItem,
} from '../schemas/objects.ts'
import { envelopeOf, searchAnswer } from '../search-answer.ts'
import { IDI_TAGS } from '../tags.ts'

/** What is known of provisioned objects: services that customers have, and what callers add to them. */
export function addObjectRoutes(add: AddIdi, { objects }: IdiDeps): void {
  add(
    'searchObjectItems',
    {
      tag: IDI_TAGS.objects,
      summary: 'Search for extended information items of provisioned objects',
      body: ObjectKeysBody,
      isSearch: true,
      schema: envelopeOf(ObjectItem),
    },
    async ({ environment, body, query, c }) => {
      const named = body.map(({ code, internalID }) => ({ code, internalId: internalID }))
      const page = await objects.search(environment.environmentId, { objects: named, query })
      return searchAnswer(page, { query, c, item: ObjectItem, toItem: toObjectItem })
    },
  )
  add(
    'updateObjectItems',
    {
      tag: IDI_TAGS.objects,
      summary: 'Update or create extended information items of provisioned objects',
      description: 'What an object has from a service, such as its State, changes with the service only.',
      body: ObjectItemsBody,
    },
    ({ environment, actor, body }) => {
      const items = body.map(({ internalID, ...item }) => ({ ...item, internalId: internalID }))
      return objects.put(environment.environmentId, { items, actor })
    },
  )
  add(
    'searchObjectItemsExpanded',
    {
      tag: IDI_TAGS.objects,
      summary: 'Search for provisioned objects with their data definitions and extended information items',
      description: 'There is a row for each item; one that the definition does not have any more is without it.',
      isSearch: true,
      schema: envelopeOf(ExpandedItem),
    },
    async ({ environment, query, c }) =>
      searchAnswer(await objects.searchExpanded(environment.environmentId, query), {
        query,
        c,
        item: ExpandedItem,
        toItem: toExpandedItem,
      }),
  )
}
