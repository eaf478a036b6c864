import { Registry } from 'prom-client'
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startTestProvisioning, type TestProvisioning } from '../../../test/support/provisioning.ts'
import { STORES } from '../../../test/support/records.ts'
import { useRedis } from '../../../test/support/use-redis.ts'
import { app, otherApp, StateRig } from '../../../test/support/state-rig.ts'
import { until } from '../../../test/support/until.ts'
import { systemClock } from '../../core/clock.ts'
import { GatewayError } from '../../core/errors.ts'
import type { EventLog } from '../../core/event-log.ts'
import type { AppRef } from '../../core/ids.ts'
import { silentLogger } from '../../core/logger.ts'
import type { ProvisioningDatabase } from '../store/database.ts'
import { appendEvents, deleteEvents } from '../store/outbox.ts'
import { EventRelay, type EventRelayOptions } from './event-relay.ts'

describe.each(STORES)('the event relay on %s', (store) => {
  const redis = useRedis()
  let rig: TestProvisioning
  let state: StateRig
  const relays: EventRelay[] = []
  beforeAll(async () => {
    rig = await startTestProvisioning(store)
  })
  afterAll(() => rig.stop())
  beforeEach(async () => {
    await redis.connect().flushall()
    state = new StateRig(redis.socketPath)
    await state.connection.start()
    await rig.database.query(async (db) => {
      await sql`delete from apps`.execute(db)
      await sql`delete from provisioning_leases`.execute(db)
      for (const { appId, shard } of [app, otherApp]) {
        await sql`insert into apps (app_id, shard, name, created_at) values (${appId}, ${shard}, 'App', now())`.execute(
          db,
        )
      }
    })
  })
  afterEach(async () => {
    for (const relay of relays.splice(0)) await relay.stop()
    await state.connection.stop()
  })

  const bothApps = { app: (appId: string) => [app, otherApp].find((known) => known.appId === appId) }

  async function startRelay(over: Partial<EventRelayOptions> = {}): Promise<EventRelay> {
    const relay = new EventRelay({
      database: rig.database,
      directory: bothApps,
      eventLog: state.log,
      clock: systemClock,
      log: silentLogger,
      registry: new Registry(),
      holder: `relay-${relays.length}`,
      leaseMs: 5_000,
      pollMs: 20,
      ...over,
    })
    relays.push(relay)
    await relay.start()
    return relay
  }

  /** Each has its key and its place in it as the payload. */
  const tell = (key: string, n: number, to: AppRef = app) =>
    rig.database.transaction((tx) =>
      appendEvents(tx, [{ appId: to.appId, type: 'order.completed', orderKey: key, payload: `{"n":"${key}${n}"}` }]),
    )

  const toldTo = async (whom: AppRef = app) =>
    (await state.entries(whom)).map(({ payload }) => Object(JSON.parse(payload))['n'] as string)
  const waiting = () =>
    rig.database.query(async (db) => {
      const rows = await db.selectFrom('provisioning_outbox').select('payload').orderBy('event_id').execute()
      return rows.map(({ payload }) => Object(JSON.parse(payload))['n'] as string)
    })
  const untilEmpty = () => until('an empty outbox', async () => ((await waiting()).length === 0 ? true : undefined))

  /** A log that does `before` each append of an event that `isMeant`. */
  const logWith = (before: (payload: string) => void, after?: (payload: string) => void): Pick<EventLog, 'append'> => ({
    append: async (to, entry) => {
      before(entry.payload)
      await state.log.append(to, entry)
      after?.(entry.payload)
    },
  })

  test('tells the app what is in the outbox as it is, and empties it', async () => {
    await tell('a', 1)
    await tell('b', 1, otherApp)
    const relay = await startRelay()
    await untilEmpty()
    expect(await state.entries()).toMatchObject([{ type: 'order.completed', orderKey: 'a', payload: '{"n":"a1"}' }])
    expect((await state.entries())[0]).not.toHaveProperty('subscriberId')
    expect(await toldTo(otherApp)).toEqual(['b1'])
    await tell('a', 2)
    relay.wake()
    await untilEmpty()
    expect(await toldTo()).toEqual(['a1', 'a2'])
  })

  test('an event whose deletion failed is told once', async () => {
    await tell('a', 1)
    await tell('a', 2)
    let failures = 0
    const database: ProvisioningDatabase = {
      transaction: (work) => rig.database.transaction(work),
      query: async (work) => {
        // Of the three queries of a round, the deletion is the one that waits for appended entries.
        if ((await toldTo()).length === 0 || failures > 0) return rig.database.query(work)
        failures += 1
        throw new GatewayError('store_unavailable')
      },
    }
    await startRelay({ database })
    await untilEmpty()
    expect(failures).toBe(1)
    expect(await toldTo()).toEqual(['a1', 'a2'])
  })

  test('an event that was appended by a relay which then died is told once', async () => {
    for (const n of [1, 2, 3]) await tell('a', n)
    const dying = await startRelay({
      leaseMs: 50,
      eventLog: logWith(
        () => undefined,
        () => {
          throw new GatewayError('store_unavailable')
        },
      ),
    })
    await until('the first append', async () => ((await toldTo()).length > 0 ? true : undefined))
    await dying.stop()
    expect(await waiting()).toEqual(['a1', 'a2', 'a3'])
    await startRelay()
    await untilEmpty()
    expect(await toldTo()).toEqual(['a1', 'a2', 'a3'])
  })

  test('one that cannot be told holds up those of its key, and no others', async () => {
    let isBroken = true
    const eventLog = logWith((payload) => {
      if (isBroken && payload.includes('a2')) throw new Error('broken')
    })
    for (const n of [1, 2, 3]) for (const key of ['a', 'b']) await tell(key, n)
    await startRelay({ eventLog })
    await until('all of the other key', async () => ((await waiting()).length === 2 ? true : undefined))
    expect(await waiting()).toEqual(['a2', 'a3'])
    expect((await toldTo()).toSorted()).toEqual(['a1', 'b1', 'b2', 'b3'])
    await tell('b', 4)
    await until('the next one', async () => ((await toldTo()).includes('b4') ? true : undefined))
    isBroken = false
    await untilEmpty()
    expect((await toldTo()).filter((told) => told.startsWith('a'))).toEqual(['a1', 'a2', 'a3'])
  })

  test('more events than a page that wait do not keep back those behind them', async () => {
    await rig.database.transaction((tx) =>
      appendEvents(
        tx,
        Array.from({ length: 450 }, (_, n) => ({
          appId: otherApp.appId,
          type: 'number.in_service',
          orderKey: `number:${n}`,
          payload: `{"n":"w${n}"}`,
        })),
      ),
    )
    await tell('a', 1)
    let isKnown = false
    const directory = {
      app: (appId: string) => (appId === app.appId ? app : isKnown ? otherApp : undefined),
    }
    await startRelay({ directory })
    await until('the one behind them', async () => ((await toldTo()).length === 1 ? true : undefined))
    expect(await toldTo(otherApp)).toEqual([])
    isKnown = true
    await untilEmpty()
    expect(await toldTo(otherApp)).toHaveLength(450)
  })

  test('what was to be told to an app that is removed goes with it', async () => {
    await tell('a', 1)
    await tell('b', 1, otherApp)
    await rig.database.query((db) => sql`delete from apps where app_id = ${otherApp.appId}`.execute(db))
    await startRelay()
    await untilEmpty()
    expect(await toldTo()).toEqual(['a1'])
    expect(await toldTo(otherApp)).toEqual([])
  })

  test('only one relays; another goes on at once when it stops, and after the lease when it has died', async () => {
    const by: string[] = []
    const relayOf = (holder: string, over: Partial<EventRelayOptions> = {}) =>
      startRelay({ holder, eventLog: logWith(() => by.push(holder)), ...over })
    const first = await relayOf('first')
    await tell('a', 1)
    await untilEmpty()
    await relayOf('second')
    await tell('a', 2)
    await untilEmpty()
    expect(by).toEqual(['first', 'first'])
    await first.stop()
    await tell('a', 3)
    await untilEmpty()
    expect(by).toEqual(['first', 'first', 'second'])
    await relays.find((relay) => relay !== first)?.stop()
    await rig.database.query((db) =>
      sql`insert into provisioning_leases values ('event-relay', 'dead', now() + interval '300 milliseconds')`.execute(
        db,
      ),
    )
    await relayOf('third')
    await tell('a', 4)
    await untilEmpty()
    expect(by.at(-1)).toBe('third')
  })

  test('two relays at work at once, with leases that run out, tell everything once and in order', async () => {
    const KEYS = ['a', 'b', 'c', 'd', 'e']
    const EACH = 40
    // Leases are over before a page is: both are at work at any time.
    for (const holder of ['x', 'y']) await startRelay({ holder, leaseMs: 1, pollMs: 1 })
    for (let n = 1; n <= EACH; n += 1) await Promise.all(KEYS.map((key) => tell(key, n)))
    await untilEmpty()
    const told = await toldTo()
    expect(told).toHaveLength(KEYS.length * EACH)
    for (const key of KEYS) {
      const ofKey = told.filter((each) => each.startsWith(key))
      expect(ofKey).toEqual(Array.from({ length: EACH }, (_, index) => `${key}${index + 1}`))
    }
  })

  test('a Redis that cannot be reached is waited for', async () => {
    let isDown = true
    const eventLog = logWith(() => {
      if (isDown) throw new GatewayError('store_unavailable')
    })
    await tell('a', 1)
    await tell('b', 1)
    await startRelay({ eventLog })
    await tell('a', 2)
    expect(await waiting()).toEqual(['a1', 'b1', 'a2'])
    isDown = false
    await untilEmpty()
    expect((await toldTo()).toSorted()).toEqual(['a1', 'a2', 'b1'])
  })

  test('the deletion of nothing is nothing', async () => {
    await tell('a', 1)
    await rig.database.query((db) => deleteEvents(db, []))
    expect(await waiting()).toEqual(['a1'])
  })
})
