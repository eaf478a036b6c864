import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestProvisioning, type TestProvisioning } from '../../test/support/provisioning.ts'
import { STORES } from '../../test/support/records.ts'
import { appendAudit, findBrokenLink } from './store/audit.ts'

describe.each(STORES)('the tables of provisioning on %s', (store) => {
  let rig: TestProvisioning
  beforeAll(async () => {
    rig = await startTestProvisioning(store)
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
