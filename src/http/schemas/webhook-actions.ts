import * as v from 'valibot'
import type { ReplayResult } from '../webhook-ports.ts'
import { AttemptResourceSchema } from './delivery.ts'
import { milliseconds } from './fields.ts'
import { eventType, ownSecret } from './webhook-settings.ts'
import { shownSecret } from './webhook.ts'

const OVERLAP_MAX = 604_800
const OVERLAP_MESSAGE = `must be a whole number of seconds from 0 to ${OVERLAP_MAX}`

export const RotateSecretSchema = v.pipe(
  v.strictObject({
    secret: v.optional(ownSecret),
    overlap_seconds: v.optional(
      v.pipe(
        v.number(OVERLAP_MESSAGE),
        v.integer(OVERLAP_MESSAGE),
        v.minValue(0, OVERLAP_MESSAGE),
        v.maxValue(OVERLAP_MAX, OVERLAP_MESSAGE),
        v.description('How long those before go on signing beside the new ones; 86400 if absent, 0 ends them now'),
      ),
    ),
  }),
  v.metadata({ ref: 'RotateSecret', title: 'How to replace the signing secret' }),
)
export const RotatedSecretSchema = v.pipe(
  v.object({
    secret: shownSecret,
    public_key: v.optional(v.pipe(v.string(), v.startsWith('whpk_'))),
    previous_secrets_expire_at: milliseconds,
  }),
  v.metadata({ ref: 'RotatedSecret', title: 'The new signing secret' }),
)

export const TestWebhookSchema = v.pipe(
  v.strictObject({
    event_type: v.optional(v.pipe(eventType, v.description('`call.ringing` if absent'))),
  }),
  v.metadata({ ref: 'TestWebhook', title: 'What to send' }),
)
export const WebhookTestSchema = v.pipe(
  v.object({
    delivery_id: v.string(),
    event_type: v.string(),
    payload: v.pipe(v.record(v.string(), v.unknown()), v.description('The body that was sent')),
    attempts: v.pipe(v.array(AttemptResourceSchema), v.description('Two when the failover URL was tried')),
  }),
  v.metadata({ ref: 'WebhookTest', title: 'What came of a test' }),
)

export const VerificationSchema = v.pipe(
  v.object({ verified: v.boolean(), attempt: AttemptResourceSchema }),
  v.metadata({ ref: 'Verification', title: 'Whether the receiver has proven to want the webhook' }),
)

export const ReplaySchema = v.pipe(
  v.object({
    matched: v.pipe(
      v.number(),
      v.integer(),
      v.description('Deliveries that match and are not pending, up to the limit'),
    ),
    replayed: v.pipe(
      v.number(),
      v.integer(),
      v.description('Those of them that are being sent again: fewer when the backlog is full'),
    ),
    truncated: v.pipe(
      v.boolean(),
      v.description('There is more to replay: beyond the limit, or beyond what the backlog has room for'),
    ),
    dry_run: v.boolean(),
  }),
  v.metadata({ ref: 'Replay', title: 'What is sent again' }),
)

export const toReplayResource = (
  { matched, replayed, truncated }: ReplayResult,
  dryRun: boolean,
): v.InferOutput<typeof ReplaySchema> => ({ matched, replayed, truncated, dry_run: dryRun })
