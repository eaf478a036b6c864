import type { IdiDeps } from '../deps.ts'
import type { AddIdi } from '../operation.ts'
import {
  BatchAnswer,
  BatchParams,
  CompleteBody,
  FailBody,
  RequestBody,
  RequestItem,
  RequestParams,
  toNewRequest,
  toRequestItem,
} from '../schemas/requests.ts'
import { addSearch } from '../search-operation.ts'
import { IDI_TAGS } from '../tags.ts'

type Deps = Pick<IdiDeps, 'requests' | 'submission' | 'requestChanges'>

/** Provisioning requests and batches of them. */
export function addRequestRoutes(add: AddIdi, deps: Deps): void {
  const tag = IDI_TAGS.requests
  addSearch(add, {
    name: 'listRequests',
    tag,
    summary: 'Search for provisioning requests',
    item: RequestItem,
    toItem: toRequestItem,
    search: ({ environment, query }) => deps.requests.search(environment.environmentId, query),
  })
  add(
    'createRequest',
    {
      tag,
      summary: 'Create a provisioning request and submit it',
      description:
        'The scenarios of the profile are carried out afterwards, one after the other; see docs/provisioning.md.',
      body: RequestBody,
      isOnce: true,
      schema: RequestItem,
      status: 201,
    },
    async ({ environment, actor, body, keep }) =>
      toRequestItem(
        await deps.submission.submit({
          environment,
          actor,
          request: toNewRequest(body),
          inTransaction: (tx, made) => keep(tx, toRequestItem(made)),
        }),
      ),
  )
  add(
    'getRequest',
    { tag, summary: 'Get a provisioning request', params: RequestParams, schema: RequestItem },
    async ({ environment: { environmentId }, params }) =>
      toRequestItem(await deps.requests.find({ environmentId, requestId: params.provisioningRequestId })),
  )
  addChangeRoutes(add, deps)
}

function addChangeRoutes(add: AddIdi, { requestChanges }: Deps): void {
  const tag = IDI_TAGS.requests
  add(
    'completeRequest',
    {
      tag,
      summary: 'Complete a provisioning request',
      description:
        'Without force only one that has no scenarios to carry out, is not held and not in error. By force any that has not ended; an order of it that is open goes its own way.',
      params: RequestParams,
      body: CompleteBody,
      isBodyOptional: true,
    },
    ({ environment, actor, params, body }) =>
      requestChanges.complete({
        environment,
        actor,
        requestId: params.provisioningRequestId,
        isForced: body.force ?? false,
        note: body.statusNote,
      }),
  )
  add(
    'failRequest',
    {
      tag,
      summary: 'Put a provisioning request in error',
      description: 'An order of it that is open is cancelled, if it can be.',
      params: RequestParams,
      body: FailBody,
      isBodyOptional: true,
    },
    ({ environment, actor, params, body }) =>
      requestChanges.fail({
        environment,
        actor,
        requestId: params.provisioningRequestId,
        note: body.statusNote,
      }),
  )
  add(
    'resubmitRequest',
    {
      tag,
      summary: 'Resubmit a provisioning request that is in error',
      description: 'It goes on with the step that failed.',
      params: RequestParams,
    },
    ({ environment, actor, params }) =>
      requestChanges.resubmit({ environment, actor, requestId: params.provisioningRequestId }),
  )
  add(
    'completeBatch',
    {
      tag: IDI_TAGS.batches,
      summary: 'Attempt to complete a batch',
      description: 'It is closed when all its members are there and have ended; by itself, too.',
      params: BatchParams,
      schema: BatchAnswer,
    },
    ({ environment, actor, params }) =>
      requestChanges.completeBatch({ environment, actor, batchId: params.provisioningBatchId }),
  )
}
