import * as v from 'valibot'
import { describe, expect, test } from 'vitest'
import { EVENT_TYPES } from '../core/app-event.ts'
import {
  CallEventPayloadSchema,
  SubscriberDeparturePayloadSchema,
  SubscriberEventPayloadSchema,
} from '../core/call-event.ts'
import { isGatewayError } from '../core/errors.ts'
import { toAppId } from '../core/ids.ts'
import {
  NUMBER_EVENT_TYPES,
  NumberEventPayloadSchema,
  ORDER_EVENT_TYPES,
  OrderEventPayloadSchema,
} from '../core/provisioning-event.ts'
import { BatchEventPayloadSchema, RequestEventPayloadSchema } from '../core/provisioning-request-event.ts'
import { failureOf } from '../../test/support/failure-of.ts'
import { createSamplePayload } from './sample-events.ts'

const NOW = 1_800_000_000_000
const context = { appId: toAppId('app-1'), name: 'x1', now: NOW }
const StrictCallEvent = v.strictObject(CallEventPayloadSchema.entries)
const StrictSubscriberEvent = v.strictObject(SubscriberEventPayloadSchema.entries)
const CALL_TYPES = EVENT_TYPES.filter((type) => type.startsWith('call.'))

test('there is a sample of every call event type', () => {
  expect(CALL_TYPES).toHaveLength(9)
})

describe.each(CALL_TYPES)('the sample of %s', (type) => {
  const sample = createSamplePayload(type, context)

  test('is what the schema of call events says, to the field', () => {
    expect(v.safeParse(StrictCallEvent, sample).issues).toBeUndefined()
  })

  test('agrees with itself', () => {
    const call = v.parse(StrictCallEvent, sample)
    expect(call.event).toBe(type)
    expect(call.app_id).toBe('app-1')
    expect(call.call_id).toBe('callhalf-sample-x1:0')
    expect(call.timestamp).toBe(NOW)
    expect(call.previous_state === call.state ? 'call.updated' : `call.${call.state}`).toBe(type)
    expect(call.previous_state === undefined).toBe(call.sequence_number === '1')
    const isAnswered = ['active', 'held', 'remote_held', 'detached', 'released'].includes(call.state)
    expect(call.answered_at !== undefined).toBe(isAnswered)
    expect(call.released_at !== undefined).toBe(call.state === 'released')
    expect(call.release_cause !== undefined).toBe(call.state === 'released')
    expect(call.redirect !== undefined).toBe(call.state === 'detached')
    expect(call.direction).toBe(['initiating', 'alerting'].includes(call.state) ? 'outgoing' : 'incoming')
    const times = [call.started_at, call.answered_at, call.released_at, call.timestamp].filter((at) => at !== undefined)
    expect(times).toEqual(times.toSorted((a, b) => a - b))
  })
})

test('the sample of subscriber.assigned is what its schema says, to the field', () => {
  const sample = createSamplePayload('subscriber.assigned', context)
  expect(v.safeParse(StrictSubscriberEvent, sample).issues).toBeUndefined()
  expect(sample).toMatchObject({ app_id: 'app-1', subscriber_number: '+15550100' })
})

test('the sample of subscriber.unassigned is what its schema says, to the field', () => {
  const sample = createSamplePayload('subscriber.unassigned', context)
  expect(v.safeParse(v.strictObject(SubscriberDeparturePayloadSchema.entries), sample).issues).toBeUndefined()
  expect(sample).toMatchObject({ app_id: 'app-1', subscriber_number: '+15550100' })
})

test('there is a sample of every event of orders and numbers', () => {
  expect([...ORDER_EVENT_TYPES, ...NUMBER_EVENT_TYPES]).toEqual([
    'order.acknowledged',
    'order.in_progress',
    'order.pending',
    'order.held',
    'order.completed',
    'order.partial',
    'order.failed',
    'order.cancelling',
    'order.cancelled',
    'number.in_service',
    'number.released',
    'number.changed',
    'number.porting',
  ])
})

test.each(ORDER_EVENT_TYPES)('the sample of %s is what its schema says, to the field', (type) => {
  const sample = createSamplePayload(type, context)
  expect(v.safeParse(v.strictObject(OrderEventPayloadSchema.entries), sample).issues).toBeUndefined()
  expect(sample).toMatchObject({ app_id: 'app-1', event: type, order_id: 'ord_sample-x1', timestamp: NOW })
})

test.each([
  ['order.in_progress', 'inProgress'],
  ['order.cancelling', 'assessingCancellation'],
  ['order.failed', 'failed'],
])('the sample of %s is of an order in the state %s', (type, state) => {
  expect(createSamplePayload(type, context)).toMatchObject({ state })
})

test.each(NUMBER_EVENT_TYPES)('the sample of %s is what its schema says, to the field', (type) => {
  const sample = createSamplePayload(type, context)
  expect(v.safeParse(v.strictObject(NumberEventPayloadSchema.entries), sample).issues).toBeUndefined()
  expect(sample).toMatchObject({ app_id: 'app-1', event: type, number: '+15555550100', timestamp: NOW })
})

test.each([
  ['provisioning_request.ended', RequestEventPayloadSchema],
  ['provisioning_batch.ended', BatchEventPayloadSchema],
] as const)('the sample of %s is what its schema says, to the field', (type, schema) => {
  const sample = createSamplePayload(type, context)
  expect(v.safeParse(v.strictObject({ ...schema.entries }), sample).issues).toBeUndefined()
  expect(sample).toMatchObject({ app_id: 'app-1', event: type, timestamp: NOW })
})

test.each([
  'call.exploded',
  'call.*',
  'order.*',
  'order.',
  'order.Done',
  'order.teleported',
  'number.*',
  'subscriber.removed',
  '',
  'constructor',
])('there is no sample of %j', (type) => {
  expect(
    isGatewayError(
      failureOf(() => createSamplePayload(type, context)),
      'invalid_request',
    ),
  ).toBe(true)
})
