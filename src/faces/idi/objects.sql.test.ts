import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { IdiRig, type RigEnvironment } from '../../../test/support/idi-rig.ts'
import { STORES } from '../../../test/support/records.ts'

const EXPANDED = 'provisionedObject/extendedInformationItemExpanded'
const ITEMS = 'provisionedObject/extendedInformationItem'
const PRODUCT = 'prd_us-local'

const item = (internalID: string, keyName = 'ItemKey', value = '1005') => ({ code: 'DSL', internalID, keyName, value })
const valuesOf = (body: unknown) => (body as { readonly value: readonly Record<string, unknown>[] }).value

describe.each(STORES)('provisioned objects on %s', (store) => {
  let rig: IdiRig
  let environment: RigEnvironment
  let other: RigEnvironment
  beforeAll(async () => {
    rig = await IdiRig.start({ store })
    environment = await rig.addEnvironment()
    other = await rig.addEnvironment()
    for (const { name } of [environment, other]) await define(name, 'DSL')
  })
  afterAll(() => rig.stop())

  const run = (statement: ReturnType<typeof sql>) => rig.provisioning.database.query((db) => statement.execute(db))

  /** A definition with a key of each kind that a value is checked by. */
  async function define(name: string, code: string): Promise<void> {
    await run(sql`
      insert into object_definitions (environment_id, code, name, created_by, modified_by)
      select environment_id, ${code}, ${code}, 'test', 'test' from environments where name = ${name}`)
    await run(sql`
      insert into data_definitions
        (definition_id, name, data_type_id, default_value, is_required, is_visible, list_id, sequence_number)
      select definition_id, key, type, fallback, false, true, list, place from object_definitions
        join environments using (environment_id),
        (values ('ItemKey', 3, 'none', 10, 1), ('Ports', 4, null, null, 2)) as keys (key, type, fallback, list, place)
      where environments.name = ${name} and code = ${code}`)
  }
  const put = (items: readonly unknown[], by = environment) => rig.send(by, 'PUT', ITEMS, items)
  const search = (internalID: string, by = environment) => rig.send(by, 'POST', ITEMS, [{ code: 'DSL', internalID }])
  const find = async (filter: string) => {
    const { body } = await rig.send(environment, 'GET', `${EXPANDED}?$filter=${encodeURIComponent(filter)}`)
    return valuesOf(body).map(({ internalID }) => internalID)
  }

  test("the document's sample is accepted, and found again by its object", async () => {
    expect(await put([item('12345')])).toMatchObject({ status: 204, body: undefined })
    const found = await rig.send(environment, 'POST', `${ITEMS}?$count=true`, [{ code: 'DSL', internalID: '12345' }])
    expect(found).toMatchObject({ status: 200, body: { '@count': 1, value: [item('12345')] } })
    await put([item('12345', 'ItemKey', '1006'), item('12345', 'Ports', '4')])
    const again = await rig.send(environment, 'POST', `${ITEMS}?$orderby=keyName desc`, [
      { code: 'DSL', internalID: '12345' },
      { code: 'DSL', internalID: 'nobody' },
    ])
    expect(valuesOf(again.body)).toEqual([item('12345', 'Ports', '4'), item('12345', 'ItemKey', '1006')])
    expect(valuesOf((await rig.send(environment, 'POST', ITEMS, [])).body)).toEqual([])
  })

  test('an expanded search shows what the definition says of each item', async () => {
    await put([item('expanded')])
    const found = await rig.send(environment, 'GET', `${EXPANDED}?$filter=internalID eq 'expanded'`)
    expect(found.body).toEqual({
      value: [
        {
          code: 'DSL',
          dataType: 'Text',
          dataTypeID: 3,
          defaultValue: 'none',
          internalID: 'expanded',
          isRequired: false,
          isVisible: true,
          listID: 10,
          name: 'ItemKey',
          sequenceNumber: 1,
          value: '1005',
        },
      ],
    })
    const selected = await rig.send(
      environment,
      'GET',
      `${EXPANDED}?$filter=code eq 'DSL' and dataTypeID eq 3 and internalID eq 'expanded'&$select=name,value`,
    )
    expect(valuesOf(selected.body)).toEqual([{ name: 'ItemKey', value: '1005' }])
  })

  test('values are found whole, however long they are, and whatever else is asked', async () => {
    const long = `${'x'.repeat(300)}A`
    await put([item('long-1', 'ItemKey', long), item('long-2', 'ItemKey', `${'x'.repeat(300)}B`)])
    expect(await find(`value eq '${long}'`)).toEqual(['long-1'])
    expect(await find(`startswith(internalID,'long') and not (value eq '${long}')`)).toEqual(['long-2'])
    expect(await find(`startswith(internalID,'long') and value ne '${long}'`)).toEqual(['long-2'])
    expect(await find(`internalID eq 'long-1' or value eq '${'x'.repeat(300)}B'`)).toEqual(['long-1', 'long-2'])
  })

  test('pages follow one another in the order of the items', async () => {
    await put(Array.from({ length: 7 }, (_, index) => item(`page-${index}`)))
    const seen: unknown[] = []
    let path: string | undefined = `${EXPANDED}?$top=3&$filter=startswith(internalID,'page-')&$select=internalID`
    while (path !== undefined) {
      const { body } = await rig.send(environment, 'GET', path)
      seen.push(...valuesOf(body).map(({ internalID }) => internalID))
      const next = (body as { readonly '@nextLink'?: string })['@nextLink']
      path = next?.replace(/^http:\/\/[^/]+\/ProvisioningManagement\/2X\/[^/]+\/api\//, '')
    }
    expect(seen).toEqual(Array.from({ length: 7 }, (_, index) => `page-${index}`))
  })

  test("another environment's items are not seen, nor is its object the same", async () => {
    await put([item('shared')])
    await put([item('shared', 'ItemKey', 'other')], other)
    expect(valuesOf((await search('shared')).body)).toEqual([item('shared')])
    expect(valuesOf((await search('shared', other)).body)).toEqual([item('shared', 'ItemKey', 'other')])
  })

  test.each([
    ['a code without a definition', [item('bad-1'), { ...item('bad-1'), code: 'ISDN' }], 404, '1.code', 500_032],
    ['a key that the definition does not have', [item('bad-1'), item('bad-1', 'Colour')], 400, '1.keyName', 500_002],
    ['a value of another type', [item('bad-1'), item('bad-1', 'Ports', 'many')], 400, '1.value', 500_002],
    ['the same twice', [item('bad-1'), item('bad-1')], 400, '1.keyName', 500_002],
    ['a code that is empty', [{ ...item('bad-1'), code: '' }], 400, '0.code', 500_002],
    ['a value that is no text', [{ ...item('bad-1'), value: 5 }], 400, '0.value', 500_002],
    [
      'what is kept from services',
      [{ ...item('+12025550100', 'State', 'active'), code: PRODUCT }],
      400,
      '0.keyName',
      500_002,
    ],
  ])('%s is refused, and nothing is written', async (_, items, status, field, loggingNumber) => {
    expect(await put(items)).toMatchObject({ status, body: { errors: [{ field, loggingNumber }] } })
    expect(await find("internalID in ('bad-1','+12025550100')")).toEqual([])
  })

  test.each([
    ['POST', ITEMS, {}],
    ['POST', ITEMS, [{ code: 'DSL' }]],
    ['POST', ITEMS, Array.from({ length: 1_001 }, () => ({ code: 'DSL', internalID: '1' }))],
    ['PUT', ITEMS, { code: 'DSL' }],
    ['GET', `${EXPANDED}?$filter=keyName eq 'a'`, undefined],
    ['GET', `${EXPANDED}?$orderby=%23item`, undefined],
    ['GET', `${EXPANDED}?$select=itemID`, undefined],
    ['GET', `${EXPANDED}?$filter=%23valueStart eq 'a'`, undefined],
  ])('%s %s of what there is not is 400', async (method, path, body) => {
    const answer = await rig.send(environment, method, path, body)
    expect(answer).toMatchObject({ status: 400, body: { errors: [{ loggingNumber: 500_002 }] } })
  })

  test('a change is in the audit trail', async () => {
    await put([item('audited')])
    const trail = await rig.provisioning.database.query((db) =>
      db.selectFrom('audit').select(['entity', 'action', 'after']).orderBy('at', 'desc').limit(1).execute(),
    )
    expect(trail).toEqual([
      {
        entity: 'provisioned_object_items',
        action: 'put',
        after: [{ code: 'DSL', internalId: 'audited', keyName: 'ItemKey', value: '1005' }],
      },
    ])
  })
})
