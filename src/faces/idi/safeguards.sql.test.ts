import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import { STORES } from '../../../test/support/records.ts'
import { useIdiScene } from '../../../test/support/use-idi-scene.ts'

const LIST = 'safeguard/allowedInternalID'
const allowed = (...ids: readonly (string | number)[]) => ({
  value: ids.map((allowedInternalID) => ({ allowedInternalID })),
})

describe.each(STORES)('safeguards on %s', (store) => {
  const scene = useIdiScene(store)
  const put = (...changes: readonly unknown[]) => scene.send('POST', LIST, changes)
  const list = (query = '') => scene.send('GET', `${LIST}${query}`)
  const isSafeguarded = async () => {
    const { body } = await scene.rig.provisioning.admin('GET', '/admin/provisioning/environments')
    const environments: readonly unknown[] = Array.isArray(body) ? body : []
    return environments.find((one) => JSON.stringify(one).includes(`"${scene.environment.name}"`))
  }
  const run = async <Row>(statement: ReturnType<typeof sql<Row>>) => {
    const { rows } = await scene.rig.provisioning.database.query((db) => statement.execute(db))
    return rows
  }

  test("the document's sample is taken as the text that it declares, and answered as the number that it prints", async () => {
    expect((await put({ allowedInternalID: 5, remove: false })).status).toBe(204)
    expect((await list()).body).toEqual(allowed(5))
    expect((await put({ allowedInternalID: '5' }, { allowedInternalID: 6 })).status).toBe(204)
    expect((await list()).body).toEqual(allowed(5, 6))
    expect((await put({ allowedInternalID: '5', remove: true })).status).toBe(204)
    expect((await list()).body).toEqual(allowed(6))
  })

  test('an id is a number only where that says all of it', async () => {
    const ids = ['0', '007', '123456789012345', '1234567890123456', '-1', '1.0', 'TN 5', '+15550100001']
    await put(...ids.map((allowedInternalID) => ({ allowedInternalID })))
    expect((await list()).body).toEqual(
      allowed('+15550100001', '-1', 0, '007', '1.0', 123_456_789_012_345, '1234567890123456', 'TN 5'),
    )
    expect((await list("?$filter=allowedInternalID eq '007'&$count=true")).body).toEqual({
      '@count': 1,
      ...allowed('007'),
    })
    expect((await list("?$filter=startswith(allowedInternalID, '12')&$top=1")).body).toMatchObject({
      '@nextLink': expect.stringContaining('$skiptoken='),
      ...allowed(123_456_789_012_345),
    })
  })

  test('only those in the list change, and a wrong one stops them all', async () => {
    await put({ allowedInternalID: 'kept' })
    const bad: readonly (readonly [unknown, string])[] = [
      [{ remove: true }, '1.allowedInternalID'],
      [{ allowedInternalID: ' ' }, '1.allowedInternalID'],
      [{ allowedInternalID: -5 }, '1.allowedInternalID'],
      [{ allowedInternalID: 1.5 }, '1.allowedInternalID'],
      [{ allowedInternalID: 'x'.repeat(201) }, '1.allowedInternalID'],
      [{ allowedInternalID: 'x', remove: 'yes' }, '1.remove'],
      [{ allowedInternalID: 'x', colour: 'red' }, '1.colour'],
      [{ allowedInternalID: 'new', remove: true }, ''],
    ]
    for (const [change, field] of bad) {
      expect(await put({ allowedInternalID: 'new' }, change)).toMatchObject({
        status: 400,
        body: { errors: [{ field, loggingNumber: 500_002 }] },
      })
    }
    expect((await put(...Array.from({ length: 1_001 }, (_, index) => ({ allowedInternalID: index })))).status).toBe(400)
    expect((await scene.send('POST', LIST, { allowedInternalID: 5 })).status).toBe(400)
    expect((await list()).body).toEqual(allowed('kept'))
  })

  test('a new environment is safeguarded, until it is said otherwise, and again', async () => {
    expect(await isSafeguarded()).toMatchObject({ isSafeguarded: true })
    expect((await scene.send('POST', 'safeguard/disable')).status).toBe(204)
    expect((await scene.send('POST', 'safeguard/disable')).status).toBe(204)
    expect(await isSafeguarded()).toMatchObject({ isSafeguarded: false })
    expect((await scene.send('PUT', 'safeguard/enable')).status).toBe(204)
    expect(await isSafeguarded()).toMatchObject({ isSafeguarded: true })
    expect(
      await run(sql`select action from audit join environments e on chain = 'environment:' || e.environment_id
        where e.name = ${scene.environment.name} and entity = 'safeguard' order by seq`),
    ).toEqual([{ action: 'disable' }, { action: 'enable' }])
  })

  test('what is allowed is a change for the audit trail, once', async () => {
    await put({ allowedInternalID: 'b' })
    await put({ allowedInternalID: 'b' }, { allowedInternalID: 'a' }, { allowedInternalID: 'c', remove: true })
    await put({ allowedInternalID: 'a' })
    await put({ allowedInternalID: 'b', remove: true })
    expect(
      await run(sql`select after from audit join environments e on chain = 'environment:' || e.environment_id
        where e.name = ${scene.environment.name} and entity = 'safeguard' order by seq`),
    ).toEqual([
      { after: { allowed: ['b'], notAllowed: [] } },
      { after: { allowed: ['a'], notAllowed: [] } },
      { after: { allowed: [], notAllowed: ['b'] } },
    ])
  })

  test("another environment's list is not this one's", async () => {
    await put({ allowedInternalID: 'mine' })
    await scene.change()
    expect((await list()).body).toEqual({ value: [] })
    await put({ allowedInternalID: 'mine', remove: true })
    expect((await list()).body).toEqual({ value: [] })
  })
})
