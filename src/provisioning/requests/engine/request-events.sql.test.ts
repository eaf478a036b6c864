import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestProvisioning, type TestProvisioning } from '../../../../test/support/provisioning.ts'
import { STORES } from '../../../../test/support/records.ts'
import { RequestOffice } from '../../../../test/support/request-rig.ts'

const CALLBACK = { callbackId: 6, relativePath: 'ended', service: 'Billing', serviceVersion: '2' }
const SHOWN = { callback_id: 6, relative_path: 'ended', service: 'Billing', service_version: '2' }

describe.each(STORES)('ends of requests and batches on %s', (store) => {
  let rig: TestProvisioning
  let offices = 0
  beforeAll(async () => {
    rig = await startTestProvisioning(store)
  })
  afterAll(() => rig.stop())

  /** With link types that ask for the end of requests (2), of batches (3), of both (4); 1 asks for nothing. */
  const open = async () => {
    offices += 1
    const start = `+1212557${String(offices).padStart(2, '0')}00`
    const office = await RequestOffice.open(rig.database, { name: `teller${offices}`, start })
    const { environmentId } = office.environment
    await rig.database.query((db) =>
      db
        .insertInto('link_types')
        .values([
          {
            environment_id: environmentId,
            link_type_id: 2,
            name: 'Tickets',
            request_callback: JSON.stringify(CALLBACK),
          },
          {
            environment_id: environmentId,
            link_type_id: 3,
            name: 'Projects',
            batch_callback: JSON.stringify(CALLBACK),
          },
          {
            environment_id: environmentId,
            link_type_id: 4,
            name: 'Both',
            request_callback: JSON.stringify(CALLBACK),
            batch_callback: JSON.stringify(CALLBACK),
          },
        ])
        .execute(),
    )
    const change = (requestId: number) => ({ environment: office.environment, actor: 'key:test', requestId })
    return { office, change, profileId: await office.addProfile([]) }
  }
  const links = [1, 2, 3, 4].map((linkTypeId) => ({ linkTypeId, linkValue: `orders/${linkTypeId}` }))

  test('each link whose type asks for it is told of every end of a run', async () => {
    const { office, change, profileId } = await open()
    const requestId = await office.submit({ profileId, links, internalId: 'ID7' })
    await office.changes.fail({ ...change(requestId), note: 'lost' })
    await office.changes.resubmit(change(requestId))
    await office.changes.complete({ ...change(requestId), isForced: false, note: undefined })
    const common = {
      app_id: office.shop.appId,
      environment: office.environment.name,
      event: 'provisioning_request.ended',
      provisioning_request_id: requestId,
      provisioned_object_internal_id: 'ID7',
      callback: SHOWN,
      timestamp: expect.any(Number),
    }
    const tickets = { link_type_id: 2, link_type: 'Tickets', link_value: 'orders/2' }
    const both = { link_type_id: 4, link_type: 'Both', link_value: 'orders/4' }
    const failed = { ...common, status_id: 4, status: 'In Error', status_note: 'lost' }
    const complete = { ...common, status_id: 3, status: 'Complete' }
    expect(await office.events()).toEqual([
      { ...failed, link: tickets },
      { ...failed, link: both },
      { ...complete, link: tickets },
      { ...complete, link: both },
    ])
  })

  test('a request that was regenerated has ended cancelled, without its batch', async () => {
    const { office, change, profileId } = await open()
    const sourceId = await office.submit({ profileId, links: links.slice(1, 2), batchTotal: 1 })
    await office.changes.fail({ ...change(sourceId), note: undefined })
    const requestId = await office.submit({ profileId, regeneratedFromId: sourceId })
    const [failed, cancelled, ...others] = await office.events()
    expect(failed).toMatchObject({ status: 'In Error', provisioning_request_batch_id: expect.any(Number) })
    expect(cancelled).toMatchObject({
      provisioning_request_id: sourceId,
      status: 'Cancelled',
      status_note: `Regenerated as provisioning request ${requestId}.`,
    })
    expect(cancelled).not.toHaveProperty('provisioning_request_batch_id')
    expect(others).toEqual([])
  })

  test('a batch is told of once for each link of its members when the last of them ends', async () => {
    const { office, change, profileId } = await open()
    const shared = { linkTypeId: 3, linkValue: 'projects/1' }
    const first = await office.submit({
      profileId,
      batchTotal: 2,
      links: [shared, { linkTypeId: 3, linkValue: 'projects/2' }],
    })
    const batchId = (await office.find(first)).batch_id ?? 0
    await office.changes.complete({ ...change(first), isForced: false, note: undefined })
    const second = await office.submit({ profileId, batchId, links: [shared] })
    expect(await office.events()).toEqual([])
    await office.changes.complete({ ...change(second), isForced: false, note: undefined })
    const common = {
      app_id: office.shop.appId,
      environment: office.environment.name,
      event: 'provisioning_batch.ended',
      provisioning_request_batch_id: batchId,
      total_object_count: 2,
      callback: SHOWN,
      timestamp: expect.any(Number),
    }
    expect(await office.events()).toEqual([
      { ...common, link: { link_type_id: 3, link_type: 'Projects', link_value: 'projects/1' } },
      { ...common, link: { link_type_id: 3, link_type: 'Projects', link_value: 'projects/2' } },
    ])
    const again = { environment: office.environment, actor: 'key:test', batchId }
    expect(await office.changes.completeBatch(again)).toEqual({ wasOpen: false, isOpen: false })
    expect(await office.events()).toHaveLength(2)
  })

  test('a batch with more links than are read at once tells each of them once', async () => {
    const { office, change, profileId } = await open()
    const first = await office.submit({ profileId, batchTotal: 2, links: linksFrom(1_000) })
    const batchId = (await office.find(first)).batch_id ?? 0
    const second = await office.submit({ profileId, batchId, links: linksFrom(1_600) })
    for (const requestId of [first, second]) {
      await office.changes.complete({ ...change(requestId), isForced: false, note: undefined })
    }
    const told = (await office.events()).map(({ link }) => Object(link).link_value as unknown)
    expect(told).toEqual(Array.from({ length: 1_300 }, (_, at) => `project ${1_000 + at}`))
  })

  test('members that end at once close their batch once', async () => {
    const { office, change, profileId } = await open()
    const first = await office.submit({ profileId, batchTotal: 6, links: [{ linkTypeId: 3, linkValue: 'p' }] })
    const batchId = (await office.find(first)).batch_id ?? 0
    const others = await Promise.all(Array.from({ length: 5 }, () => office.submit({ profileId, batchId })))
    await expect(office.submit({ profileId, batchId })).rejects.toMatchObject({ code: 'invalid_request' })
    await Promise.all(
      [first, ...others].map((requestId) =>
        office.changes.complete({ ...change(requestId), isForced: false, note: undefined }),
      ),
    )
    expect((await office.events()).map(({ event }) => event)).toEqual(['provisioning_batch.ended'])
  })
})

const linksFrom = (start: number) =>
  Array.from({ length: 700 }, (_, at) => ({ linkTypeId: 3, linkValue: `project ${start + at}` }))
