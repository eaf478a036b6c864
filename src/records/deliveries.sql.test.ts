import * as fc from 'fast-check'
import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { APP, attempted, ended, ENDPOINT, replayed, sentTo, T0, taken } from '../../test/support/delivery-facts.ts'
import { history } from '../../test/support/delivery-history.ts'
import { DeliveryTables } from '../../test/support/delivery-tables.ts'
import { STORES } from '../../test/support/records.ts'
import type { AttemptRecord } from '../core/delivery-record.ts'
import { toAppId, toEndpointId } from '../core/ids.ts'
import type { Deliveries } from './deliveries.ts'

describe.each(STORES)('deliveries on %s', (store) => {
  let tables: DeliveryTables
  let deliveries: Deliveries
  beforeAll(async () => {
    tables = await DeliveryTables.start(store)
    ;({ deliveries } = tables)
  })
  afterAll(() => tables?.stop())
  beforeEach(() => tables.empty())

  test('a delivery that was taken, attempted twice and ended in one batch is found with everything', async () => {
    const first: AttemptRecord = {
      number: 1,
      startedAt: T0 + 3,
      target: 'primary',
      outcome: 'http_status',
      status: 503,
      timing: { dnsMs: 1.5, connectMs: 2.25, tlsMs: 3, firstByteMs: 4.125, totalMs: 12.625 },
      remoteAddress: '203.0.113.9',
      reused: false,
      response: 'try "later" ä😀',
    }
    const second: AttemptRecord = {
      number: 2,
      startedAt: T0 + 300,
      target: 'failover',
      outcome: 'delivered',
      status: 204,
      timing: { totalMs: 3 },
      replay: true,
    }
    const about = {
      callId: 'callhalf-1:0',
      subscriberId: 'alice@example.net',
      sequence: '7',
      payload: '{"ä":"\\u0000"}',
    }
    const facts = [
      taken('msg_1', about),
      attempted('msg_1', { ...first, nextAttemptAt: T0 + 300 }),
      attempted('msg_1', second),
      ended('msg_1'),
    ]
    const expected = {
      deliveryId: 'msg_1',
      appId: APP,
      endpointId: ENDPOINT,
      eventId: 'app-1:e-msg_1',
      type: 'call.ringing',
      class: 'act_now',
      orderKey: 'call:c1',
      callId: 'callhalf-1:0',
      subscriberId: 'alice@example.net',
      sequence: '7',
      occurredAt: T0 - 5,
      createdAt: T0,
      expiresAt: T0 + 30_000,
      status: 'delivered',
      attempts: 2,
      lastOutcome: 'delivered',
      lastStatus: 204,
      lastAttemptAt: T0 + 300,
      endedAt: T0 + 100,
      replays: 0,
    }
    await deliveries.write(facts)
    expect(await deliveries.find(APP, 'msg_1')).toEqual({
      delivery: expected,
      payload: '{"ä":"\\u0000"}',
      attempts: [first, second],
    })
    expect(await deliveries.list({}, { limit: 10 })).toEqual({ deliveries: [expected] })
    expect(await deliveries.find(toAppId('app-2'), 'msg_1')).toBeUndefined()
    expect(await deliveries.find(APP, 'msg_2')).toBeUndefined()
  })

  test('a pending delivery shows its next attempt, and nothing that it does not have', async () => {
    await deliveries.write([taken('msg_1')])
    const { delivery, attempts } = (await deliveries.find(APP, 'msg_1')) ?? {}
    expect(attempts).toEqual([])
    expect(Object.keys(delivery ?? {}).toSorted()).toEqual([
      'appId',
      'attempts',
      'class',
      'createdAt',
      'deliveryId',
      'endpointId',
      'eventId',
      'expiresAt',
      'occurredAt',
      'orderKey',
      'replays',
      'status',
      'type',
    ])
    await deliveries.write([attempted('msg_1', { outcome: 'timeout', nextAttemptAt: T0 + 500 })])
    expect((await deliveries.find(APP, 'msg_1'))?.delivery).toMatchObject({
      status: 'pending',
      attempts: 1,
      nextAttemptAt: T0 + 500,
      lastOutcome: 'timeout',
    })
  })

  test('a replay in a later batch makes it pending again, and its attempts go on', async () => {
    await deliveries.write([taken('msg_1'), attempted('msg_1', { outcome: 'timeout' }), ended('msg_1', 'expired')])
    await deliveries.write([replayed('msg_1')])
    expect((await deliveries.find(APP, 'msg_1'))?.delivery).toMatchObject({
      status: 'pending',
      replays: 1,
      expiresAt: T0 + 99_000,
    })
    await deliveries.write([attempted('msg_1', { number: 2, replay: true }), ended('msg_1', 'delivered', 'end-again')])
    const found = await deliveries.find(APP, 'msg_1')
    expect(found?.delivery).toMatchObject({ status: 'delivered', attempts: 2, replays: 1, lastOutcome: 'delivered' })
    expect(found?.attempts.map(({ replay }) => replay)).toEqual([undefined, true])
  })

  test('one event for several endpoints is kept once, and a later taker finds it', async () => {
    const both = taken('msg_1', { eventId: 'e1' })
    const endpoint = {
      endpointId: toEndpointId('endpoint-2'),
      deliveryId: 'msg_2',
      class: 'act_now',
      expiresAt: T0,
    } as const
    await deliveries.write([{ ...both, endpoints: [...both.endpoints, endpoint] }])
    await deliveries.write([taken('msg_3', { eventId: 'e1', endpointId: 'endpoint-3', at: T0 + 50 })])
    expect(await tables.countRows('webhook_events')).toBe(1)
    expect(await tables.idsOf({})).toEqual(['msg_3', 'msg_2', 'msg_1'])
  })

  test('facts about unknown deliveries, and a `taken` that nobody wants, leave nothing', async () => {
    await deliveries.write([])
    await deliveries.write([{ ...taken('msg_0'), endpoints: [] }])
    await deliveries.write([attempted('msg_9'), ended('msg_9'), replayed('msg_9')])
    expect(await tables.dump()).toEqual([[], [], []])
  })

  test('whatever a receiver or a network sends can be written', async () => {
    const response = `\0\uD800${'x'.repeat(10_000)}`
    // Cut in the middle of a character.
    const callId = `\0${'ü'.repeat(254)}${'😀'.repeat(2_000)}`
    await deliveries.write([
      taken('msg_1', { callId, occurredAt: Number.NaN, subscriberId: '\uDC00', payload: '{}' }),
      taken('msg_2', { occurredAt: 9e15 }),
      taken('msg_3', { occurredAt: -1.5 }),
      attempted('msg_1', { response, remoteAddress: '::1\0' }),
    ])
    const found = await deliveries.find(APP, 'msg_1')
    expect(found?.attempts[0]?.response).toHaveLength(4_096)
    expect(found?.attempts[0]?.response?.slice(0, 3)).toBe('\uFFFD\uFFFDx')
    expect(found?.delivery).toMatchObject({ occurredAt: 0, subscriberId: '\uFFFD' })
    expect(found?.delivery.callId).toBe(`\uFFFD${'ü'.repeat(254)}\uFFFD`)
    expect(await deliveries.find(APP, 'msg_\0')).toBeUndefined()
    expect(await tables.idsOf({ callId: '\0\uD800', type: 'call.\0' })).toEqual([])
    expect((await deliveries.find(APP, 'msg_2'))?.delivery.occurredAt).toBe(Date.UTC(9999, 11, 31))
  })

  test('facts change the same rows however they are cut into batches and repeated', { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(history, async ({ facts, batches }) => {
        await tables.empty()
        for (const fact of facts) await deliveries.write([fact])
        const once = await tables.dump()
        await tables.empty()
        for (const [from, to] of batches) await deliveries.write(facts.slice(from, to))
        expect(await tables.dump()).toEqual(once)
        const { rows } = await tables.opened.records.query((db) =>
          sql`select delivery_id from deliveries d where attempts <>
            (select count(*) from attempts a where a.delivery_id = d.delivery_id) + num_nonnulls(first_attempt)`.execute(
            db,
          ),
        )
        expect(rows).toEqual([])
      }),
      { numRuns: 12 },
    )
  })

  test('two writers that have the same facts at once write them once', async () => {
    const facts = Array.from({ length: 50 }, (_unused, n) => [
      taken(`msg_${n}`),
      attempted(`msg_${n}`, { outcome: 'timeout' }),
      ended(`msg_${n}`, 'expired'),
    ]).flat()
    // One has only some, but of whole deliveries: an attempt of one that is there already stands by itself.
    await Promise.all([facts, facts.slice(0, 3 * 23), facts].map((part) => deliveries.write(part)))
    expect(await deliveries.count({ statuses: ['expired'] }, 1_000)).toBe(50)
    expect((await deliveries.list({}, { limit: 100 })).deliveries.map(({ attempts }) => attempts)).toEqual(
      Array.from({ length: 50 }, () => 1),
    )
    // Each stands in the row of its delivery.
    expect(await tables.countRows('attempts')).toBe(0)
  })

  test('an attempt is told once, in its order, wherever it stands', async () => {
    const first = attempted('msg_1', { number: 1, outcome: 'timeout' })
    const second = attempted('msg_1', { number: 2, outcome: 'timeout' })
    const third = attempted('msg_1', { number: 3 })
    await deliveries.write([taken('msg_1'), first, first, second])
    await deliveries.write([taken('msg_1'), first, second, third, first])
    const found = await deliveries.find(APP, 'msg_1')
    expect(found?.attempts.map(({ number }) => number)).toEqual([1, 2, 3])
    expect(found?.delivery.attempts).toBe(3)
    expect(await tables.countRows('attempts')).toBe(2)
  })

  test('what was pending when Redis was lost is dropped, unless it arrived, and can be replayed', async () => {
    const at = T0 - 1_000
    await deliveries.write([
      taken('msg_waits', { at }),
      taken('msg_tried', { at }),
      attempted('msg_tried', { outcome: 'timeout', nextAttemptAt: T0 + 500 }),
      taken('msg_arrived', { at }),
      attempted('msg_arrived'),
      taken('msg_ended', { at }),
      ended('msg_ended', 'expired'),
      taken('msg_again', { at }),
      attempted('msg_again'),
      ended('msg_again'),
      replayed('msg_again'),
      taken('msg_new', { at: T0 }),
    ])
    const counts: number[] = []
    const now = tables.opened.clock.now()
    await deliveries.abandon(T0, (count) => counts.push(count))
    await deliveries.abandon(T0, (count) => counts.push(count))
    expect(counts).toEqual([3])
    const { deliveries: all } = await deliveries.list({}, { limit: 10 })
    expect(Object.fromEntries(all.map(({ deliveryId, status }) => [deliveryId, status]))).toEqual({
      msg_waits: 'dropped',
      msg_tried: 'dropped',
      msg_arrived: 'delivered',
      msg_ended: 'expired',
      msg_again: 'dropped',
      msg_new: 'pending',
    })
    const dropped = await deliveries.find(APP, 'msg_tried')
    expect(dropped?.delivery).not.toHaveProperty('nextAttemptAt')
    expect(dropped?.delivery.endedAt).toBeGreaterThanOrEqual(now)
    const { deliveries: failed } = await deliveries.replayable({ statuses: ['dropped'] }, { limit: 9 })
    expect(failed.map(({ delivery }) => delivery.deliveryId).toSorted()).toEqual([
      'msg_again',
      'msg_tried',
      'msg_waits',
    ])

    await deliveries.write([ended('msg_waits', 'delivered')])
    expect((await deliveries.find(APP, 'msg_waits'))?.delivery).toMatchObject({
      status: 'delivered',
      endedAt: T0 + 100,
    })
  })

  test('more than a statement ends at once is dropped in parts', { timeout: 60_000 }, async () => {
    const events = Array.from({ length: 12 }, (_unused, n) => taken(`msg_${n}`, { at: T0 - 1 }))
    const many = events.map((fact, n) => ({
      ...fact,
      endpoints: Array.from({ length: 1_000 }, (_none, i) => sentTo(`msg_${n}_${i}`)),
    }))
    await deliveries.write(many)
    const counts: number[] = []
    await deliveries.abandon(T0, (count) => counts.push(count))
    expect(counts).toEqual([5_000, 5_000, 2_000])
  })
})
