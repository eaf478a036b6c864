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
import { addSearch } from '../search-operation.ts'
import { IDI_TAGS } from '../tags.ts'

/** What is known of provisioned objects: services that customers have, and what callers add to them. */
export function addObjectRoutes(add: AddIdi, { objects }: IdiDeps): void {
  addSearch(add, {
    name: 'searchObjectItems',
    tag: IDI_TAGS.objects,
    summary: 'Search for extended information items of provisioned objects',
    body: ObjectKeysBody,
    item: ObjectItem,
    toItem: toObjectItem,
    search: ({ environment, body, query }) => {
      const named = body.map(({ code, internalID }) => ({ code, internalId: internalID }))
      return objects.search(environment.environmentId, { objects: named, query })
    },
  })
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
  addSearch(add, {
    name: 'searchObjectItemsExpanded',
    tag: IDI_TAGS.objects,
    summary: 'Search for provisioned objects with their data definitions and extended information items',
    description: 'There is a row for each item; one that the definition does not have any more is without it.',
    item: ExpandedItem,
    toItem: toExpandedItem,
    search: ({ environment, query }) => objects.searchExpanded(environment.environmentId, query),
  })
}
