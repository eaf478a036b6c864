import { randomUUID } from 'node:crypto'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  DeliveryRig,
  EPOCH,
  START_MS,
  attemptOf,
  deliveryIdOf,
  endpointRef,
  eventId,
  lane,
} from '../../test/support/delivery-rig.ts'
import { useEmptyRedis } from '../../test/support/use-redis.ts'
import { ATTEMPT_OUTCOMES } from '../core/delivery-record.ts'
import type { AttemptRecord } from '../core/delivery-record.ts'
import { toAppId, toEndpointId } from '../core/ids.ts'
import { eventIdOf, formatToken, messageIdOf } from './delivery.ts'
import { RecordLog } from './record-log.ts'

const LOCK = 'ch:{wh}:recorder-lock'
const RECORDS = 'ch:{wh}:records'
const redis = useEmptyRedis()

const ringing = (count: number) => Array.from({ length: count }, (_, i) => ({ key: `lane-${i + 1}` }))
const openRig = (recordsMax = 100_000) => new DeliveryRig(redis.connect(), { recordsMax }).open('endpoint')
const newLog = () => new RecordLog(redis.connect())

test('facts are claimed oldest first and stay until they are released', async () => {
  const rig = await openRig()
  await rig.take(ringing(5))
  const log = newLog()
  const first = await log.claim('a', 3)
  expect(first?.facts.map((fact) => fact.kind === 'taken' && fact.event.payload)).toEqual([
    '{"n":1}',
    '{"n":2}',
    '{"n":3}',
  ])
  expect(await log.claim('a', 3)).toEqual(first)
  await log.release('a', { last: first?.last })
  const second = await log.claim('a', 3)
  expect(second?.facts.map((fact) => fact.kind === 'taken' && fact.event.payload)).toEqual(['{"n":4}', '{"n":5}'])
  await log.release('a', { last: second?.last })
  expect(await log.claim('a', 3)).toEqual({
    facts: [],
    entryIds: [],
    malformed: [],
    last: undefined,
    lost: 0,
    isAll: true,
  })
  expect(await redis.connect().xlen(RECORDS)).toBe(0)
})

test('one recorder at a time has the facts, until it gives them back or is silent for five seconds', async () => {
  const rig = await openRig()
  await rig.take(ringing(1))
  const client = redis.connect()
  expect((await newLog().claim('a', 10))?.facts).toHaveLength(1)
  expect(await newLog().claim('b', 10)).toBeUndefined()
  const leftMs = await client.pttl(LOCK)
  expect(leftMs).toBeGreaterThan(3_000)
  expect(leftMs).toBeLessThanOrEqual(5_000)
  await newLog().release('b')
  expect(await newLog().claim('b', 10)).toBeUndefined()
  await newLog().release('a')
  expect((await newLog().claim('b', 10))?.facts).toHaveLength(1)
  // What Redis does when the five seconds are over.
  await client.del(LOCK)
  expect((await newLog().claim('c', 10))?.facts).toHaveLength(1)
  expect(await newLog().claim('b', 10)).toBeUndefined()
})

test('a claim is prolonged by its holder only', async () => {
  const client = redis.connect()
  const log = newLog()
  await log.claim('a', 10)
  await client.pexpire(LOCK, 1_000)
  await log.renew('b')
  expect(await client.pttl(LOCK)).toBeLessThanOrEqual(1_000)
  await log.renew('a')
  expect(await client.pttl(LOCK)).toBeGreaterThan(3_000)
  await client.del(LOCK)
  await log.renew('a')
  expect(await client.exists(LOCK)).toBe(0)
})

test('a recorder that was replaced while it wrote takes nothing off', async () => {
  const rig = await openRig()
  await rig.take(ringing(2))
  const slow = newLog()
  const claimed = await slow.claim('slow', 1)
  await redis.connect().del(LOCK)
  await newLog().claim('heir', 1)
  await slow.release('slow', { last: claimed?.last })
  expect(await redis.connect().xlen(RECORDS)).toBe(2)
  expect(await newLog().claim('slow', 1)).toBeUndefined()
})

test('a recorder whose claim has lapsed, without a successor, takes off what it wrote', async () => {
  const rig = await openRig()
  await rig.take(ringing(2))
  const log = newLog()
  const claimed = await log.claim('a', 1)
  await redis.connect().del(LOCK)
  await log.release('a', { last: claimed?.last })
  expect(await redis.connect().xlen(RECORDS)).toBe(1)
})

test('what there was no room for is counted until it was told', async () => {
  const rig = await openRig(2)
  await rig.take(ringing(5))
  const log = newLog()
  const claimed = await log.claim('a', 10)
  expect([claimed?.facts.length, claimed?.lost]).toEqual([2, 3])
  // Meanwhile more is lost; it is told the next time.
  await rig.take(ringing(1))
  await log.release('a', { last: claimed?.last, told: 3 })
  expect(await log.claim('a', 10)).toEqual({
    facts: [],
    entryIds: [],
    malformed: [],
    last: undefined,
    lost: 1,
    isAll: true,
  })
  await log.release('a', { told: 1 })
  expect(await log.claim('a', 10)).toMatchObject({ lost: 0 })
  expect(await redis.connect().exists('ch:{wh}:lost-records')).toBe(0)
  // There is room again.
  await rig.take(ringing(1))
  expect((await log.claim('a', 10))?.facts).toHaveLength(1)
})

test('answers, which receivers choose, are kept only while few entries wait', async () => {
  const rig = await openRig(50)
  await rig.take(ringing(4))
  const answered = async (n: number) => {
    const turn = await rig.due(`lane-${n}`, 'o')
    const fact = attemptOf('endpoint', turn, rig.now, 'delivered')
    await rig.settle(`lane-${n}`, turn, 'delivered', {
      attempts: [{ ...fact, attempt: { ...fact.attempt, response: 'x'.repeat(4_096) } }],
    })
  }
  // The fifth entry and, after one that ended it, the seventh.
  await answered(1)
  await answered(2)
  const responses = (await rig.facts()).flatMap((fact) =>
    fact.kind === 'attempted' ? [[fact.attempt.status, fact.attempt.response?.length]] : [],
  )
  expect(responses).toEqual([
    [200, 4_096],
    [200, undefined],
  ])
})

test('a recorder that fails to write tells of the loss again', async () => {
  const rig = await openRig(1)
  await rig.take(ringing(3))
  await newLog().claim('dead', 10)
  await redis.connect().del(LOCK)
  const heir = newLog()
  expect(await heir.claim('heir', 10)).toMatchObject({ lost: 2 })
  // The records are away for the heir, too: it stops, and has told nothing.
  await heir.release('heir')
  expect(await newLog().claim('next', 10)).toMatchObject({ lost: 2 })
})

test('an entry that cannot be read is told apart, and goes with the others', async () => {
  const rig = await openRig()
  const client = redis.connect()
  await rig.take(ringing(1))
  const ids = [
    await client.xadd(RECORDS, '*', 'k', 'invented'),
    await client.xadd(RECORDS, '*', 'k', 'fact', 'fact', 'not json'),
    await client.xadd(RECORDS, '*', 'k', 'ended', 'ep', 'endpoint', 'token', 'x', 'at', '1', 'status', 'pending'),
  ]
  await rig.take(ringing(1))
  const log = newLog()
  const claimed = await log.claim('a', 10)
  expect(claimed?.malformed).toEqual(ids)
  expect(claimed?.facts).toHaveLength(2)
  await log.release('a', { last: claimed?.last })
  expect(await client.xlen(RECORDS)).toBe(0)
})

test('what happens to a delivery comes out in the order in which it happened', async () => {
  const rig = await openRig()
  await rig.take([{ key: 'a', type: 'call.released' }])
  const first = await rig.due('a', 'o')
  await rig.fail('a', 'o', first, { due: START_MS + 700 })
  rig.now = START_MS + 700
  const second = await rig.due('a', 'o')
  await rig.settle('a', second, 'delivered', { attempts: [attemptOf('endpoint', second, rig.now, 'delivered')] })
  const deliveryId = deliveryIdOf('endpoint', 1)
  const factId = expect.any(String)
  expect((await rig.facts()).slice(1)).toEqual([
    {
      kind: 'attempted',
      factId,
      deliveryId,
      attempt: {
        number: 1,
        startedAt: START_MS,
        target: 'primary',
        outcome: 'http_status',
        status: 503,
        timing: { totalMs: 5 },
      },
      nextAttemptAt: START_MS + 700,
    },
    {
      kind: 'attempted',
      factId,
      deliveryId,
      attempt: {
        number: 2,
        startedAt: START_MS + 700,
        target: 'primary',
        outcome: 'delivered',
        status: 200,
        timing: { totalMs: 5 },
      },
    },
    { kind: 'ended', factId, deliveryId, class: 'record', at: START_MS + 700, status: 'delivered' },
  ])
})

/** The token of a record with sequence 12. */
const tokenUntil = (expiresAt: number) =>
  formatToken({
    eventId: eventId(1),
    class: 'record',
    takenAt: START_MS,
    expiresAt,
    attemptsBefore: 0,
    isReplay: false,
    sequence: '12',
  })

test('a taken event keeps all that is known about it, for each of its takers', async () => {
  const rig = await openRig()
  await rig.open('other')
  await rig.store.take(
    {
      appId: toAppId('app'),
      last: { epoch: EPOCH, offset: 1 },
      events: [
        {
          position: { epoch: EPOCH, offset: 1 },
          eventId: eventId(1),
          type: 'call.released',
          orderKey: 'callhalf-1:0',
          about: {
            sequence: '12',
            callId: 'callhalf-1:0',
            subscriberId: 'anna@example.net',
            direction: 'incoming',
            occurredAt: 99,
          },
          payload: '{"text":"ünï\\n💬 | \\"quoted\\""}',
        },
      ],
      endpoints: ['endpoint', 'other'].map((name, i) => ({
        endpointId: toEndpointId(name),
        rules: rig.rules,
        wanted: [{ place: 0, token: tokenUntil(START_MS + 1_000 * (i + 1)) }],
      })),
    },
    START_MS,
  )
  expect(await rig.facts()).toEqual([
    {
      kind: 'taken',
      factId: expect.any(String),
      at: START_MS,
      event: {
        eventId: eventId(1),
        appId: 'app',
        type: 'call.released',
        orderKey: 'callhalf-1:0',
        callId: 'callhalf-1:0',
        subscriberId: 'anna@example.net',
        sequence: '12',
        occurredAt: 99,
        payload: '{"text":"ünï\\n💬 | \\"quoted\\""}',
      },
      endpoints: [
        {
          endpointId: 'endpoint',
          deliveryId: deliveryIdOf('endpoint', 1),
          class: 'record',
          expiresAt: START_MS + 1_000,
        },
        { endpointId: 'other', deliveryId: deliveryIdOf('other', 1), class: 'record', expiresAt: START_MS + 2_000 },
      ],
    },
  ])
})

test('a replay is told with its new expiry', async () => {
  const rig = await openRig()
  const token = formatToken({
    eventId: eventId(9),
    class: 'state',
    takenAt: START_MS,
    expiresAt: START_MS + 3_600_000,
    attemptsBefore: 4,
    isReplay: true,
    sequence: undefined,
  })
  const event = { eventId: eventId(9), type: 'call.held', about: { occurredAt: 1 }, payload: '{}' }
  await rig.store.replay(endpointRef('endpoint'), {
    now: START_MS + 1,
    rules: rig.rules,
    events: [{ event, orderKey: 'replay:a', token }],
  })
  expect(await rig.facts()).toEqual([
    {
      kind: 'replayed',
      factId: expect.any(String),
      deliveryId: deliveryIdOf('endpoint', 9),
      at: START_MS + 1,
      expiresAt: START_MS + 3_600_000,
    },
  ])
})

test.each(['delivered', 'expired', 'parked', 'superseded', 'dropped'] as const)(
  'an end as %s is told',
  async (status) => {
    const rig = await openRig()
    await rig.take(ringing(1))
    const turn = await rig.due('lane-1', 'o')
    await rig.settle('lane-1', turn, status)
    expect(await rig.ended()).toEqual({ [deliveryIdOf('endpoint', 1)]: status })
  },
)

test('whatever an attempt was like, it comes out as it went in', async () => {
  const rig = await openRig()
  rig.rules = { ...rig.rules, slots: 25 }
  const ms = fc.double({ min: 0, max: 60_000, noNaN: true }).map((value) => Math.abs(value))
  const attempts: fc.Arbitrary<AttemptRecord> = fc.record(
    {
      number: fc.integer({ min: 1, max: 1_000 }),
      startedAt: fc.integer({ min: 0, max: 4_000_000_000_000 }),
      target: fc.constantFrom('primary', 'failover'),
      outcome: fc.constantFrom(...ATTEMPT_OUTCOMES),
      timing: fc.record(
        { dnsMs: ms, connectMs: ms, tlsMs: ms, firstByteMs: ms, totalMs: ms },
        { requiredKeys: ['totalMs'] },
      ),
      status: fc.integer({ min: 100, max: 599 }),
      remoteAddress: fc.ipV6(),
      reused: fc.boolean(),
      response: fc.string({ unit: 'binary', minLength: 1, maxLength: 200 }),
      replay: fc.constant(true as const),
    },
    { requiredKeys: ['number', 'startedAt', 'target', 'outcome', 'timing'] },
  )
  await rig.take([{ key: 'a', type: 'call.released' }])
  const turn = await rig.due('a', 'o')
  const deliveryId = messageIdOf(toEndpointId('endpoint'), eventIdOf(toAppId('app'), { epoch: EPOCH, offset: 1 }))
  await rig.facts()
  await fc.assert(
    fc.asyncProperty(attempts, fc.option(fc.nat(), { nil: undefined }), async (attempt, nextAttemptAt) => {
      const fact = { deliveryId, attempt, ...(nextAttemptAt !== undefined && { nextAttemptAt }) }
      const attemptId = randomUUID()
      await rig.store.postpone(lane('a'), {
        owner: randomUUID(),
        token: turn.pending.token,
        due: 0,
        attempts: [{ attemptId, ...fact }],
        failed: false,
        now: rig.now,
        rules: rig.rules,
      })
      expect(await rig.facts()).toEqual([{ kind: 'attempted', factId: attemptId, ...fact }])
    }),
    { numRuns: 60 },
  )
})

test('entries that an earlier version left are read as the same facts', async () => {
  const rig = await openRig()
  await rig.take(ringing(1))
  const turn = await rig.due('lane-1', 'o')
  const attempt = attemptOf('endpoint', turn, rig.now, 'delivered')
  await rig.settle('lane-1', turn, 'delivered', { attempts: [attempt] })
  const client = redis.connect()
  const [taken, ended] = await client.xrange(RECORDS, '-', '+')
  const [, [, , , type, , key, , about, , at, , payload, , to] = []] = taken ?? []
  const { token } = turn.pending
  const fact = JSON.stringify(attempt)
  await client.xadd(
    ...([
      RECORDS,
      '*',
      'k',
      'taken',
      'app',
      'app',
      'id',
      turn.event.eventId,
      'type',
      type ?? '',
      'key',
      key ?? '',
    ] as const),
    ...(['about', about ?? '', 'at', at ?? '', 'payload', payload ?? '', 'to', to ?? ''] as const),
  )
  await client.xadd(
    ...([RECORDS, '*', 'k', 'fact', 'fact', fact, 'ep', 'endpoint', 'token', token, 'at', String(rig.now)] as const),
    ...(['status', 'delivered'] as const),
  )
  expect(ended?.[1]).toHaveLength(6)
  const facts = (await rig.facts()).map(({ factId: _id, ...told }) => told)
  expect(facts.map(({ kind }) => kind)).toEqual(['taken', 'attempted', 'ended', 'taken', 'attempted', 'ended'])
  expect(facts.slice(3)).toEqual(facts.slice(0, 3))
})
