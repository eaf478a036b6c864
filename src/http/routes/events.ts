import type { Hono } from 'hono'
import * as v from 'valibot'
import { PollAnswerSchema, toPollText } from '../../streams/protocol.ts'
import type { HttpEnv } from '../context.ts'
import type { DefineOperation } from '../operation.ts'
import { AppParams } from '../schemas/parameters.ts'
import { afterField, allowOrigin, filterFields, readAfter, readCredentials, readFilter } from '../stream-query.ts'
import type { StreamRouteDeps } from './stream.ts'

const WAIT_SECONDS_DEFAULT = 25
const LIMIT_DEFAULT = 100

const EventsQuery = v.strictObject({
  ...afterField,
  wait_seconds: v.optional(
    v.pipe(
      v.string(),
      v.regex(/^(?:[12]?\d|30)$/, 'must be a whole number of seconds, 0 to 30'),
      v.description(`How long to wait for an event when there is none, 0 to 30; ${WAIT_SECONDS_DEFAULT} if absent`),
    ),
  ),
  limit: v.optional(
    v.pipe(
      v.string(),
      v.regex(/^(?:[1-9]\d{0,2}|1000)$/, 'must be a number from 1 to 1000'),
      v.description(`How many events at most, 1 to 1000; ${LIMIT_DEFAULT} if absent`),
    ),
  ),
  ...filterFields,
  token: v.optional(v.pipe(v.string(), v.description('A stream token, instead of a key; good for one request'))),
})

/** The stream for those who can only ask: long polling, with the positions of the stream. */
export function addEventRoutes(
  app: Hono<HttpEnv>,
  define: DefineOperation,
  { hub, authenticator }: Pick<StreamRouteDeps, 'hub' | 'authenticator'>,
): void {
  app.get(
    '/apps/:app_id/events',
    define(
      {
        operationId: 'pollEvents',
        tag: 'Stream',
        summary: "Wait for the app's events",
        description:
          'Long polling: the events after a position, as soon as there is one. Ask again with the `position` of the ' +
          'answer. Without a position, or with one that cannot be resumed, the answer is a snapshot of the live calls ' +
          'to start from. Positions are those of the stream.',
        access: 'stream',
        params: AppParams,
        query: EventsQuery,
        responses: {
          200: { description: 'What there is, or nothing when the time is over', schema: PollAnswerSchema },
        },
        errors: ['draining', 'overloaded', 'too_many_streams', 'origin_refused'],
      },
      async ({ params, query, c }) => {
        await hub.admit()
        const credentials = { ...readCredentials(c), token: query.token }
        const admission = await authenticator.authenticate({ appId: params.app_id, ...credentials })
        const filter = readFilter(c)
        const request = {
          after: readAfter(query.after),
          ...(filter !== undefined && { filter }),
          waitMs: Number(query.wait_seconds ?? WAIT_SECONDS_DEFAULT) * 1000,
          limit: Number(query.limit ?? LIMIT_DEFAULT),
        }
        const answer = await hub.poll(admission, { request, gone: c.req.raw.signal })
        const headers = { 'content-type': 'application/json', ...allowOrigin(credentials.origin) }
        return { status: 200, text: toPollText(answer), headers }
      },
    ),
  )
}
