import * as v from 'valibot'
import { CHALLENGE_TYPE } from '../../webhooks/verifier.ts'

/** What a receiver is sent that has to prove that it wants a webhook. */
export const ChallengePayloadSchema = v.pipe(
  v.object({
    type: v.literal(CHALLENGE_TYPE),
    timestamp: v.pipe(v.string(), v.isoTimestamp()),
    data: v.object({ challenge: v.pipe(v.string(), v.description('To be answered with')) }),
  }),
  v.metadata({ ref: 'WebhookChallenge', title: 'Challenge' }),
)

/** How it may answer, besides with the bare challenge as text. */
export const ChallengeAnswerSchema = v.pipe(
  v.object({ challenge: v.string() }),
  v.metadata({ ref: 'ChallengeAnswer', title: 'Answer to a challenge' }),
)
