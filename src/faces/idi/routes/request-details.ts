import type { IdiDeps } from '../deps.ts'
import type { AddIdi } from '../operation.ts'
import {
  CallDetailAnswer,
  CallDetailBody,
  CallDetailItem,
  CallDetailParams,
  toCallDetailAnswer,
  toCallDetailItem,
  toNewCallDetail,
} from '../schemas/call-details.ts'
import {
  ComputedItemItem,
  GivenItemItem,
  OutcomeItem,
  toComputedItem,
  toGivenItem,
  toOutcomeItem,
} from '../schemas/request-items.ts'
import { RequestParams } from '../schemas/requests.ts'
import { envelopeOf, searchAnswer } from '../search-answer.ts'
import { IDI_TAGS } from '../tags.ts'

type Deps = Pick<IdiDeps, 'requestItems' | 'callDetails'>

const refOf = (
  { environmentId }: { readonly environmentId: number },
  { provisioningRequestId: requestId }: { readonly provisioningRequestId: number },
) => ({ environmentId, requestId })

/** What belongs to a provisioning request: its items, variable outcomes and provider call details. */
export function addRequestDetailRoutes(add: AddIdi, deps: Deps): void {
  addItemRoutes(add, deps)
  addComputedItemRoutes(add, deps)
  addCallDetailRoutes(add, deps)
}

function addItemRoutes(add: AddIdi, { requestItems }: Deps): void {
  const tag = IDI_TAGS.requests
  add(
    'listRequestItems',
    {
      tag,
      summary: 'List the extended information items of a provisioning request',
      params: RequestParams,
      isSearch: true,
      schema: envelopeOf(GivenItemItem),
    },
    async ({ environment, params, query, c }) =>
      searchAnswer(await requestItems.given(refOf(environment, params), query), {
        query,
        c,
        item: GivenItemItem,
        toItem: toGivenItem,
      }),
  )
  add(
    'listVariableOutcomesOfRequest',
    {
      tag,
      summary: 'List the variables of a provisioning request and their outcomes',
      params: RequestParams,
      isSearch: true,
      schema: envelopeOf(OutcomeItem),
    },
    async ({ environment, params, query, c }) =>
      searchAnswer(await requestItems.outcomes(refOf(environment, params), query), {
        query,
        c,
        item: OutcomeItem,
        toItem: toOutcomeItem,
      }),
  )
}

function addComputedItemRoutes(add: AddIdi, { requestItems }: Deps): void {
  const tag = IDI_TAGS.requests
  const common = { tag, params: RequestParams, isSearch: true, schema: envelopeOf(ComputedItemItem) } as const
  add(
    'listComputedItems',
    {
      ...common,
      summary: 'List the extended information items of a provisioning request, computed',
      description:
        'Merged with what the object had before and with the defaults of its definition, as things stand now.',
    },
    async ({ environment, params, query, c }) =>
      searchAnswer(await requestItems.computed(refOf(environment, params), query), {
        query,
        c,
        item: ComputedItemItem,
        toItem: toComputedItem,
      }),
  )
  add(
    'listSnapshotItems',
    { ...common, summary: 'Search the snapshot of computed extended information items' },
    async ({ environment, params, query, c }) =>
      searchAnswer(await requestItems.snapshot(refOf(environment, params), query), {
        query,
        c,
        item: ComputedItemItem,
        toItem: toComputedItem,
      }),
  )
  add(
    'saveSnapshot',
    {
      tag,
      summary: 'Save a snapshot of the computed extended information items',
      description: 'In place of one that was saved before.',
      params: RequestParams,
    },
    ({ environment, actor, params }) =>
      requestItems.saveSnapshot({ environment, actor, requestId: params.provisioningRequestId }),
  )
}

function addCallDetailRoutes(add: AddIdi, { callDetails }: Deps): void {
  const tag = IDI_TAGS.requests
  add(
    'listCallDetails',
    {
      tag,
      summary: 'Search for provider call details',
      params: RequestParams,
      isSearch: true,
      schema: envelopeOf(CallDetailItem),
    },
    async ({ environment, params, query, c }) =>
      searchAnswer(await callDetails.search(refOf(environment, params), query), {
        query,
        c,
        item: CallDetailItem,
        toItem: toCallDetailItem,
      }),
  )
  add(
    'createCallDetail',
    { tag, summary: 'Create a provider call detail', params: RequestParams, body: CallDetailBody },
    ({ environment, actor, params, body }) =>
      callDetails.add({
        environment,
        actor,
        actionCode: body.providerActionCode,
        detail: toNewCallDetail(body, params.provisioningRequestId),
      }),
  )
  add(
    'getCallDetail',
    { tag, summary: 'Get a provider call detail', params: CallDetailParams, schema: CallDetailAnswer },
    async ({ environment, params }) =>
      toCallDetailAnswer(
        await callDetails.find({ ...refOf(environment, params), callDetailId: params.providerCallDetailId }),
      ),
  )
}
