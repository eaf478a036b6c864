import type { Hono } from 'hono'
import * as v from 'valibot'
import type { CallControl } from '../../control/call-control.ts'
import { PlaceCallSchema, PlacedCallSchema } from '../../control/place-request.ts'
import type { CallCommand } from '../../core/call-commands.ts'
import { CallResourceSchema } from '../../core/call-resource.ts'
import { parseInput } from '../../core/parse-input.ts'
import { IdempotencyKeySchema, placeCall, sendCommand } from '../call-operations.ts'
import type { HttpEnv } from '../context.ts'
import type { DefineOperation } from '../operation.ts'
import { AppCallParams, AppParams, AppSubscriberParams } from '../schemas/parameters.ts'

const TAG = 'Calls'
const OF_THE_DOCUMENT = 'Part of the calls API document.'
const COMMAND_ERRORS = [
  'call_not_found',
  'call_state_conflict',
  'ambiguous_call',
  'too_many_requests',
  'provider_refused',
  'provider_unauthorized',
  'provider_unavailable',
] as const
const CallListSchema = v.array(CallResourceSchema)

const idempotencyKey = {
  name: 'Idempotency-Key',
  description:
    '1 to 255 printable ASCII characters, unique per call to place. A retry with the same key never dials twice: ' +
    'it gets the first answer again, with the header Idempotent-Replayed.',
  schema: { type: 'string', minLength: 1, maxLength: 255 },
} as const
const replayedHeader = {
  'Idempotent-Replayed': {
    description: '`true` when an earlier request with the same key placed the call',
    schema: { type: 'string' },
  },
} as const

/** The calls API document's routes for calls, and `GET` of one call. */
export function addCallRoutes(app: Hono<HttpEnv>, define: DefineOperation, calls: CallControl): void {
  addPlaceRoute(app, define, calls)
  addReadRoutes(app, define, calls)
  const path = '/apps/:app_id/calls/:call_id'
  app.put(`${path}/answer`, defineCommand(define, calls, { command: 'answer', summary: 'Answer a ringing call' }))
  app.put(`${path}/hold`, defineCommand(define, calls, { command: 'hold', summary: 'Put an active call on hold' }))
  app.put(
    `${path}/resume`,
    defineCommand(define, calls, { command: 'resume', summary: 'Make a held call active again' }),
  )
  app.delete(path, defineCommand(define, calls, { command: 'end', summary: 'End a call' }))
}

function addPlaceRoute(app: Hono<HttpEnv>, define: DefineOperation, calls: CallControl): void {
  app.post(
    '/apps/:app_id/calls',
    define(
      {
        operationId: 'placeCall',
        tag: TAG,
        summary: 'Place a new call',
        description: `${OF_THE_DOCUMENT} The subscriber's own phone rings first. Idempotency-Key is an addition.`,
        access: 'app',
        params: AppParams,
        body: PlaceCallSchema,
        headers: [idempotencyKey],
        responses: { 201: { description: 'Placed', schema: PlacedCallSchema, headers: replayedHeader } },
        errors: [
          'subscriber_not_found',
          'idempotency_in_progress',
          'idempotency_outcome_unknown',
          'idempotency_mismatch',
          'too_many_requests',
          'provider_refused',
          'provider_unauthorized',
          'provider_unavailable',
        ],
      },
      async ({ params, body, c }) => {
        const given = c.req.header('idempotency-key')
        const key = parseInput(v.optional(IdempotencyKeySchema), given, 'Idempotency-Key')
        const { isReplay, ...reply } = await placeCall(calls, { appId: params.app_id, body, idempotencyKey: key })
        return { ...reply, ...(isReplay && { headers: { 'idempotent-replayed': 'true' } }) }
      },
    ),
  )
}

function addReadRoutes(app: Hono<HttpEnv>, define: DefineOperation, calls: CallControl): void {
  app.get(
    '/apps/:app_id/calls',
    define(
      {
        operationId: 'listCalls',
        tag: TAG,
        summary: 'Get a list of active calls',
        description: `${OF_THE_DOCUMENT} Fields from \`state\` on are additions.`,
        access: 'app',
        params: AppParams,
        responses: {
          200: { description: "The live calls of the app's subscribers, the oldest first", schema: CallListSchema },
        },
      },
      async ({ params }) => ({ status: 200, json: await calls.list(params.app_id) }),
    ),
  )
  app.get(
    '/apps/:app_id/subscribers/:subscriber_id/calls',
    define(
      {
        operationId: 'listSubscriberCalls',
        tag: TAG,
        summary: 'Get a list of active calls filtered by subscriber',
        description: `${OF_THE_DOCUMENT} Fields from \`state\` on are additions.`,
        access: 'app',
        params: AppSubscriberParams,
        responses: { 200: { description: "The subscriber's live calls, the oldest first", schema: CallListSchema } },
        errors: ['subscriber_not_found'],
      },
      async ({ params }) => ({ status: 200, json: await calls.listOf(params.app_id, params.subscriber_id) }),
    ),
  )
  app.get(
    '/apps/:app_id/calls/:call_id',
    define(
      {
        operationId: 'getCall',
        tag: TAG,
        summary: 'Get one active call',
        description: 'An addition to the calls API document.',
        access: 'app',
        params: AppCallParams,
        responses: { 200: { description: 'The call', schema: CallResourceSchema } },
        errors: ['call_not_found', 'ambiguous_call'],
      },
      async ({ params }) => ({ status: 200, json: await calls.get(params.app_id, params.call_id) }),
    ),
  )
}

const defineCommand = (
  define: DefineOperation,
  calls: CallControl,
  { command, summary }: { readonly command: CallCommand; readonly summary: string },
) =>
  define(
    {
      operationId: `${command}Call`,
      tag: TAG,
      summary,
      description: `${OF_THE_DOCUMENT} The effect is reported by the webhook and the stream.`,
      access: 'app',
      params: AppCallParams,
      responses: { 204: { description: 'The network took the command' } },
      errors: COMMAND_ERRORS,
    },
    ({ params }) => sendCommand(calls, { appId: params.app_id, callId: params.call_id, command }),
  )
