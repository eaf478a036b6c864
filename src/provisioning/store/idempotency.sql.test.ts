import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestProvisioning, type TestProvisioning } from '../../../test/support/provisioning.ts'
import { STORES } from '../../../test/support/records.ts'
import { RequestLog } from './idempotency.ts'

const ANSWER = { status: 201, body: '{"id":"ord_1"}', headers: { location: '/x' } }

describe.each(STORES)('requests that are carried out once, on %s', (store) => {
  let rig: TestProvisioning
  let log: RequestLog
  let keys = 0
  beforeAll(async () => {
    rig = await startTestProvisioning(store)
    log = new RequestLog(rig.database)
  })
  afterAll(() => rig.stop())

  const freshKey = () => ({ tenant: 'app_1', route: 'orderAny:cus_1', key: `key ${(keys += 1)}` })
  const claim = (request: ReturnType<typeof freshKey>, content = 'one') => log.claim({ ...request, content })
  const claimed = async (request: ReturnType<typeof freshKey>) => {
    const made = await claim(request)
    if (made.kind !== 'claimed') throw new Error('it was claimed before')
    return { ...request, since: made.since }
  }
  const complete = (held: Awaited<ReturnType<typeof claimed>>) =>
    rig.database.transaction((tx) => log.complete(tx, { ...held, answer: ANSWER }))
  /** As if so many seconds had gone by since. */
  const age = (key: string, seconds: number) =>
    rig.database.query((db) =>
      sql`update provisioning_idempotency set started_at = started_at - ${seconds}::integer * interval '1 second'
        where key = ${key}`.execute(db),
    )

  const sinceOf = (key: string) =>
    rig.database.query(async (db) => {
      const { rows } = await sql<{ since: string }>`
        select extract(epoch from started_at)::text as since from provisioning_idempotency where key = ${key}`.execute(
        db,
      )
      return rows[0]?.since ?? ''
    })

  test('a repetition gets the answer of the first, also from another process', async () => {
    const request = freshKey()
    await complete(await claimed(request))
    expect(await claim(request)).toEqual({ kind: 'answered', ...ANSWER })
    expect(await new RequestLog(rig.database).claim({ ...request, content: 'one' })).toMatchObject({ kind: 'answered' })
  })

  test('of many at once one is carried out, and the others are told to wait', async () => {
    const request = freshKey()
    const claims = await Promise.allSettled(Array.from({ length: 20 }, () => claim(request)))
    expect(claims.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    const refused = claims.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []))
    expect(refused).toHaveLength(19)
    for (const reason of refused)
      expect(reason).toMatchObject({ code: 'idempotency_in_progress', retryAfterSeconds: 1 })
  })

  test('the key of another request is refused, while the first runs and afterwards', async () => {
    const request = freshKey()
    const held = await claimed(request)
    await expect(claim(request, 'two')).rejects.toMatchObject({ code: 'idempotency_mismatch' })
    await complete(held)
    await expect(claim(request, 'two')).rejects.toMatchObject({ code: 'idempotency_mismatch' })
  })

  test('the same key of another tenant or operation is another key', async () => {
    const request = freshKey()
    await claimed(request)
    expect(await claim({ ...request, tenant: 'app_2' })).toMatchObject({ kind: 'claimed' })
    expect(await claim({ ...request, route: 'orderAny:cus_2' })).toMatchObject({ kind: 'claimed' })
  })

  test('what failed can be tried again at once', async () => {
    const request = freshKey()
    await log.abandon(await claimed(request))
    expect(await claim(request, 'two')).toMatchObject({ kind: 'claimed' })
  })

  test('a claim whose process died is taken over after a minute; should it wake up, it has no effect', async () => {
    const request = freshKey()
    await claimed(request)
    await age(request.key, 59)
    await expect(claim(request)).rejects.toMatchObject({ code: 'idempotency_in_progress' })
    await age(request.key, 2)
    // Its claim, had it begun as long ago as the row says now.
    const dead = { ...request, since: await sinceOf(request.key) }
    const heir = await claimed(request)
    await expect(complete(dead)).rejects.toMatchObject({ code: 'idempotency_in_progress' })
    await log.abandon(dead)
    await complete(heir)
    expect(await claim(request)).toMatchObject({ kind: 'answered' })
  })

  test('an effect that is undone leaves no answer behind', async () => {
    const request = freshKey()
    const held = await claimed(request)
    const failing = rig.database.transaction(async (tx) => {
      await log.complete(tx, { ...held, answer: ANSWER })
      throw new TypeError('after all')
    })
    await expect(failing).rejects.toBeDefined()
    await log.abandon(held)
    expect(await claim(request)).toMatchObject({ kind: 'claimed' })
  })

  test('after 24 hours an answer is forgotten', async () => {
    const request = freshKey()
    await complete(await claimed(request))
    await age(request.key, 24 * 3_600 - 60)
    expect(await claim(request)).toMatchObject({ kind: 'answered' })
    await age(request.key, 61)
    expect(await claim(request, 'two')).toMatchObject({ kind: 'claimed' })
  })
})
