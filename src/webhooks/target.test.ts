import * as fc from 'fast-check'
import { validateHeaderValue } from 'node:http'
import { expect, test } from 'vitest'
import type { Endpoint } from '../core/endpoint.ts'
import { toEndpointId } from '../core/ids.ts'
import { generateKeyPair } from './asymmetric-signature.ts'
import { generateSecret, toKeyring } from './signature.ts'
import { composeHeaders, toTarget } from './target.ts'

const keys = toKeyring([generateSecret(), generateKeyPair().privateKey])
const credentials = { keys, headers: { 'x-api-key': 'k' } }
const endpoint = { endpointId: toEndpointId('endpoint-1'), url: 'https://example.net/' }

const keysOf = async (signatures: Endpoint['signatures'], own = credentials) =>
  (await toTarget({ ...endpoint, signatures }, () => Promise.resolve(own)).credentials())?.keys

test('an endpoint is signed for with the schemes it asks for', async () => {
  const { symmetric, asymmetric } = keys
  expect(await keysOf(['v1'])).toEqual({ symmetric, asymmetric: [] })
  expect(await keysOf(['v1a'])).toEqual({ symmetric: [], asymmetric })
  expect(await keysOf(['v1', 'v1a'])).toEqual(keys)
})

test('an endpoint whose scheme has no key yet is signed for with what there is', async () => {
  const onlySymmetric = { symmetric: keys.symmetric, asymmetric: [] }
  expect(await keysOf(['v1a'], { ...credentials, keys: onlySymmetric })).toEqual(onlySymmetric)
})

test('a target has the failover URL, the authorities and the headers of its endpoint', async () => {
  const more = { failoverUrl: 'https://b.example.net/', caCertificates: 'PEM', signatures: ['v1', 'v1a'] as const }
  const target = toTarget({ ...endpoint, ...more }, () => Promise.resolve(credentials))
  expect(target).toEqual({
    endpointId: 'endpoint-1',
    url: 'https://example.net/',
    failoverUrl: 'https://b.example.net/',
    caCertificates: 'PEM',
    credentials: expect.any(Function),
  })
  expect(await target.credentials()).toEqual({ keys, headers: { 'x-api-key': 'k' } })
})

test('an endpoint that is no more has nothing to sign with', async () => {
  const target = toTarget({ ...endpoint, signatures: ['v1'] }, () => Promise.resolve(undefined))
  expect(await target.credentials()).toBeUndefined()
})

const pending = { expiresAt: 30_000, isParked: false, isReplay: false }
const event = {
  eventId: 'app:e1-17',
  type: 'call.ringing',
  about: { occurredAt: 1_000, sequence: '3', callId: 'callhalf-1:0' },
}

test('an event of a call has its place, its age and its end in headers', () => {
  expect(composeHeaders({ pending, event, skipped: ['1;expired', '2;parked'], now: 1_250 })).toEqual({
    'callhalf-event': 'call.ringing',
    'callhalf-position': 'e1:17',
    'callhalf-age-ms': '250',
    'callhalf-expires': '30000',
    'callhalf-sequence': '3',
    'callhalf-call-id': 'callhalf-1:0',
    'callhalf-skipped': '1;expired, 2;parked',
  })
})

test('an event that is about no call has no headers of one', () => {
  const about = { occurredAt: 1_000 }
  expect(composeHeaders({ pending, event: { ...event, about }, skipped: [], now: 900 })).toEqual({
    'callhalf-event': 'call.ringing',
    'callhalf-position': 'e1:17',
    'callhalf-age-ms': '0',
    'callhalf-expires': '30000',
  })
})

test('what is parked or replayed is marked', () => {
  const marked = { ...pending, isParked: true, isReplay: true }
  expect(composeHeaders({ pending: marked, event, skipped: [], now: 1_000 })).toMatchObject({
    'callhalf-parked': '1',
    'callhalf-replay': '1',
  })
})

test('of many skipped events the last 32 are named', () => {
  const skipped = Array.from({ length: 40 }, (_, index) => `${index + 1};parked`)
  const list = composeHeaders({ pending, event, skipped, now: 0 })['callhalf-skipped'] ?? ''
  expect(list.split(', ')).toHaveLength(32)
  expect(list).toMatch(/^9;parked, .*, 40;parked$/)
})

test.each([
  ['callhalf-1:0', 'callhalf-1:0'],
  ['ä b', '%C3%A4%20b'],
  ['100%', '100%25'],
])('the call id %j is sent as %s', (callId, sent) => {
  const about = { ...event.about, callId }
  expect(composeHeaders({ pending, event: { ...event, about }, skipped: [], now: 0 })['callhalf-call-id']).toBe(sent)
})

test('whatever an event holds, its headers are legal, and the call id can be read back', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary', minLength: 1 }),
      fc.string({ unit: 'binary' }),
      fc.array(fc.string({ unit: 'binary' })),
      (callId, type, skipped) => {
        const headers = composeHeaders({
          pending,
          event: { ...event, type, about: { occurredAt: 0, callId, sequence: type } },
          skipped,
          now: 0,
        })
        for (const [name, value] of Object.entries(headers)) {
          expect(value).toMatch(/^[\u0020-\u007e]*$/)
          validateHeaderValue(name, value)
        }
        expect(decodeURIComponent(headers['callhalf-call-id'] ?? '')).toBe(callId.toWellFormed())
      },
    ),
    { numRuns: 500 },
  )
})
