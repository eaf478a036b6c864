import { sql, type RawBuilder } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestProvisioning, type TestProvisioning } from '../../test/support/provisioning.ts'
import { STORES } from '../../test/support/records.ts'
import { NUMBER_STATES } from '../core/provisioning-event.ts'
import { mayBecome } from './model/number-state.ts'
import { appendAudit } from './store/audit.ts'
import { checkAudit } from './store/audit-check.ts'

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

  const check = (chain: string, after: number, count: number) =>
    rig.database.query((db) => checkAudit(db, { chain, after, count }))
  const tamper = (statement: RawBuilder<unknown>) =>
    rig.database.query(async (db) => {
      await sql`alter table audit disable trigger all`.execute(db)
      await statement.execute(db)
      await sql`alter table audit enable trigger all`.execute(db)
    })
  async function append(chain: string, length: number): Promise<void> {
    for (let id = 1; id <= length; id += 1) {
      await rig.database.transaction((tx) => appendAudit(tx, [entry(chain, String(id)), entry('cus_b', String(id))]))
    }
  }

  test('the audit trail is a chain for each customer, of which any piece can be checked', async () => {
    await append('cus_a', 5)
    expect(await check('cus_a', 0, 10)).toEqual({ length: 5, checkedTo: 5 })
    expect(await check('cus_a', 0, 5)).toEqual({ length: 5, checkedTo: 5 })
    expect(await check('cus_a', 1, 2)).toEqual({ length: 5, checkedTo: 3 })
    expect(await check('cus_a', 4, 1)).toEqual({ length: 5, checkedTo: 5 })
    expect(await check('cus_a', 5, 10)).toEqual({ length: 5, checkedTo: 5 })
    expect(await check('cus_nobody', 0, 10)).toEqual({ length: 0, checkedTo: 0 })
  })

  const CHAIN_LENGTH = 6
  test.each([
    ['that was changed', sql`update audit set after = '{"name":"Mallory"}' where chain = 'cus_t' and seq = 4`, 4],
    ['that is missing', sql`delete from audit where chain = 'cus_t' and seq = 4`, 5],
    ['that is missing at the beginning', sql`delete from audit where chain = 'cus_t' and seq = 1`, 2],
    ['that is missing at the end', sql`delete from audit where chain = 'cus_t' and seq >= 5`, 5],
    [
      'with the hash of another',
      sql`update audit set hash = (select hash from audit where chain = 'cus_t' and seq = 2) where chain = 'cus_t' and seq = 3`,
      3,
    ],
    [
      'that nobody has appended',
      sql`insert into audit (chain, seq, actor, entity, entity_id, action, prev_hash, hash)
          select chain, 7, actor, entity, entity_id, action, hash, sha256(hash || convert_to(jsonb_build_array(chain, 7,
            extract(epoch from now()), actor, entity, entity_id, action, null, null, null)::text, 'UTF8'))
          from audit where chain = 'cus_t' and seq = 6`,
      7,
    ],
  ])('the audit trail shows an entry %s, also to whoever reads it in pieces', async (_, statement, brokenAt) => {
    await rig.database.query((db) => sql`delete from audit_chains where chain = 'cus_t'`.execute(db))
    await tamper(sql`delete from audit where chain = 'cus_t'`)
    await append('cus_t', CHAIN_LENGTH)
    await tamper(statement)
    expect(await check('cus_t', 0, 100)).toMatchObject({ brokenAt })
    for (const size of [1, 2, 3, 4]) {
      const found: number[] = []
      for (let after = 0; after <= CHAIN_LENGTH; after += size) {
        const piece = await check('cus_t', after, size)
        if (piece.brokenAt !== undefined) found.push(piece.brokenAt)
      }
      expect([size, Math.min(...found)]).toEqual([size, brokenAt])
    }
    expect(await check('cus_b', 0, 1_000)).not.toHaveProperty('brokenAt')
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
