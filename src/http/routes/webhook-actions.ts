import type { Hono } from 'hono'
import type { Clock } from '../../core/clock.ts'
import type { HttpEnv } from '../context.ts'
import type { InFlightLimit } from '../in-flight-limit.ts'
import type { DefineOperation } from '../operation.ts'
import { ReplayFilterSchema, toReplayFilter, toReplayOptions } from '../schemas/delivery-query.ts'
import { toAttemptResource } from '../schemas/delivery.ts'
import { AppWebhookParams } from '../schemas/parameters.ts'
import {
  ReplaySchema,
  RotatedSecretSchema,
  RotateSecretSchema,
  TestWebhookSchema,
  toReplayResource,
  VerificationSchema,
  WebhookTestSchema,
} from '../schemas/webhook-actions.ts'
import { checkOwnSecret } from '../webhook-input.ts'
import type { DeliveryReplayer, DeliveryTester, OwnershipVerifier } from '../webhook-ports.ts'
import { findWebhook, openIfSending } from '../webhook-registration.ts'
import type { WebhookRegistrationDeps } from '../webhook-registration.ts'
import { rotateSecrets } from '../webhook-rotation.ts'

const TAG = 'Webhooks'
const OVERLAP_SECONDS = 86_400
const TEST_TYPE = 'call.ringing'

export type WebhookActionDeps = WebhookRegistrationDeps & {
  readonly replayer: DeliveryReplayer
  readonly tester: DeliveryTester
  readonly verifier: OwnershipVerifier
  readonly clock: Clock
  /** Of tests, verifications and replays of one app under way on this instance. */
  readonly limit: InFlightLimit
}

/** What can be done with a webhook. */
export function addWebhookActionRoutes(app: Hono<HttpEnv>, define: DefineOperation, deps: WebhookActionDeps): void {
  addRotateRoute(app, define, deps)
  addTestRoute(app, define, deps)
  addVerifyRoute(app, define, deps)
  addReplayRoute(app, define, deps)
}

function addRotateRoute(app: Hono<HttpEnv>, define: DefineOperation, deps: WebhookActionDeps): void {
  app.post(
    '/apps/:app_id/webhooks/:webhook_id/rotate-secret',
    define(
      {
        operationId: 'rotateWebhookSecret',
        tag: TAG,
        summary: 'Replace the signing secret',
        description:
          'Until the old one ends, every delivery has signatures of both. A webhook with `v1a` signatures gets a new key pair, too. The answer takes a second or two: when it comes, every request that is sent is signed with the new secret, and with `overlap_seconds: 0` none with an old one.',
        access: 'app',
        params: AppWebhookParams,
        body: RotateSecretSchema,
        isBodyOptional: true,
        responses: { 200: { description: 'Replaced; the secret is shown this once', schema: RotatedSecretSchema } },
        errors: ['webhook_not_found'],
      },
      async ({ params, body, c }) => {
        checkOwnSecret(body.secret)
        const endpoint = await findWebhook(deps.endpoints, params)
        const secret = body.secret ?? deps.generateSecret()
        const graceMs = (body.overlap_seconds ?? OVERLAP_SECONDS) * 1_000
        const asymmetric = endpoint.publicKey === undefined ? undefined : deps.generateKeyPair()
        const rotation = { secret, graceMs, ...(asymmetric !== undefined && { asymmetric }) }
        const expireAt = await rotateSecrets(deps, endpoint, { ...rotation, signal: c.req.raw.signal })
        const shown = asymmetric === undefined ? { secret } : { secret, public_key: asymmetric.publicKey }
        return { status: 200, json: { ...shown, previous_secrets_expire_at: expireAt } }
      },
    ),
  )
}

function addTestRoute(
  app: Hono<HttpEnv>,
  define: DefineOperation,
  { endpoints, tester, limit }: WebhookActionDeps,
): void {
  app.post(
    '/apps/:app_id/webhooks/:webhook_id/test',
    define(
      {
        operationId: 'testWebhook',
        tag: TAG,
        summary: 'Send a sample event now',
        description:
          'Signed and sent like any other, once, with the header `callhalf-test: 1`, whether the webhook is enabled or not. It is not recorded.',
        access: 'app',
        params: AppWebhookParams,
        body: TestWebhookSchema,
        isBodyOptional: true,
        responses: { 200: { description: 'What came of it', schema: WebhookTestSchema } },
        errors: ['webhook_not_found', 'webhook_unverified', 'too_many_requests', 'draining'],
      },
      async ({ params, body }) => {
        const endpoint = await findWebhook(endpoints, params)
        const sent = await limit.run(params.app_id, () => tester.send(endpoint, body.event_type ?? TEST_TYPE))
        const { deliveryId, type, payload } = sent
        const attempts = sent.attempts.map(toAttemptResource)
        return { status: 200, json: { delivery_id: deliveryId, event_type: type, payload, attempts } }
      },
    ),
  )
}

function addVerifyRoute(app: Hono<HttpEnv>, define: DefineOperation, deps: WebhookActionDeps): void {
  app.post(
    '/apps/:app_id/webhooks/:webhook_id/verify',
    define(
      {
        operationId: 'verifyWebhook',
        tag: TAG,
        summary: 'Let the receiver prove that it wants the webhook',
        description:
          'Sends the webhook `challenge`; the receiver answers with its `challenge`. A verified webhook gets the events from now on.',
        access: 'app',
        params: AppWebhookParams,
        responses: { 200: { description: 'Whether it did', schema: VerificationSchema } },
        errors: ['webhook_not_found', 'too_many_requests', 'draining'],
      },
      async ({ params }) => {
        const endpoint = await findWebhook(deps.endpoints, params)
        const { verified, attempt } = await deps.limit.run(params.app_id, () => deps.verifier.verify(endpoint))
        if (verified) await openIfSending(deps, { ...endpoint, verified })
        return { status: 200, json: { verified, attempt: toAttemptResource(attempt) } }
      },
    ),
  )
}

function addReplayRoute(
  app: Hono<HttpEnv>,
  define: DefineOperation,
  { endpoints, replayer, limit }: WebhookActionDeps,
): void {
  app.post(
    '/apps/:app_id/webhooks/:webhook_id/replay',
    define(
      {
        operationId: 'replayWebhook',
        tag: TAG,
        summary: 'Send deliveries of a webhook again',
        description:
          'Those that match and are not pending, oldest first. They keep their `webhook-id`, get a new time to live and carry `callhalf-replay: 1`.',
        access: 'app',
        params: AppWebhookParams,
        body: ReplayFilterSchema,
        isBodyOptional: true,
        responses: { 200: { description: 'What is sent again', schema: ReplaySchema } },
        errors: ['webhook_not_found', 'webhook_disabled', 'webhook_unverified', 'too_many_requests'],
      },
      async ({ params, body }) => {
        const { dryRun, limit: count } = toReplayOptions(body)
        const { appId, endpointId } = await findWebhook(endpoints, params)
        const filter = toReplayFilter(body, { appId, endpointId })
        const result = await limit.run(params.app_id, () => replayer.matching(filter, { dryRun, limit: count }))
        return { status: 200, json: toReplayResource(result, dryRun) }
      },
    ),
  )
}
