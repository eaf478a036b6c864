import * as v from 'valibot'
import type { CallId } from './ids.ts'

/**
 * States of a call half, seen from the subscriber.
 *
 * - `initiating`: click-to-dial was accepted and the subscriber's own phone is being rung.
 * - `alerting`: outgoing, the remote party is being rung.
 * - `ringing`: incoming, the subscriber's phone rings.
 * - `active`, `held` (by the subscriber), `remote_held` (by the other party).
 * - `detached`: redirected or forwarded away; the subscriber can no longer control it.
 * - `released`: ended. Terminal.
 */
export const CALL_STATES = [
  'initiating',
  'alerting',
  'ringing',
  'active',
  'held',
  'remote_held',
  'detached',
  'released',
] as const
export const CallStateSchema = v.picklist(CALL_STATES)
export type CallState = v.InferOutput<typeof CallStateSchema>

export const DirectionSchema = v.picklist(['incoming', 'outgoing'])
export type Direction = v.InferOutput<typeof DirectionSchema>

/**
 * Why a call ended. The first group is reported by the network; the last three are concluded here:
 * `reconciled` (a newer snapshot no longer contains it), `superseded` (its id was reused by a newer
 * call) and `lost` (nothing confirmed it for 24 h).
 */
const RELEASE_CAUSES = [
  'normal',
  'busy',
  'forbidden',
  'routing_failure',
  'global_failure',
  'request_failure',
  'server_failure',
  'translation_failure',
  'temporarily_unavailable',
  'user_not_found',
  'request_timeout',
  'dial_tone_timeout',
  'insufficient_credits',
  'unknown',
  'reconciled',
  'superseded',
  'lost',
] as const
export const ReleaseCauseSchema = v.picklist(RELEASE_CAUSES)
export type ReleaseCause = v.InferOutput<typeof ReleaseCauseSchema>

export const RecordingStateSchema = v.picklist(['pending', 'started', 'paused', 'failed'])
export type RecordingState = v.InferOutput<typeof RecordingStateSchema>

/** Facts about a call that accompany its state and are never states themselves. */
export type CallFlags = {
  /** The network is collecting digits from the subscriber. */
  readonly collecting?: true
  /** A tone or announcement plays before the release. */
  readonly treatment?: true
  /** The call came back to the subscriber (transfer, park or hold recall). */
  readonly recall?: true
  readonly recording?: RecordingState
}

/**
 * One call half as last known, in the network's own terms but normalised.
 * All times are milliseconds since the epoch, by the network's clock.
 */
export type Call = {
  readonly callId: CallId
  /** The network's own id of it now, if that is another one than `callId`; commands must name this one. */
  readonly networkCallId?: CallId
  readonly state: CallState
  readonly direction: Direction
  /** E.164 where the network says so, otherwise as dialled; empty when withheld. */
  readonly remoteNumber: string
  readonly remoteName?: string
  /** Ties the halves of one session together; changes on consult transfer, pickup and barge-in. */
  readonly trackingId: string
  readonly startedAt: number
  readonly answeredAt?: number
  readonly heldAt?: number
  readonly detachedAt?: number
  readonly releasedAt?: number
  readonly releaseCause?: ReleaseCause
  readonly releasingParty?: 'local' | 'remote'
  /** Where the subscriber's own redirection sent it. */
  readonly redirect?: { readonly number?: string; readonly reason: string }
  /** The answer command applies now. */
  readonly canAnswer?: true
  /** The resume command applies now. */
  readonly canResume?: true
  readonly flags?: CallFlags
}

/** Whether a call in this state still exists for the subscriber. */
export const isLive = (state: CallState): boolean => state !== 'released'
