import { sql } from 'kysely'
import { Registry } from 'prom-client'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { stockCustomers, stockNumbers, stockProduct } from '../../../test/support/number-stock.ts'
import { startTestProvisioning, type TestProvisioning } from '../../../test/support/provisioning.ts'
import { STORES } from '../../../test/support/records.ts'
import { until } from '../../../test/support/until.ts'
import type { Clock } from '../../core/clock.ts'
import { GatewayError } from '../../core/errors.ts'
import { silentLogger } from '../../core/logger.ts'
import type { ProvisioningDatabase } from '../store/database.ts'
import { EXPIRING } from '../store/expiry.ts'
import { Reservations } from '../store/reservations.ts'
import { ExpirySweeper } from './expiry-sweeper.ts'

/** Waits end at once, so that rounds follow one another; they are counted. */
class HurriedClock implements Clock {
  rounds = 0
  now = () => 1_800_000_000_000
  monotonic = () => 0
  wait(ms: number, signal: AbortSignal): Promise<void> {
    if (ms > 1_000) this.rounds += 1
    return new Promise((resolve, reject) => {
      if (signal.aborted) reject(signal.reason)
      else setImmediate(resolve)
    })
  }
}

describe.each(STORES)('the expiry sweeper on %s', (store) => {
  let rig: TestProvisioning
  let sweeper: ExpirySweeper | undefined
  beforeAll(async () => {
    rig = await startTestProvisioning(store)
    await stockCustomers(rig.database, ['cus_a'])
    await stockProduct(rig.database, { productId: 'prd_local', type: 'local' })
    await stockNumbers(rig.database, { start: '+12125550100', count: 10, productId: 'prd_local' })
    await stockNumbers(rig.database, { start: '+12125551000', count: 700, productId: 'prd_local' })
  })
  afterAll(() => rig.stop())
  afterEach(() => sweeper?.stop())

  async function sweep(database: ProvisioningDatabase = rig.database, rounds = 2) {
    const clock = new HurriedClock()
    const registry = new Registry()
    sweeper = new ExpirySweeper({ database, clock, log: silentLogger, registry })
    await sweeper.start()
    // The wait that follows a round has begun when the round is over.
    await until('the rounds', () => clock.rounds > rounds)
    await sweeper.stop()
    return registry
  }
  const run = (text: string) => rig.database.query((db) => sql.raw(text).execute(db))
  /** As if an order for them had just been undone. */
  const growOld = async (which: string, end: string) => {
    await run(`update numbers set state = 'reserved', order_id = 'ord_aged' where ${which}`)
    await run(`update numbers set state = 'aging', order_id = null, aging_until = ${end} where ${which}`)
  }
  const stateOf = async (e164: string) =>
    await rig.database.query((db) =>
      db.selectFrom('numbers').select(['state', 'customer_id']).where('e164', '=', e164).executeTakeFirst(),
    )

  test('lapsed holds end, live ones stay', async () => {
    const reservations = new Reservations({ database: rig.database, clock: rig.records.clock })
    const who = { customerId: 'cus_a', actor: 'admin' }
    const lapsed = await reservations.create({ ...who, numbers: ['+12125550100', '+12125550101'] })
    const live = await reservations.create({ ...who, numbers: ['+12125550102'] })
    const past = `now() - interval '1 second'`
    await run(`update reservations set expires_at = ${past} where reservation_id = '${lapsed.reservationId}'`)
    await run(`update reservation_items set expires_at = ${past} where reservation_id = '${lapsed.reservationId}'`)
    await run(`update numbers set reserved_until = ${past} where reservation_id = '${lapsed.reservationId}'`)
    expect(await swept(await sweep())).toEqual({ holds: 2, reservations: 1 })
    expect(await stateOf('+12125550100')).toEqual({ state: 'available', customer_id: null })
    expect(await stateOf('+12125550102')).toEqual({ state: 'reserved', customer_id: 'cus_a' })
    const { rows } = await rig.database.query((db) =>
      sql`select r.state, i.state as item, i.e164 from reservations r join reservation_items i using (reservation_id)
        order by i.e164`.execute(db),
    )
    expect(rows).toEqual([
      { state: 'expired', item: 'expired', e164: '+12125550100' },
      { state: 'expired', item: 'expired', e164: '+12125550101' },
      { state: 'active', item: 'held', e164: '+12125550102' },
    ])
    await reservations.release({ ...who, reservationId: live.reservationId })
  })

  test('aged numbers are sold again, in as many batches as it takes; others age on', async () => {
    await growOld(`e164 > '+12125550999'`, `now() - interval '1 second'`)
    await growOld(`e164 = '+12125550105'`, `now() + interval '1 day'`)
    expect(await swept(await sweep())).toEqual({ aging: 700 })
    expect(await stateOf('+12125551699')).toEqual({ state: 'available', customer_id: null })
    expect(await stateOf('+12125550105')).toEqual({ state: 'aging', customer_id: null })
  })

  test('answers are kept for a day', async () => {
    for (const [key, age] of [
      ['old', '25 hours'],
      ['new', '23 hours'],
    ]) {
      await run(`insert into provisioning_idempotency (tenant, route, key, request_hash, started_at)
        values ('t', 'r', '${key}', 'h', now() - interval '${age}')`)
    }
    expect(await swept(await sweep())).toEqual({ requests: 1 })
    const { rows } = await rig.database.query((db) => sql`select key from provisioning_idempotency`.execute(db))
    expect(rows).toEqual([{ key: 'new' }])
  })

  test("ended reservations, questions about eligibility and the sandbox's own orders are kept for thirty days", async () => {
    const reservations = new Reservations({ database: rig.database, clock: rig.records.clock })
    const who = { customerId: 'cus_a', actor: 'admin' }
    const [old, recent, live] = [
      await reservations.create({ ...who, numbers: ['+12125551000', '+12125551001'] }),
      await reservations.create({ ...who, numbers: ['+12125551002'] }),
      await reservations.create({ ...who, numbers: ['+12125551003'] }),
    ]
    for (const { reservationId } of [old, recent]) await reservations.release({ ...who, reservationId })
    await run(`update reservations set updated_at = now() - interval '31 days'
      where reservation_id in ('${old.reservationId}', '${live.reservationId}')`)
    await run(`update reservations set updated_at = now() - interval '29 days'
      where reservation_id = '${recent.reservationId}'`)
    for (const [name, days, orderId] of [
      ['old', 31, 'null'],
      ['recent', 29, 'null'],
      ['ordered', 31, `'ord_1'`],
    ]) {
      await run(`insert into provider_calls (order_id, provider, action, is_response, correlation_id, attempt, content, at)
        values (${orderId}, 'sandbox', 'x', false, '', 1, '${name}', now() - interval '${days} days')`)
    }
    for (const [ref, days, state] of [
      ['old', 31, 'done'],
      ['recent', 29, 'done'],
      ['open', 31, 'accepted'],
    ]) {
      await run(`insert into sandbox_orders (ref, account, idempotency_key, request, state, plan, results, visible_at,
          ready_at, notices_each) values ('${ref}', 'a', '${ref}', '{}', '${state}', '[]', '[]', now(),
          now() - interval '${days} days', 0)`)
    }
    expect(await swept(await sweep())).toEqual({ ended_reservations: 1, eligibility_questions: 1, sandbox_orders: 1 })
    const left = async (text: string) => {
      const { rows } = await rig.database.query((db) => sql.raw<{ name: string }>(text).execute(db))
      return rows.map(({ name }) => name)
    }
    const kept = await left(`select reservation_id as name from reservations`)
    expect(kept).not.toContain(old.reservationId)
    expect(kept).toEqual(expect.arrayContaining([recent.reservationId, live.reservationId]))
    expect(await left(`select e164 as name from reservation_items where e164 like '+12125551%' order by e164`)).toEqual(
      ['+12125551002', '+12125551003'],
    )
    expect(await left(`select content as name from provider_calls order by content`)).toEqual(['ordered', 'recent'])
    expect(await left(`select ref as name from sandbox_orders order by ref`)).toEqual(['open', 'recent'])
    await reservations.release({ ...who, reservationId: live.reservationId })
  })

  test('it goes on after failures, which are counted', async () => {
    await growOld(`e164 = '+12125550107'`, `now() - interval '1 second'`)
    let failures = 0
    const failing: ProvisioningDatabase = {
      transaction: (work) => rig.database.transaction(work),
      query: (work) => {
        failures += 1
        return failures > EXPIRING.length
          ? rig.database.query(work)
          : Promise.reject(new GatewayError('store_unavailable'))
      },
    }
    const registry = await sweep(failing, 3)
    expect(await swept(registry)).toEqual({ aging: 1 })
    const metric = await registry.getSingleMetric('callhalf_provisioning_expiry_failures_total')?.get()
    expect(metric?.values[0]?.value).toBe(EXPIRING.length)
  })
})

/** How many of each kind of which there were any. */
const swept = async (registry: Registry) => {
  const metric = await registry.getSingleMetric('callhalf_provisioning_expired_total')?.get()
  const counted = (metric?.values ?? []).filter(({ value }) => value > 0)
  return Object.fromEntries(counted.map(({ labels, value }) => [labels['what'], value]))
}
