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
import { addSearch } from '../search-operation.ts'
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
  addSearch(add, {
    name: 'listRequestItems',
    tag,
    summary: 'List the extended information items of a provisioning request',
    params: RequestParams,
    item: GivenItemItem,
    toItem: toGivenItem,
    search: ({ environment, params, query }) => requestItems.given(refOf(environment, params), query),
  })
  addSearch(add, {
    name: 'listVariableOutcomesOfRequest',
    tag,
    summary: 'List the variables of a provisioning request and their outcomes',
    params: RequestParams,
    item: OutcomeItem,
    toItem: toOutcomeItem,
    search: ({ environment, params, query }) => requestItems.outcomes(refOf(environment, params), query),
  })
}

function addComputedItemRoutes(add: AddIdi, { requestItems }: Deps): void {
  const tag = IDI_TAGS.requests
  const common = { tag, params: RequestParams, item: ComputedItemItem, toItem: toComputedItem }
  addSearch(add, {
    ...common,
    name: 'listComputedItems',
    summary: 'List the extended information items of a provisioning request, computed',
    description: 'Merged with what the object had before and with the defaults of its definition, as things stand now.',
    search: ({ environment, params, query }) => requestItems.computed(refOf(environment, params), query),
  })
  addSearch(add, {
    ...common,
    name: 'listSnapshotItems',
    summary: 'Search the snapshot of computed extended information items',
    search: ({ environment, params, query }) => requestItems.snapshot(refOf(environment, params), query),
  })
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
  addSearch(add, {
    name: 'listCallDetails',
    tag,
    summary: 'Search for provider call details',
    params: RequestParams,
    item: CallDetailItem,
    toItem: toCallDetailItem,
    search: ({ environment, params, query }) => callDetails.search(refOf(environment, params), query),
  })
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
