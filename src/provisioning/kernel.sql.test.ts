import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestProvisioning, type TestProvisioning } from '../../test/support/provisioning.ts'
import { STORES } from '../../test/support/records.ts'
import { NUMBER_STATES } from '../core/provisioning-event.ts'
import { mayBecome } from './model/number-state.ts'
import { appendAudit, findBrokenLink } from './store/audit.ts'

describe.each(STORES)('the tables of provisioning on %s', (store) => {
  let rig: TestProvisioning
  beforeAll(async () => {
    rig = await startTestProvisioning(store)
    await rig.database.query(async (db) => {
      await sql`insert into products (product_id, name, kind, number_type, provider, actions, features, requirements)
        values ('prd_moves', 'Moves', 'number', 'local', 'sandbox', '[]', '[]', '[]')`.execute(db)
      await sql`insert into customers (customer_id, name, status, country, currency, metadata)
        values ('cus_moves', 'Moves', 'active', 'US', 'USD', '{}')`.execute(db)
    })
  })
  afterAll(() => rig.stop())

  test('the audit trail is a chain per customer, which shows where it was tampered with', async () => {
    for (const id of ['1', '2', '3']) {
      await rig.database.transaction((tx) => appendAudit(tx, [entry('cus_a', id), entry('cus_b', id)]))
    }
    expect(await rig.database.query((db) => findBrokenLink(db, 'cus_a'))).toBeUndefined()
    await rig.database.query(async (db) => {
      await sql`alter table audit disable trigger audit_is_final`.execute(db)
      await sql`update audit set after = '{"name":"Mallory"}' where chain = 'cus_a' and seq = 2`.execute(db)
      await sql`alter table audit enable trigger audit_is_final`.execute(db)
    })
    expect(await rig.database.query((db) => findBrokenLink(db, 'cus_a'))).toBe(2)
    expect(await rig.database.query((db) => findBrokenLink(db, 'cus_b'))).toBeUndefined()
  })

  test('a number goes from state to state as the model says, whoever writes', async () => {
    const refused: string[] = []
    for (const from of NUMBER_STATES) {
      for (const to of NUMBER_STATES) {
        const move = rig.database.transaction(async (tx) => {
          await sql`alter table numbers disable trigger number_moves`.execute(tx)
          await sql`
            insert into numbers (e164, product_id, country, state, customer_id, order_id)
            values ('+15550100001', 'prd_moves', 'US', ${from}, 'cus_moves', 'ord_moves')
            on conflict (e164) do update set state = excluded.state`.execute(tx)
          await sql`alter table numbers enable trigger number_moves`.execute(tx)
          await sql`update numbers set state = ${to}`.execute(tx)
        })
        await move.catch(() => refused.push(`${from} ${to}`))
      }
    }
    const expected = NUMBER_STATES.flatMap((from) =>
      NUMBER_STATES.flatMap((to) => (from === to || mayBecome(from, to) ? [] : `${from} ${to}`)),
    )
    expect(refused).toEqual(expected)
  })

  test.each(['update audit set actor = $$x$$', 'delete from audit', 'truncate audit'])(
    'refuses "%s"',
    async (statement) => {
      await rig.database.transaction((tx) =>
        appendAudit(tx, [{ chain: 'cus_c', actor: 'admin', entity: 'customer', entityId: '1', action: 'create' }]),
      )
      await expect(rig.database.query((db) => sql.raw(statement).execute(db))).rejects.toMatchObject({
        code: 'internal',
        cause: { message: 'the audit trail cannot be changed' },
      })
    },
  )
})

const entry = (chain: string, entityId: string) => ({
  chain,
  actor: 'admin',
  entity: 'customer',
  entityId,
  action: 'create',
  after: { name: 'Acme' },
})
