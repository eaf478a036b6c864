import type { Hono } from 'hono'
import * as v from 'valibot'
import { toE164 } from '../../control/phone-number.ts'
import type { AppRepository } from '../../core/app.ts'
import { GatewayError } from '../../core/errors.ts'
import type { AppId, SubscriberId } from '../../core/ids.ts'
import { invalidRequest } from '../../core/parse-input.ts'
import type { NewSubscriber, SubscriberRepository } from '../../core/subscriber.ts'
import type { HttpEnv } from '../context.ts'
import type { DefineOperation } from '../operation.ts'
import { AppParams, AppSubscriberParams } from '../schemas/parameters.ts'
import {
  PutSubscriberSchema,
  SubscriberPageSchema,
  SubscriberResourceSchema,
  toSubscriberResource,
} from '../schemas/subscriber.ts'

const TAG = 'Subscribers'
const PAGE_SIZE = 100

export type SubscriberRouteDeps = { readonly apps: AppRepository; readonly subscribers: SubscriberRepository }

/** Which app may see and control which subscriber. */
export function addSubscriberRoutes(app: Hono<HttpEnv>, define: DefineOperation, deps: SubscriberRouteDeps): void {
  const { subscribers } = deps
  app.put(
    '/admin/apps/:app_id/subscribers/:subscriber_id',
    define(
      {
        operationId: 'putSubscriber',
        tag: TAG,
        summary: 'Assign a subscriber to an app, or change the assignment',
        description: 'The first time, the app is told by the Subscriber Webhook.',
        access: 'admin',
        params: AppSubscriberParams,
        body: PutSubscriberSchema,
        responses: {
          200: { description: 'Changed', schema: SubscriberResourceSchema },
          201: { description: 'Assigned', schema: SubscriberResourceSchema },
        },
        errors: ['app_not_found', 'network_not_found', 'shard_conflict'],
      },
      async ({ params, body }) => {
        const assignment = toNewSubscriber(params.app_id, params.subscriber_id, body)
        const { subscriber, created } = await subscribers.put(assignment)
        return { status: created ? 201 : 200, json: toSubscriberResource(subscriber) }
      },
    ),
  )
  app.get(
    '/admin/apps/:app_id/subscribers/:subscriber_id',
    define(
      {
        operationId: 'getSubscriber',
        tag: TAG,
        summary: 'Get the assignment of a subscriber',
        access: 'admin',
        params: AppSubscriberParams,
        responses: { 200: { description: 'The assignment', schema: SubscriberResourceSchema } },
        errors: ['subscriber_not_found'],
      },
      async ({ params }) => {
        const subscriber = await subscribers.find(params.app_id, params.subscriber_id)
        if (subscriber === undefined) throw new GatewayError('subscriber_not_found')
        return { status: 200, json: toSubscriberResource(subscriber) }
      },
    ),
  )
  app.delete(
    '/admin/apps/:app_id/subscribers/:subscriber_id',
    define(
      {
        operationId: 'deleteSubscriber',
        tag: TAG,
        summary: 'Take a subscriber from an app',
        access: 'admin',
        params: AppSubscriberParams,
        responses: { 204: { description: 'Taken; the app no longer sees the calls' } },
        errors: ['subscriber_not_found'],
      },
      async ({ params }) => {
        const removed = await subscribers.remove(params.app_id, params.subscriber_id)
        if (!removed) throw new GatewayError('subscriber_not_found')
        return { status: 204 }
      },
    ),
  )
  addSubscriberListRoute(app, define, deps)
}

function addSubscriberListRoute(app: Hono<HttpEnv>, define: DefineOperation, deps: SubscriberRouteDeps): void {
  app.get(
    '/admin/apps/:app_id/subscribers',
    define(
      {
        operationId: 'listSubscribers',
        tag: TAG,
        summary: "List an app's subscribers",
        description: 'In order of the subscriber id. The header Link names the next page, if there is one.',
        access: 'admin',
        params: AppParams,
        query: SubscriberPageSchema,
        responses: {
          200: {
            description: 'One page',
            schema: v.array(SubscriberResourceSchema),
            headers: { Link: { description: 'The next page, with rel="next"', schema: { type: 'string' } } },
          },
        },
        errors: ['app_not_found'],
      },
      async ({ params, query }) => {
        if ((await deps.apps.find(params.app_id)) === undefined) throw new GatewayError('app_not_found')
        const limit = Number(query.limit ?? PAGE_SIZE)
        const page = { limit: limit + 1, ...(query.after !== undefined && { after: query.after }) }
        // One more than asked for tells whether there is a next page.
        const found = await deps.subscribers.list(params.app_id, page)
        const shown = found.slice(0, limit)
        const last = found.length > limit ? shown.at(-1)?.subscriberId : undefined
        const headers = last === undefined ? {} : { link: nextLink(params.app_id, limit, last) }
        return { status: 200, json: shown.map(toSubscriberResource), headers }
      },
    ),
  )
}

function toNewSubscriber(
  appId: AppId,
  subscriberId: SubscriberId,
  body: v.InferOutput<typeof PutSubscriberSchema>,
): NewSubscriber {
  const subscriberNumber = toE164(body.subscriber_number)
  if (subscriberNumber === undefined) {
    throw invalidRequest([{ field: 'subscriber_number', message: 'must be an E.164 number such as +15128675309' }])
  }
  return {
    appId,
    networkId: body.network_id,
    subscriberId,
    subscriberNumber,
    ...(body.subscriber_name !== undefined && { subscriberName: body.subscriber_name }),
    ...(body.subscriber_account_id !== undefined && { subscriberAccountId: body.subscriber_account_id }),
  }
}

const nextLink = (appId: AppId, limit: number, after: SubscriberId): string =>
  `</admin/apps/${encodeURIComponent(appId)}/subscribers?limit=${limit}&after=${encodeURIComponent(after)}>; rel="next"`
