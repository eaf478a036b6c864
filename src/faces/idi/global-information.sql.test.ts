import { request, type IncomingMessage } from 'node:http'
import { json } from 'node:stream/consumers'
import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import { STORES } from '../../../test/support/records.ts'
import { serveApp } from '../../../test/support/serve-app.ts'
import { useIdiScene } from '../../../test/support/use-idi-scene.ts'
import { GlobalInformation } from '../../provisioning/requests/store/global-information.ts'

const SAMPLE = { dataTypeID: 3, isProtected: false, listID: 2, name: 'Username', value: 'Someone' }
const SECRET = 'h0rse-battery-staple'
const MASK = '********'
const textItem = (name: string, value: string) => ({ dataType: 'Text', dataTypeID: 3, isProtected: false, name, value })

describe.each(STORES)('global information on %s', (store) => {
  const scene = useIdiScene(store)
  const put = (...items: readonly unknown[]) => scene.send('POST', 'globalInformationItem', items)
  const get = (name: string) => scene.send('GET', `globalInformationItem/${encodeURIComponent(name)}`)
  const list = (query = '') => scene.send('GET', `globalInformationItem${query}`)
  const retrieve = (body: unknown) => scene.send('POST', 'globalInformationItem/retrieve', body)
  const stored = async () => {
    const { rows } = await scene.rig.provisioning.database.query((db) =>
      sql<{ environment_id: number; value: string | null }>`
        select environment_id, value from global_information_items
        join environments using (environment_id) where environments.name = ${scene.environment.name}`.execute(db),
    )
    return rows
  }

  test("the document's sample is removed, put, and answered in its shape", async () => {
    expect((await put({ ...SAMPLE, remove: true })).status).toBe(204)
    expect(await get('Username')).toMatchObject({ status: 404, body: { errors: [{ loggingNumber: 500_032 }] } })
    expect((await put({ ...SAMPLE, remove: false })).status).toBe(204)
    expect(await get('Username')).toEqual(
      expect.objectContaining({ status: 200, body: { dataType: 'Text', ...SAMPLE } }),
    )
    expect((await put({ ...SAMPLE, remove: true })).status).toBe(204)
    expect((await list()).body).toEqual({ value: [] })
  })

  test('only what is in the list changes, and of that only what is named', async () => {
    await put(SAMPLE, { name: 'Realm', value: 'north' })
    await put({ name: 'Username', value: 'Somebody else' })
    expect((await list('?$orderby=name desc&$count=true')).body).toEqual({
      '@count': 2,
      value: [
        { dataType: 'Text', ...SAMPLE, value: 'Somebody else' },
        { dataType: 'Text', dataTypeID: 3, isProtected: false, name: 'Realm', value: 'north' },
      ],
    })
  })

  test('one wrong item is named, and none of the list is kept', async () => {
    const bad: readonly (readonly [unknown, string])[] = [
      [{ name: 'Count', dataTypeID: 4, value: 'three' }, '1.value'],
      [{ name: 'Count', dataTypeID: 99 }, '1.dataTypeID'],
      [{ value: 'x' }, '1.name'],
      [{ name: ' ' }, '1.name'],
      [{ name: 'Retrieve', value: 'x' }, '1.name'],
      [{ name: 'x'.repeat(201) }, '1.name'],
      [{ name: 'Long', value: 'x'.repeat(4_001) }, '1.value'],
      [{ name: 'Typed', value: 5 }, '1.value'],
      [{ name: 'Odd', colour: 'red' }, '1.colour'],
      [{ name: 'Hidden', isProtected: true, value: MASK }, '1.value'],
      [SAMPLE, ''],
    ]
    for (const [item, field] of bad) {
      expect(await put(SAMPLE, item)).toMatchObject({
        status: 400,
        body: { errors: [{ field, loggingNumber: 500_002 }] },
      })
    }
    expect((await put(...Array.from({ length: 1_001 }, (_, index) => ({ name: `Item ${index}` })))).status).toBe(400)
    expect(await scene.send('POST', 'globalInformationItem', SAMPLE)).toMatchObject({ status: 400 })
    expect((await list()).body).toEqual({ value: [] })
  })

  test('a protected value is nowhere but in the engine: not in answers, the database, the audit trail or the log', async () => {
    await put({ name: 'Password', isProtected: true, value: SECRET })
    const shown = { dataType: 'Text', dataTypeID: 3, isProtected: true, name: 'Password', value: MASK }
    const answers = [await get('Password'), await list(), await retrieve([{ names: ['Password'] }])]
    expect(answers.map(({ body }) => body)).toEqual([shown, { value: [shown] }, { globalInformationItems: [shown] }])
    expect((await list(`?$filter=value eq '${SECRET}'`)).body).toEqual({ value: [] })
    expect((await list(`?$filter=value eq '${MASK}'`)).body).toEqual({ value: [shown] })
    const [row] = await stored()
    const { rows: audit } = await scene.rig.provisioning.database.query((db) =>
      sql<{ before: unknown; after: unknown }>`select before, after from audit
        where chain = ${`environment:${row?.environment_id}`} and entity = 'global_information_item'`.execute(db),
    )
    expect(audit).toEqual([
      { before: null, after: { name: 'Password', dataTypeId: 3, isProtected: true, value: MASK } },
    ])
    expect(row?.value).toMatch(/^v1\./)
    for (const text of [JSON.stringify(row), JSON.stringify(audit), ...scene.rig.provisioning.logLines]) {
      expect(text).not.toContain(SECRET)
    }
  })

  test('the mask sent back leaves the value as it is, and a refusal does not repeat one', async () => {
    await put({ name: 'Password', isProtected: true, value: SECRET })
    const [before] = await stored()
    const { body } = await get('Password')
    expect((await put(body)).status).toBe(204)
    expect(await stored()).toEqual([before])
    const refused = await put({ name: 'Password', isProtected: false })
    expect(refused).toMatchObject({ status: 400, body: { errors: [{ field: '0.value' }] } })
    const wrong = await put({ name: 'Password', dataTypeID: 4 })
    expect(wrong.status).toBe(400)
    expect(JSON.stringify([refused.body, wrong.body])).not.toContain(SECRET)
    expect((await put({ name: 'Password', isProtected: false, value: 'open' })).status).toBe(204)
    expect(await get('Password')).toMatchObject({ body: { isProtected: false, value: 'open' } })
  })

  test('the engine reads protected values as they are, and those bound to another place not at all', async () => {
    await put({ name: 'Password', isProtected: true, value: SECRET }, SAMPLE, { name: 'Empty' })
    const { database, cipher } = scene.rig.provisioning
    const information = new GlobalInformation({ database, secret: Buffer.alloc(32) }, cipher)
    const [row] = await stored()
    const environmentId = row?.environment_id ?? 0
    const read = (...names: readonly string[]) => database.query((db) => information.valuesOf(db, environmentId, names))
    expect(await read('Password', 'Username', 'Empty', 'None')).toEqual(
      new Map([
        ['Password', { value: SECRET, isSecret: true }],
        ['Username', { value: 'Someone', isSecret: false }],
      ]),
    )
    await database.query((db) =>
      sql`update global_information_items set name = 'Moved' where name = 'Password'`.execute(db),
    )
    await expect(read('Moved')).rejects.toMatchObject({ code: 'internal' })
    expect((await list()).status).toBe(200)
    expect((await put({ name: 'Moved', value: 'new' })).status).toBe(204)
    expect(await read('Moved')).toEqual(new Map([['Moved', { value: 'new', isSecret: true }]]))
  })

  test('names are retrieved by body and by query, as the document says and without its list', async () => {
    await put({ name: 'A', value: '1' }, { name: 'B, C', value: '2' }, { name: 'a/b?c', value: '3' })
    expect((await get('a/b?c')).body).toEqual(textItem('a/b?c', '3'))
    const both = { globalInformationItems: [textItem('B, C', '2'), textItem('A', '1')] }
    expect((await retrieve([{ names: ['B, C', 'None', 'A'] }])).body).toEqual(both)
    expect((await retrieve({ names: ['B, C', 'A', 'A'] })).body).toEqual(both)
    expect((await retrieve([{ names: [null] }])).body).toEqual({ globalInformationItems: [] })
    const byQuery = await scene.send('GET', 'globalInformationItem/retrieve?names=B,%20C&names=A')
    expect(byQuery).toMatchObject({ status: 200, body: both })
    for (const body of [undefined, {}, [], [{ names: 'A' }], [{ names: [5] }], 'A']) {
      expect(await retrieve(body)).toMatchObject({ status: 400, body: { errors: [{ loggingNumber: 500_002 }] } })
    }
    expect((await scene.send('GET', 'globalInformationItem/retrieve')).status).toBe(400)
  })

  test('names are retrieved by a GET with a body, which the document has and few clients can send', async () => {
    await put({ name: 'A', value: '1' })
    const server = await serveApp(scene.rig.provisioning.app.fetch)
    try {
      const target = `${server.url}/ProvisioningManagement/2X/${scene.environment.name}/api/globalInformationItem/retrieve`
      const sent = JSON.stringify([{ names: ['A'] }])
      const answer = await new Promise<IncomingMessage>((resolve, reject) => {
        const headers = {
          authorization: `Bearer ${scene.environment.key}`,
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(sent),
        }
        request(target, { method: 'GET', headers }, resolve).on('error', reject).end(sent)
      })
      expect(answer.statusCode).toBe(200)
      expect(await json(answer)).toEqual({ globalInformationItems: [textItem('A', '1')] })
    } finally {
      server.stop()
    }
  })

  test('of two writers of one new item at the same time, both are done', async () => {
    const answers = await Promise.all(['1', '2', '3'].map((value) => put({ name: 'Turn', value })))
    expect(answers.map(({ status }) => status)).toEqual([204, 204, 204])
    expect((await list('?$count=true')).body).toMatchObject({ '@count': 1 })
  })

  test("another environment's items are not there", async () => {
    await put(SAMPLE)
    const mine = scene.environment
    await scene.change()
    expect((await get('Username')).status).toBe(404)
    expect((await retrieve([{ names: ['Username'] }])).body).toEqual({ globalInformationItems: [] })
    await put({ name: 'Username', remove: true }, { name: 'Username 2', value: 'x' })
    expect(await scene.rig.send(mine, 'GET', 'globalInformationItem?$select=name')).toMatchObject({
      body: { value: [{ name: 'Username' }] },
    })
  })
})
