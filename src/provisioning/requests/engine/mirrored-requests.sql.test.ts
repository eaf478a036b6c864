import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { orderOf, workOff } from '../../../../test/support/order-rig.ts'
import { startTestProvisioning, type TestProvisioning } from '../../../../test/support/provisioning.ts'
import { STORES } from '../../../../test/support/records.ts'
import { RequestOffice } from '../../../../test/support/request-rig.ts'

/** Orders the first of the office's numbers through another API. */
const begin = (office: RequestOffice, size: number) =>
  office.engine.ordering.place(orderOf(office.shop, { action: 'range', start: office.first, size }))

describe.each(STORES)('requests beside orders of other APIs on %s', (store) => {
  let rig: TestProvisioning
  let offices = 0
  beforeAll(async () => {
    rig = await startTestProvisioning(store)
  })
  afterAll(() => rig.stop())

  const open = () => {
    offices += 1
    const start = `+1212557${String(offices).padStart(2, '0')}00`
    return RequestOffice.open(rig.database, { name: `beside${offices}`, start })
  }
  const rows = async <Row>(statement: ReturnType<typeof sql<Row>>): Promise<readonly Row[]> =>
    (await rig.database.query((db) => statement.execute(db))).rows
  const actor = 'key:test'

  test('no request joins the batch of an order, or changes one of its requests', async () => {
    const office = await open()
    const placed = await begin(office, 2)
    const [first] = await rows(sql<{ request_id: number; batch_id: number }>`
      select request_id, batch_id from provisioning_requests where order_item_id = ${placed.items[0]?.itemId}`)
    const profileId = await office.addProfile([])
    await expect(office.submit({ profileId, batchId: first?.batch_id ?? 0 })).rejects.toMatchObject({
      code: 'invalid_request',
      fields: { field: 'provisioningRequestBatchID' },
    })
    const change = { environment: office.environment, requestId: first?.request_id ?? 0, actor, note: undefined }
    await expect(office.changes.fail(change)).rejects.toMatchObject({ code: 'invalid_request' })
    await expect(office.changes.complete({ ...change, isForced: true })).rejects.toMatchObject({
      code: 'invalid_request',
    })
  })

  test('what an object has of a service is not written by requests, before it begins or afterwards', async () => {
    const office = await open()
    const { environmentId } = office.environment
    const objects = () =>
      rows(sql<Record<string, unknown>>`
        select o.account_number, o.started_at is null as is_undated, (select array_agg(key_name || '=' || value order by key_name)
          from provisioned_object_items i where i.object_id = o.object_id and key_name in ('State', 'CallerName')) as items
        from provisioned_objects o where environment_id = ${environmentId} and internal_id = ${office.first}`)
    const claim = async (accountNumber: number) => {
      const requestId = await office.submit({
        profileId: await office.addProfile([]),
        account: { accountNumber },
        objectCode: office.shop.numbers,
        internalId: office.first,
        objectStartsAt: Date.now() - 1_000,
        items: [
          { keyName: 'State', value: 'suspended' },
          { keyName: 'CallerName', value: 'Nobody' },
        ],
      })
      await office.settle()
      const { environment } = office
      await office.changes.complete({ environment, requestId, actor, isForced: false, note: undefined })
    }
    await claim(99)
    expect(await objects()).toEqual([{ account_number: 99, is_undated: false, items: null }])
    const placed = await begin(office, 1)
    await workOff({ database: rig.database, fulfiller: office.engine.fulfiller }, placed.orderId)
    const served = { account_number: 23_330_999, is_undated: false, items: ['State=active'] }
    expect(await objects()).toEqual([served])
    await claim(99)
    expect(await objects()).toEqual([served])
  })
})
