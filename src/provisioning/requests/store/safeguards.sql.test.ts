import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestProvisioning, type TestProvisioning } from '../../../../test/support/provisioning.ts'
import { STORES } from '../../../../test/support/records.ts'
import { Environments, type Environment } from './environments.ts'
import { Safeguards } from './safeguards.ts'

describe.each(STORES)('what safeguards hold, on %s', (store) => {
  let rig: TestProvisioning
  let changes = 0
  let safeguards: Safeguards
  beforeAll(async () => {
    rig = await startTestProvisioning(store)
    safeguards = new Safeguards({ database: rig.database, secret: Buffer.alloc(32) }, () => {
      changes += 1
    })
  })
  afterAll(() => rig.stop())

  /** An environment with requests in this status about the objects `1` and `2`. */
  async function open(name: string, statusId: number): Promise<Environment> {
    const environment = await new Environments(rig.database).put({ name })
    await rig.database.query((db) =>
      sql`insert into provisioning_requests (environment_id, profile_id, internal_id, status_id, is_read_only,
          created_by, modified_by)
        select environment_id, profile_id, id, ${statusId}, false, 'test', 'test'
        from profiles, (values ('1'), ('2')) as ids (id)
        where environment_id = ${environment.environmentId}`.execute(db),
    )
    return environment
  }
  const due = async ({ environmentId }: Environment) => {
    const rows = await rig.database.query((db) =>
      db
        .selectFrom('provisioning_requests')
        .select('internal_id')
        .where('environment_id', '=', environmentId)
        .where('due_at', 'is not', null)
        .orderBy('internal_id')
        .execute(),
    )
    return rows.map((row) => row.internal_id)
  }

  test('becomes due when its internal id is allowed, or when safeguards are disabled, there alone', async () => {
    const [environment, other] = [await open('one', 6), await open('two', 6)]
    const by = { environmentId: environment.environmentId, actor: 'test' }
    await safeguards.update({ ...by, changes: [{ internalId: '1', isAllowed: true }] })
    expect(await due(environment)).toEqual(['1'])
    await safeguards.set({ ...by, isEnabled: true })
    await safeguards.update({ ...by, changes: [{ internalId: '2', isAllowed: false }] })
    expect(await due(environment)).toEqual(['1'])
    await safeguards.set({ ...by, isEnabled: false })
    expect(await due(environment)).toEqual(['1', '2'])
    expect(await due(other)).toEqual([])
    expect(changes).toBe(4)
  })

  test('does not concern what is in error or complete', async () => {
    for (const statusId of [3, 4]) {
      const environment = await open(`status-${statusId}`, statusId)
      const by = { environmentId: environment.environmentId, actor: 'test' }
      await safeguards.update({ ...by, changes: [{ internalId: '1', isAllowed: true }] })
      await safeguards.set({ ...by, isEnabled: false })
      expect(await due(environment)).toEqual([])
    }
  })
})
