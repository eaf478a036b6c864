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
import { envelopeOf, searchAnswer } from '../search-answer.ts'
import { IDI_TAGS } from '../tags.ts'

/** Providers: the gateway's adapters, and what they can do. They are the same in every environment. */
export function addProviderRoutes(add: AddIdi, { providers }: IdiDeps): void {
  const tag = IDI_TAGS.providers
  add(
    'listProviders',
    { tag, summary: 'Search for providers', isSearch: true, schema: envelopeOf(ProviderItem) },
    async ({ query, c }) =>
      searchAnswer(await providers.search(query), { query, c, item: ProviderItem, toItem: toProviderItem }),
  )
  add(
    'getProvider',
    { tag, summary: 'Get a provider', params: ProviderParams, schema: ProviderItem },
    async ({ params }) => toProviderItem(await providers.find(params.providerId)),
  )
  add(
    'listProviderVersions',
    {
      tag,
      summary: 'List the versions of a provider',
      params: ProviderParams,
      isSearch: true,
      schema: envelopeOf(InstallationItem),
    },
    async ({ params, query, c }) =>
      searchAnswer(await providers.versions(params.providerId, query), {
        query,
        c,
        item: InstallationItem,
        toItem: toInstallationItem,
      }),
  )
  addActionRoutes(add, providers)
}

function addActionRoutes(add: AddIdi, providers: IdiDeps['providers']): void {
  const tag = IDI_TAGS.providers
  add(
    'listProviderActions',
    {
      tag,
      summary: 'List the actions of a provider',
      params: ProviderParams,
      isSearch: true,
      schema: envelopeOf(ActionItem),
    },
    async ({ params, query, c }) =>
      searchAnswer(await providers.actions(params.providerId, query), {
        query,
        c,
        item: ActionItem,
        toItem: toActionItem,
      }),
  )
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
