import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  callDetails,
  callList,
  CHANNEL,
  errorInfo,
  eventDocument,
  HEARTBEAT,
} from '../../test/fixtures/xsi/documents.ts'
import { failureOf } from '../../test/support/failure-of.ts'
import { isGatewayError } from '../core/errors.ts'
import { normalizeEvent } from './normalize.ts'
import type { XsiEvent } from './parse.ts'
import { parseDocument } from './parse.ts'

const parse = (text: string) => parseDocument(Buffer.from(text))

const eventOf = (text: string): XsiEvent => {
  const document = parse(text)
  if (document.type !== 'event') throw new Error(`a ${document.type}, not an event`)
  return document.event
}

describe('events', () => {
  test('the envelope is read in full', () => {
    const { data, ...event } = eventOf(eventDocument({ type: 'CallReceivedEvent', targetId: 'ann@example.net' }))
    expect(event).toEqual({
      eventId: 'event-0001',
      sequenceNumber: 7,
      ownerId: 'owner@example.net',
      targetId: 'ann@example.net',
      subscriptionId: 'subscription-0001',
      channelId: 'channel-0001',
      applicationId: 'callhalf',
      dataType: 'CallReceivedEvent',
    })
    expect(data?.name).toBe('eventData')
  })

  test('without a targetId the owner is the monitored user', () => {
    expect(eventOf(eventDocument({ type: 'CallReceivedEvent' })).targetId).toBe('owner@example.net')
  })

  test('the attribute order and the prefixes of other releases make no difference', () => {
    const event = eventOf(
      '<?xml version="1.0" encoding="UTF-8"?><b:Event s:type="b:SubscriptionEvent" xmlns:b="http://schema.broadsoft.com/xsi" xmlns:s="http://www.w3.org/2001/XMLSchema-instance"><b:eventID>e</b:eventID><b:sequenceNumber>1</b:sequenceNumber><b:clientId>client-1</b:clientId><b:subscriptionId>s</b:subscriptionId><b:httpContact><b:uri>http://x.example.net</b:uri></b:httpContact><b:targetId>ann@example.net</b:targetId><b:new>element</b:new><b:eventData s:type="b:CallHeldEvent"/></b:Event>',
    )
    expect(event).toMatchObject({ ownerId: 'client-1', targetId: 'ann@example.net', dataType: 'CallHeldEvent' })
  })

  test('a payload type of another namespace does not pass for BroadSoft’s', () => {
    const foreign = eventDocument({ type: 'CallReceivedEvent' }).replace(
      'xsi1:type="xsi:CallReceivedEvent"',
      'xsi1:type="o:CallReceivedEvent" xmlns:o="urn:other"',
    )
    expect(eventOf(foreign).dataType).toBe('{urn:other}CallReceivedEvent')
  })

  test.each([
    ['sequenceNumber of 0', eventDocument({ type: 'X', sequenceNumber: '0' }), 'sequenceNumber'],
    ['sequenceNumber over 2147483647', eventDocument({ type: 'X', sequenceNumber: '2147483648' }), 'sequenceNumber'],
    ['sequenceNumber that is no number', eventDocument({ type: 'X', sequenceNumber: 'many' }), 'sequenceNumber'],
    [
      'no subscriptionId',
      eventDocument({ type: 'X' }).replace(/<xsi:subscriptionId>.*<\/xsi:subscriptionId>/, ''),
      'subscriptionId',
    ],
    ['no user at all', eventDocument({ type: 'X' }).replace(/<xsi:userId>.*<\/xsi:userId>/, ''), 'targetId'],
    ['a user id over 161 characters', eventDocument({ type: 'X', targetId: 'u'.repeat(162) }), 'targetId'],
    ['broken XML after the eventID', eventDocument({ type: 'X', payload: '&nbsp;' }), 'not well-formed'],
    [
      'a control character in a name',
      eventDocument({ type: 'X', payload: '<xsi:name>\u0002</xsi:name>' }),
      'not well-formed',
    ],
  ])('an event with %s is malformed but can still be acknowledged', (_, text, reason) => {
    expect(parse(text)).toMatchObject({
      type: 'malformed-event',
      eventId: 'event-0001',
      reason: expect.stringContaining(reason),
    })
  })

  test('a malformed event says whose it is as far as it can be read', () => {
    expect(parse(eventDocument({ type: 'X', sequenceNumber: '0', targetId: 'ann@example.net' }))).toEqual({
      type: 'malformed-event',
      eventId: 'event-0001',
      reason: 'the sequenceNumber is missing or invalid',
      subscriptionId: 'subscription-0001',
      targetId: 'ann@example.net',
    })
  })

  test('an event without eventData is an event of no type', () => {
    const event = eventOf(eventDocument({ type: 'X' }).replace(/<xsi:eventData.*<\/xsi:eventData>/, ''))
    expect(event).toMatchObject({ dataType: '', data: undefined })
    expect(normalizeEvent(event, 1)).toEqual({ kind: 'ignored', reason: 'unknown_type' })
  })

  test.each([
    ['an event without an eventID', eventDocument({ type: 'X', eventId: '' })],
    ['an eventID over 256 characters', eventDocument({ type: 'X', eventId: 'e'.repeat(257) })],
    ['XML that is broken before the eventID', '<xsi:Event>&nbsp;'],
    ['not XML', 'hello'],
    ['a channel without channelId', '<Channel xmlns="http://schema.broadsoft.com/xsi"><expires>1</expires></Channel>'],
    ['a subscription without subscriptionId', '<Subscription xmlns="http://schema.broadsoft.com/xsi"/>'],
    ['a call without callId', callDetails({ callId: '' })],
    ['a listed call without callId', callList('')],
  ])('%s is a protocol error', (_, text) => {
    expect(
      isGatewayError(
        failureOf(() => parse(text)),
        'protocol_error',
      ),
    ).toBe(true)
  })

  test('of any bytes throws nothing but protocol_error, and no event makes the normalizer throw', () => {
    const whole = eventDocument({
      type: 'CallAnsweredEvent',
      payload: '<xsi:call><xsi:callId>c</xsi:callId></xsi:call>',
    })
    const damaged = fc
      .tuple(
        fc.nat({ max: whole.length }),
        fc.nat({ max: 40 }),
        fc.oneof(fc.string(), fc.constantFrom('<x/>', '&#65;', '</xsi:call>', '')),
      )
      .map(([at, length, text]) => whole.slice(0, at) + text + whole.slice(at + length))
    fc.assert(
      fc.property(
        fc.oneof(
          damaged.map((text) => Buffer.from(text)),
          fc.uint8Array({ maxLength: 300 }),
        ),
        (bytes) => {
          const failure = failureOf(() => {
            const document = parseDocument(bytes)
            if (document.type === 'event') normalizeEvent(document.event, 1)
          })
          expect(failure === undefined || isGatewayError(failure, 'protocol_error')).toBe(true)
        },
      ),
      { numRuns: 1000 },
    )
  })
})

const xsi = 'xmlns="http://schema.broadsoft.com/xsi"'
const channelEvent = (type: string, children: string): string =>
  `<xsi:Event xmlns:xsi="http://schema.broadsoft.com/xsi" xmlns:xsi1="http://www.w3.org/2001/XMLSchema-instance" xsi1:type="xsi:${type}">${children}</xsi:Event>`

describe('other documents', () => {
  test.each([
    ['a channel', CHANNEL, { type: 'channel', channelId: 'channel-0001', expiresSeconds: 86_400 }],
    [
      'a channel without expires',
      `<Channel ${xsi}><channelId>c</channelId></Channel>`,
      { type: 'channel', channelId: 'c' },
    ],
    ['a heartbeat', HEARTBEAT, { type: 'heartbeat' }],
    ['a heartbeat in the other spelling', `<ChannelHeartbeat ${xsi}/>`, { type: 'heartbeat' }],
    [
      'the end of a channel',
      channelEvent('ChannelTerminatedEvent', '<xsi:channelId>c</xsi:channelId><xsi:reason>Expired</xsi:reason>'),
      { type: 'channel-terminated', channelId: 'c', reason: 'Expired' },
    ],
    [
      'the end of a channel before release 19',
      channelEvent('ChannelTerminatedEvent', '<xsi:channelId>c</xsi:channelId>'),
      { type: 'channel-terminated', channelId: 'c' },
    ],
    [
      'an error event',
      channelEvent('ErrorEvent', '<xsi:errorCode>7</xsi:errorCode><xsi:errorMessage>no</xsi:errorMessage>'),
      { type: 'error-event', errorCode: '7', errorMessage: 'no' },
    ],
    [
      'an ErrorInfo',
      errorInfo('110862', 'Subscription does not exist'),
      { type: 'error-info', errorCode: '110862', summary: 'Subscription does not exist' },
    ],
    [
      'an XCAP error',
      '<xcap-error xmlns="urn:ietf:params:xml:ns:xcap-error"><constraint-failure phrase="No such filter"/></xcap-error>',
      { type: 'error-info', summary: 'No such filter' },
    ],
    [
      'a granted subscription',
      `<Subscription ${xsi}><subscriptionId>s</subscriptionId><expires>86400</expires></Subscription>`,
      { type: 'subscription', subscription: { subscriptionId: 's', packages: [], expiresSeconds: 86_400 } },
    ],
    [
      'a list of subscriptions',
      `<SubscriptionList ${xsi}><subscription><subscriptionId>s</subscriptionId><subscriberId>o</subscriberId><targetIdType>User</targetIdType><targetId>t</targetId><event>Advanced Call</event><expires>9</expires><channelSetId>cs</channelSetId><applicationId>app</applicationId></subscription><subscription><subscriptionId>r</subscriptionId><eventPackageList><event>Basic Call</event><event>Do Not Disturb</event></eventPackageList></subscription></SubscriptionList>`,
      {
        type: 'subscription-list',
        subscriptions: [
          {
            subscriptionId: 's',
            subscriberId: 'o',
            targetIdType: 'User',
            targetId: 't',
            packages: ['Advanced Call'],
            expiresSeconds: 9,
            channelSetId: 'cs',
            applicationId: 'app',
          },
          { subscriptionId: 'r', packages: ['Basic Call', 'Do Not Disturb'] },
        ],
      },
    ],
    [
      'a list of calls',
      callList('callhalf-1:0', 'callhalf-2:0'),
      { type: 'calls', callIds: ['callhalf-1:0', 'callhalf-2:0'] },
    ],
    ['an empty list of calls', callList(), { type: 'calls', callIds: [] }],
    [
      'a started call',
      `<CallStartInfo ${xsi}><callId>callhalf-488:0</callId><externalTrackingId>70:1</externalTrackingId></CallStartInfo>`,
      { type: 'call-start-info', callId: 'callhalf-488:0', trackingId: '70:1' },
    ],
    ['a document of no known root', `<Profile ${xsi}/>`, { type: 'unknown', root: 'Profile' }],
    [
      'a root of another namespace',
      '<Channel xmlns="urn:other"><channelId>c</channelId></Channel>',
      { type: 'unknown', root: 'Channel' },
    ],
    ['a root named like an object property', '<constructor/>', { type: 'unknown', root: 'constructor' }],
  ])('reads %s', (_, text, document) => {
    expect(parse(text)).toEqual(document)
  })

  test.each([
    ['a channel', (id: string) => `<Channel ${xsi}><channelId>${id}</channelId></Channel>`],
    ['a subscription', (id: string) => `<Subscription ${xsi}><subscriptionId>${id}</subscriptionId></Subscription>`],
  ])('refuses %s whose id no path can hold', (_, document) => {
    for (const id of ['', '..', 'a/b', 'a\\b', 'a&#10;b', 'c'.repeat(257)]) {
      expect(() => parse(document(id))).toThrow(expect.objectContaining({ code: 'protocol_error' }))
    }
  })

  test('reads call details', () => {
    expect(parse(callDetails({ state: 'Active' }))).toMatchObject({
      type: 'call',
      call: {
        callId: 'callhalf-1001:0',
        trackingId: '150:1',
        personality: 'Terminator',
        state: 'Active',
        startTime: 1_700_000_000_000,
      },
    })
  })

  test('decodes an ErrorInfo in the user’s locale', () => {
    const bytes = Buffer.from(errorInfo('1', 'Geht nicht: \xfcber'), 'latin1')
    expect(parseDocument(bytes)).toMatchObject({ summary: 'Geht nicht: über' })
  })
})
