import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { DELIVERY_CLASSES } from '../core/delivery-policy.ts'
import { ENDPOINT_DEFAULTS } from '../core/endpoint.ts'
import { toAppId, toEndpointId } from '../core/ids.ts'
import { eventIdOf, formatToken, messageIdOf, parseToken, positionOf, rulesOf } from './delivery.ts'

test('a token holds what an event is in its lane', () => {
  const pending = {
    eventId: 'app-1:1700000000000000-42',
    class: 'act_now',
    takenAt: 1_700_000_000_000,
    expiresAt: 1_700_000_030_000,
    attemptsBefore: 0,
    isReplay: false,
  } as const
  expect(formatToken({ ...pending, sequence: '7' })).toBe(
    'app-1:1700000000000000-42|a|1700000000000|1700000030000|7|0|-',
  )
  expect(formatToken({ ...pending, isReplay: true, attemptsBefore: 3, sequence: undefined })).toBe(
    'app-1:1700000000000000-42|a|1700000000000|1700000030000|"1700000000000000:42"|3|r',
  )
})

test.each(['', '-1', '1.5', '1;parked', '1|2', '1, 2', '"1"', '１', '1234567890123456'])(
  'a sequence that is no plain number (%j) does not get into a header: the position is told instead',
  (sequence) => {
    const token = formatToken({
      eventId: 'app-1:1700000000000000-42',
      class: 'state',
      takenAt: 1,
      expiresAt: 2,
      attemptsBefore: 0,
      isReplay: false,
      sequence,
    })
    expect(token).toBe('app-1:1700000000000000-42|s|1|2|"1700000000000000:42"|0|-')
  },
)

test('whatever an app is called, a token is read as it was written', () => {
  const times = fc.integer({ min: 0, max: 4_000_000_000_000 })
  const tokens = fc.record({
    app: fc.string({ minLength: 1, maxLength: 64, unit: 'grapheme' }),
    epoch: fc.stringMatching(/^[0-9a-z]{1,32}$/),
    offset: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
    class: fc.constantFrom(...DELIVERY_CLASSES),
    takenAt: times,
    expiresAt: times,
    attemptsBefore: fc.nat(1_000),
    isReplay: fc.boolean(),
    sequence: fc.option(fc.string(), { nil: undefined }),
    isParked: fc.boolean(),
  })
  fc.assert(
    fc.property(tokens, ({ app, epoch, offset, sequence, isParked, ...rest }) => {
      const eventId = eventIdOf(toAppId(app), { epoch, offset })
      const token = `${formatToken({ ...rest, eventId, sequence })}${isParked ? 'p' : ''}`
      expect(parseToken(token)).toEqual({ ...rest, eventId, token, isParked })
      expect(positionOf(eventId)).toBe(`${epoch}:${offset}`)
    }),
  )
})

test('a delivery has one webhook-id for ever, which tells nothing and holds no dot', () => {
  const id = messageIdOf(toEndpointId('endpoint-1'), 'app-1:1700000000000000-42')
  expect(id).toBe('msg_GJ5FN1YAvALnipeLeOPZqiC9LSz')
  expect(messageIdOf(toEndpointId('endpoint-2'), 'app-1:1700000000000000-42')).not.toBe(id)
  expect(messageIdOf(toEndpointId('endpoint-1'), 'app-1:1700000000000000-43')).not.toBe(id)
  fc.assert(
    fc.property(fc.uuid(), fc.string(), (endpointId, eventId) => {
      expect(messageIdOf(toEndpointId(endpointId), eventId)).toMatch(/^msg_[\w-]{27}$/)
    }),
  )
})

test('lanes are worked off as the endpoint is configured', () => {
  const url = 'https://hooks.example.net/'
  expect(rulesOf({ url, ...ENDPOINT_DEFAULTS })).toEqual({ slots: 10, orderHoldMs: 10_000, coalesce: false })
  expect(
    rulesOf({ url, ...ENDPOINT_DEFAULTS, maxInFlight: 3, ratePerSecond: 5, coalesce: true, orderHoldMs: 0 }),
  ).toEqual({ slots: 3, ratePerSecond: 5, orderHoldMs: 0, coalesce: true })
})
