import type * as v from 'valibot'
import { describe, expect, expectTypeOf, test } from 'vitest'
import type { PlaceCall, PlacedCall as ServerPlacedCall } from '../control/place-request.ts'
import type {
  CallEventPayload,
  CallEventType as ServerCallEventType,
  SubscriberDeparturePayload,
  SubscriberEventPayload,
} from '../core/call-event.ts'
import type { CallResource } from '../core/call-resource.ts'
import type { LogGap } from '../core/event-log.ts'
import type { NumberEventPayload, OrderEventPayload } from '../core/provisioning-event.ts'
import type { BatchEventPayload, RequestEventPayload } from '../core/provisioning-request-event.ts'
import type { Position as ServerPosition } from '../core/position.ts'
import { formatPosition } from '../core/position.ts'
import type { StreamFilterSchema } from '../streams/filter.ts'
import type { ServerFrameSchema } from '../streams/protocol.ts'
import * as protocol from '../streams/protocol.ts'
import type {
  CallEvent,
  CallEventType,
  Dial,
  EventFrame,
  Filter,
  GapReason,
  NumberEvent,
  OrderEvent,
  PlacedCall,
  Position,
  ProvisioningBatchEvent,
  ProvisioningRequestEvent,
  ServerFrame,
  SnapshotCall,
  SubscriberDeparture,
  SubscriberEvent,
} from './frames.ts'
import { SUBPROTOCOL, TOKEN_SUBPROTOCOL_PREFIX, checkSize, parseFrame } from './frames.ts'

type SentFrame = v.InferOutput<typeof ServerFrameSchema>

/** The compiler holds the client's own types against the schemas; a difference fails `npm run check:types`. */
describe("the client's types are those of the gateway:", () => {
  test('what an app is told', () => {
    expectTypeOf<SubscriberDeparturePayload>().toExtend<SubscriberDeparture>()
    expectTypeOf<SubscriberEventPayload>().toExtend<SubscriberEvent>()
    expectTypeOf<CallEventPayload>().toExtend<CallEvent>()
    expectTypeOf<OrderEventPayload>().toExtend<OrderEvent>()
    expectTypeOf<NumberEventPayload>().toExtend<NumberEvent>()
    expectTypeOf<RequestEventPayload>().toExtend<ProvisioningRequestEvent>()
    expectTypeOf<BatchEventPayload>().toExtend<ProvisioningBatchEvent>()
    expectTypeOf<CallResource>().toExtend<SnapshotCall>()
    expectTypeOf<ServerPlacedCall>().toExtend<PlacedCall>()
    expectTypeOf<keyof SubscriberEvent>().toEqualTypeOf<keyof SubscriberEventPayload>()
    expectTypeOf<keyof SubscriberDeparture>().toEqualTypeOf<keyof SubscriberDeparturePayload>()
    expectTypeOf<keyof CallEvent>().toEqualTypeOf<keyof CallEventPayload>()
    expectTypeOf<keyof OrderEvent>().toEqualTypeOf<keyof OrderEventPayload>()
    expectTypeOf<keyof NumberEvent>().toEqualTypeOf<keyof NumberEventPayload>()
    expectTypeOf<keyof ProvisioningRequestEvent>().toEqualTypeOf<keyof RequestEventPayload>()
    expectTypeOf<keyof ProvisioningBatchEvent>().toEqualTypeOf<keyof BatchEventPayload>()
    expectTypeOf<keyof SnapshotCall>().toEqualTypeOf<keyof CallResource>()
    expectTypeOf<keyof PlacedCall>().toEqualTypeOf<keyof ServerPlacedCall>()
  })

  test('words', () => {
    expectTypeOf<CallEventType>().toEqualTypeOf<ServerCallEventType>()
    expectTypeOf<CallEvent['state']>().toEqualTypeOf<CallEventPayload['state']>()
    expectTypeOf<OrderEvent['state']>().toEqualTypeOf<OrderEventPayload['state']>()
    expectTypeOf<OrderEvent['event']>().toEqualTypeOf<OrderEventPayload['event']>()
    expectTypeOf<OrderEvent['action']>().toEqualTypeOf<OrderEventPayload['action']>()
    expectTypeOf<NumberEvent['state']>().toEqualTypeOf<NumberEventPayload['state']>()
    expectTypeOf<NumberEvent['event']>().toEqualTypeOf<NumberEventPayload['event']>()
    expectTypeOf<ProvisioningRequestEvent['status']>().toEqualTypeOf<RequestEventPayload['status']>()
    expectTypeOf<GapReason>().toEqualTypeOf<LogGap>()
    expectTypeOf<EventFrame['event']>().toEqualTypeOf<Extract<SentFrame, { type: 'event' }>['event']>()
    // An EventSource has no close codes; the client is not one.
    expectTypeOf<ServerFrame['type']>().toEqualTypeOf<Exclude<SentFrame['type'], 'close'>>()
  })

  test('what a client sends', () => {
    expectTypeOf<Position>().toExtend<ServerPosition>()
    expectTypeOf<keyof Filter>().toEqualTypeOf<keyof v.InferInput<typeof StreamFilterSchema>>()
    expectTypeOf<keyof Dial>().toEqualTypeOf<keyof PlaceCall>()
  })

  test('and the subprotocols are', () => {
    expect([SUBPROTOCOL, TOKEN_SUBPROTOCOL_PREFIX]).toEqual([protocol.SUBPROTOCOL, protocol.TOKEN_SUBPROTOCOL_PREFIX])
  })
})

describe('a message', () => {
  test('of a known type is a frame', () => {
    const frame = parseFrame('{"type":"ping","position":{"epoch":"7","offset":3}}')
    expect(frame?.type === 'ping' && frame.position && formatPosition(frame.position)).toBe('7:3')
  })

  test('of another type is ignored', () => {
    expect(parseFrame('{"type":"weather"}')).toBeUndefined()
  })

  test.each(['', 'hello'])('%j is no JSON', (text) => {
    expect(() => parseFrame(text)).toThrow('JSON')
  })

  test.each(['[]', 'null', '7', '{"op":"subscribe"}'])('%j is no frame', (text) => {
    expect(() => parseFrame(text)).toThrow('not a frame')
  })

  test('that would end the stream is not sent', () => {
    expect(() => checkSize({ call_id: 'ä'.repeat(33_000) })).toThrow(RangeError)
    expect(() => checkSize({ call_id: 'ä'.repeat(30_000) })).not.toThrow()
  })
})
