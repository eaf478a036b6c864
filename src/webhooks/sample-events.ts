import * as v from 'valibot'
import type { EventPayload } from '../core/app-event.ts'
import type {
  CallEventPayload,
  CallEventType,
  SubscriberDeparturePayload,
  SubscriberEventPayload,
} from '../core/call-event.ts'
import { CallEventPayloadSchema, SUBSCRIBER_ASSIGNED, SUBSCRIBER_UNASSIGNED } from '../core/call-event.ts'
import { composePayload } from '../core/call-payload.ts'
import type { Call, CallState } from '../core/call.ts'
import type { Assignment } from '../core/directory.ts'
import { GatewayError } from '../core/errors.ts'
import { ShardSchema, toCallId, toNetworkId, toSubscriberId } from '../core/ids.ts'
import type { AppId } from '../core/ids.ts'
import { NumberEventPayloadSchema, OrderEventPayloadSchema } from '../core/provisioning-event.ts'
import type { NumberEventType, OrderEventType } from '../core/provisioning-event.ts'
import { BATCH_ENDED, REQUEST_ENDED } from '../core/provisioning-request-event.ts'
import {
  createBatchEndSample,
  createNumberSample,
  createOrderSample,
  createRequestEndSample,
} from './sample-provisioning-events.ts'

export type SampleContext = {
  readonly appId: AppId
  /** Tells one sample from another: 1 to 64 of a-z and 0-9. */
  readonly name: string
  /** Milliseconds since the epoch. */
  readonly now: number
}

/** An event of a plausible call. */
type CallSample = {
  readonly sequence: number
  readonly previousState?: CallState
  /** How long ago the call began. */
  readonly ageMs: number
  readonly call: Pick<Call, 'direction' | 'state'> & Partial<Call>
}

/**
 * A realistic payload of any event type, as the engine would send it; everything in it says that it is a
 * sample. Throws `invalid_request` for a type that there is not.
 */
export function createSamplePayload(type: string, context: SampleContext): EventPayload {
  if (type === SUBSCRIBER_ASSIGNED) return createSubscriberSample(context)
  if (type === SUBSCRIBER_UNASSIGNED) return createDepartureSample(context)
  if (isOrderEventType(type)) return createOrderSample(type, context)
  if (isNumberEventType(type)) return createNumberSample(type, context)
  if (type === REQUEST_ENDED) return createRequestEndSample(context)
  if (type === BATCH_ENDED) return createBatchEndSample(context)
  if (isCallEventType(type)) return createCallSample(type, context)
  throw new GatewayError('invalid_request', {
    detail: 'There is no such event type',
    fields: { field: 'event_type' },
  })
}

const isCallEventType = (type: string): type is CallEventType => v.is(CallEventPayloadSchema.entries.event, type)
const isOrderEventType = (type: string): type is OrderEventType => v.is(OrderEventPayloadSchema.entries.event, type)
const isNumberEventType = (type: string): type is NumberEventType => v.is(NumberEventPayloadSchema.entries.event, type)

const NUMBER = '+15550100'
const REMOTE_NUMBER = '+15550199'
const FORWARDED_TO = '+15550150'
const SHARD = 'main'

function createCallSample(type: CallEventType, context: SampleContext): CallEventPayload {
  const { name, now } = context
  const { sequence, previousState, ageMs, call } = createCallSamples(now)[type]
  const sample: Call = {
    callId: toCallId(`callhalf-sample-${name}:0`),
    remoteNumber: REMOTE_NUMBER,
    remoteName: 'Sample Party',
    trackingId: `sample-${name}:1`,
    startedAt: now - ageMs,
    ...call,
  }
  const event = { type, call: sample, ...(previousState !== undefined && { previousState }) }
  return { ...composePayload(event, assignmentOf(context), now), sequence_number: String(sequence) }
}

function createCallSamples(now: number): Readonly<Record<CallEventType, CallSample>> {
  const answered = { direction: 'incoming', answeredAt: now - 60_000 } as const
  return {
    'call.initiating': { sequence: 1, ageMs: 200, call: { direction: 'outgoing', state: 'initiating' } },
    'call.alerting': {
      sequence: 2,
      previousState: 'initiating',
      ageMs: 4_000,
      call: { direction: 'outgoing', state: 'alerting' },
    },
    'call.ringing': { sequence: 1, ageMs: 200, call: { direction: 'incoming', state: 'ringing', canAnswer: true } },
    'call.active': {
      sequence: 2,
      previousState: 'ringing',
      ageMs: 8_000,
      call: { direction: 'incoming', state: 'active', answeredAt: now },
    },
    'call.held': {
      sequence: 3,
      previousState: 'active',
      ageMs: 68_000,
      call: { ...answered, state: 'held', heldAt: now, canResume: true },
    },
    'call.remote_held': {
      sequence: 3,
      previousState: 'active',
      ageMs: 68_000,
      call: { ...answered, state: 'remote_held' },
    },
    'call.detached': {
      sequence: 3,
      previousState: 'active',
      ageMs: 68_000,
      call: {
        ...answered,
        state: 'detached',
        detachedAt: now,
        redirect: { number: FORWARDED_TO, reason: 'transfer' },
      },
    },
    'call.released': {
      sequence: 3,
      previousState: 'active',
      ageMs: 68_000,
      call: { ...answered, state: 'released', releasedAt: now, releaseCause: 'normal', releasingParty: 'remote' },
    },
    // Nothing but the recording has changed.
    'call.updated': {
      sequence: 3,
      previousState: 'active',
      ageMs: 68_000,
      call: { ...answered, state: 'active', flags: { recording: 'started' } },
    },
  }
}

function assignmentOf({ appId }: SampleContext): Assignment {
  const shard = v.parse(ShardSchema, SHARD)
  return {
    app: { appId, shard },
    network: { networkId: toNetworkId('sample-network'), shard },
    subscriberId: toSubscriberId('sample@example.net'),
    subscriberNumber: NUMBER,
    subscriberName: 'Sample Subscriber',
    subscriberAccountId: 'sample-account',
  }
}

function createSubscriberSample(context: SampleContext): SubscriberEventPayload {
  const { app, network, subscriberId, subscriberNumber } = assignmentOf(context)
  return {
    app_id: app.appId,
    subscriber_id: subscriberId,
    subscriber_number: subscriberNumber,
    subscriber_name: 'Sample Subscriber',
    subscriber_account_id: 'sample-account',
    network_id: network.networkId,
  }
}

function createDepartureSample(context: SampleContext): SubscriberDeparturePayload {
  const { app_id, subscriber_id, subscriber_number, network_id } = createSubscriberSample(context)
  return { app_id, subscriber_id, subscriber_number, network_id }
}
