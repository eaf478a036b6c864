import type { IdiDeps } from '../deps.ts'
import { listAnswer } from '../list-answer.ts'
import type { AddIdi } from '../operation.ts'
import { InstallationItem, toInstallationItem } from '../schemas/installations.ts'
import {
  ActionDataDefinitionItem,
  ActionItem,
  ActionParams,
  ProviderItem,
  ProviderParams,
  toActionDataDefinitionItem,
  toActionItem,
  toProviderItem,
} from '../schemas/providers.ts'
import { envelopeOf } from '../search-answer.ts'
import { addSearch } from '../search-operation.ts'
import { IDI_TAGS } from '../tags.ts'

/** Providers: the gateway's adapters, and what they can do. They are the same in every environment. */
export function addProviderRoutes(add: AddIdi, { providers }: IdiDeps): void {
  const tag = IDI_TAGS.providers
  addSearch(add, {
    name: 'listProviders',
    tag,
    summary: 'Search for providers',
    item: ProviderItem,
    toItem: toProviderItem,
    search: ({ query }) => providers.search(query),
  })
  add(
    'getProvider',
    { tag, summary: 'Get a provider', params: ProviderParams, schema: ProviderItem },
    async ({ params }) => toProviderItem(await providers.find(params.providerId)),
  )
  addSearch(add, {
    name: 'listProviderVersions',
    tag,
    summary: 'List the versions of a provider',
    params: ProviderParams,
    item: InstallationItem,
    toItem: toInstallationItem,
    search: ({ params, query }) => providers.versions(params.providerId, query),
  })
  addActionRoutes(add, providers)
}

function addActionRoutes(add: AddIdi, providers: IdiDeps['providers']): void {
  const tag = IDI_TAGS.providers
  addSearch(add, {
    name: 'listProviderActions',
    tag,
    summary: 'List the actions of a provider',
    params: ProviderParams,
    item: ActionItem,
    toItem: toActionItem,
    search: ({ params, query }) => providers.actions(params.providerId, query),
  })
  add(
    'getProviderAction',
    { tag, summary: 'Get an action of a provider', params: ActionParams, schema: ActionItem },
    async ({ params }) => toActionItem(await providers.action(params)),
  )
  add(
    'listActionDataDefinitions',
    {
      tag,
      summary: 'List what an action can be told',
      params: ActionParams,
      schema: envelopeOf(ActionDataDefinitionItem),
    },
    async ({ params }) => listAnswer(await providers.dataDefinitions(params), toActionDataDefinitionItem),
  )
}
