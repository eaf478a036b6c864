import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { IdiRig, type RigEnvironment } from '../../../test/support/idi-rig.ts'
import { STORES } from '../../../test/support/records.ts'

const callback = (callbackId: number) => ({
  callbackId,
  relativePath: 'service/2x/endpoint/resource',
  service: 'Orders',
  serviceVersion: '1.11.00',
})

describe.each(STORES)('link types on %s', (store) => {
  let rig: IdiRig
  let environment: RigEnvironment
  beforeAll(async () => {
    rig = await IdiRig.start({ store })
    environment = await rig.addEnvironment()
  })
  afterAll(() => rig.stop())

  const put = (linkTypeId: number | string, body: unknown, of = environment) =>
    rig.provisioning.admin('PUT', `/admin/provisioning/environments/${of.name}/link-types/${linkTypeId}`, body)

  test('an environment has the link type of the document from its beginning', async () => {
    const fresh = await rig.addEnvironment()
    expect(await rig.send(fresh, 'GET', 'linkType')).toMatchObject({
      status: 200,
      body: { value: [{ linkTypeId: 1, name: 'Orders' }] },
    })
    expect((await rig.send(fresh, 'GET', 'linkType/1')).body).toEqual({ linkTypeId: 1, name: 'Orders' })
  })

  test('what the operator makes is searched, and read with its callbacks', async () => {
    const body = {
      name: 'Trouble tickets',
      provisioningRequestCallback: callback(6),
      provisioningRequestBatchCallback: callback(7),
    }
    expect((await put(7, body)).status).toBe(204)
    expect(await rig.send(environment, 'GET', 'linkType?$filter=linkTypeId gt 1&$count=true')).toMatchObject({
      status: 200,
      body: { '@count': 1, value: [{ linkTypeId: 7, name: 'Trouble tickets' }] },
    })
    expect((await rig.send(environment, 'GET', 'linkType/7')).body).toEqual({ linkTypeId: 7, ...body })
    expect((await put(7, { name: 'Tickets' })).status).toBe(204)
    expect((await rig.send(environment, 'GET', 'linkType/7')).body).toEqual({ linkTypeId: 7, name: 'Tickets' })
    const { rows: audited } = await rig.provisioning.database.query((db) =>
      sql`select actor, action, before -> 'name' as before, after -> 'name' as after from audit
        join environments e on chain = 'environment:' || e.environment_id
        where e.name = ${environment.name} and entity = 'link_type' and entity_id = '7' order by seq`.execute(db),
    )
    expect(audited).toEqual([
      { actor: 'admin', action: 'create', before: null, after: 'Trouble tickets' },
      { actor: 'admin', action: 'update', before: 'Trouble tickets', after: 'Tickets' },
    ])
  })

  test('of another environment there is none, and its names are free', async () => {
    const other = await rig.addEnvironment()
    expect((await put(20, { name: 'Projects' })).status).toBe(204)
    expect(await rig.send(other, 'GET', 'linkType/20')).toMatchObject({
      status: 404,
      body: {
        errors: [{ field: 'linkTypeId', message: 'You do not have access to link type ID 20 or it does not exist.' }],
      },
    })
    expect((await put(21, { name: 'Projects' }, other)).status).toBe(204)
    expect(await put(22, { name: 'Projects' })).toMatchObject({ status: 409, body: { code: 'already_exists' } })
  })

  test('what is wrong with one is said, and nothing is made', async () => {
    const bad: readonly (readonly [number | string, unknown])[] = [
      [0, { name: 'x' }],
      ['one', { name: 'x' }],
      [30, {}],
      [30, { name: ' ' }],
      [30, { name: 'x', colour: 'red' }],
      [30, { name: 'x', provisioningRequestCallback: { ...callback(1), callbackId: 'six' } }],
      [30, { name: 'x', provisioningRequestCallback: { callbackId: 6 } }],
    ]
    for (const [linkTypeId, body] of bad) expect((await put(linkTypeId, body)).status).toBe(400)
    expect((await rig.send(environment, 'GET', 'linkType/30')).status).toBe(404)
    const missing = await rig.provisioning.admin('PUT', '/admin/provisioning/environments/none/link-types/1', {
      name: 'x',
    })
    expect(missing).toMatchObject({ status: 404, body: { code: 'resource_not_found' } })
  })
})
