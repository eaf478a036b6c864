import { sql } from 'kysely'
import { beforeEach, describe, expect, test } from 'vitest'
import { STORES } from '../../../test/support/records.ts'
import { useIdiScene } from '../../../test/support/use-idi-scene.ts'

/** The document's sample; its variable is made first. */
const SAMPLE = {
  code: 'TestCode',
  dataDefinitions: [
    {
      dataTypeID: 3,
      defaultValue: '6',
      description: 'A sample data definition description for a given field.',
      isRequired: true,
      isVisible: false,
      listID: 2,
      name: 'Test Name',
      transitionOptions: [{ provisionedObjectTransitionID: 1, isRequired: true, isVisible: false }],
    },
  ],
  description: 'Test Description',
  name: 'Test Provisionable Object Definition',
}
const VARIABLE = { code: '300/200A', dataTypeID: 1, isActive: true, name: 'Bandwidth' }
const WITH_ITEMS = 'provisionableObjectDefinition/dataDefinitionWithExtendedInformationItems'
/** Every environment has definitions of the products of the catalogue, too. */
const OWN = "provisionableObjectDefinition?$filter=createUser ne 'engine'"
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/

const errorsOf = (answer: { readonly body: unknown }) =>
  (answer.body as { readonly errors: readonly { readonly field: string; readonly message: string }[] }).errors
const option = (provisionedObjectTransitionID: number, isRequired: boolean, isVisible: boolean) => ({
  provisionedObjectTransitionID,
  isRequired,
  isVisible,
})

describe.each(STORES)('provisionable object definitions, on %s', (store) => {
  const scene = useIdiScene(store)
  const { send } = scene

  const make = async (body: unknown): Promise<number> => {
    const answer = await send('POST', 'provisionableObjectDefinition', body)
    expect(answer.status).toBe(201)
    return (answer.body as { readonly provisionableObjectDefinitionID: number }).provisionableObjectDefinitionID
  }

  const makeObject = async (code: string, internalId: string, items: Readonly<Record<string, string>>) => {
    await scene.rig.provisioning.database.query(async (db) => {
      await sql`with made as (
          insert into provisioned_objects (environment_id, code, internal_id, status_id)
          select environment_id, ${code}, ${internalId}, 1 from environments where name = ${scene.environment.name}
          returning *)
        insert into provisioned_object_items (object_id, environment_id, code, internal_id, key_name, value)
        select object_id, environment_id, code, internal_id, key, value
        from made, jsonb_each_text(${JSON.stringify(items)}::jsonb)`.execute(db)
    })
  }
  /** Asks for the data of so many objects of the definition `Large`, and of one of which there is no definition. */
  const askForLarge = (count: number) => {
    const ids = Array.from({ length: count }, (_, at) => String(at))
    const objects = ids.map((internalID) => ({ code: 'Large', internalID, transitionID: 1 }))
    return send('POST', `${WITH_ITEMS}?$top=1`, [...objects, { code: 'None', internalID: 'x', transitionID: 1 }])
  }
  const dataFor = async (transitionID: number, includeNonVisible?: boolean) => {
    const asked = { code: 'TestCode', internalID: 'x', transitionID, includeNonVisible }
    const { body } = await send('POST', `${WITH_ITEMS}?$select=name,isRequired,isVisible`, [asked])
    return (body as { readonly value: readonly object[] }).value
  }

  test("the document's sample is accepted and answered in its shape", async () => {
    const variable = await send('POST', 'variable', VARIABLE)
    const { variableID } = variable.body as { readonly variableID: number }
    const [data] = SAMPLE.dataDefinitions
    const answer = await send('POST', 'provisionableObjectDefinition', {
      ...SAMPLE,
      dataDefinitions: [{ ...data, variableID }],
    })
    expect(answer).toMatchObject({ status: 201 })
    expect(answer.body).toEqual({
      code: 'TestCode',
      createDate: expect.stringMatching(TIME),
      createUser: expect.stringMatching(/^key:/),
      dataDefinitions: [
        {
          dataDefinitionID: expect.any(Number),
          dataTypeID: 3,
          defaultValue: '6',
          description: 'A sample data definition description for a given field.',
          isRequired: true,
          isVisible: false,
          listID: 2,
          name: 'Test Name',
          sequenceNumber: 0,
          transitionOptions: [
            {
              isRequired: true,
              isVisible: false,
              provisionedObjectStatus: 'Active',
              provisionedObjectStatusID: 1,
              provisionedObjectTransition: 'Activate',
              provisionedObjectTransitionID: 1,
            },
          ],
          variableID,
        },
      ],
      description: 'Test Description',
      lastModifiedDate: expect.stringMatching(TIME),
      lastModifiedUser: expect.stringMatching(/^key:/),
      name: 'Test Provisionable Object Definition',
      provisionableObjectDefinitionID: expect.any(Number),
    })

    const made = answer.body as { readonly provisionableObjectDefinitionID: number; readonly dataDefinitions: unknown }
    const { dataDefinitions, ...definition } = made
    const path = `provisionableObjectDefinition/${made.provisionableObjectDefinitionID}`
    expect(await send('GET', path)).toMatchObject({ status: 200, body: definition })
    expect((await send('GET', `${path}/dataDefinition`)).body).toEqual({ value: dataDefinitions })
    expect((await send('GET', `${OWN}&$count=true`)).body).toEqual({
      '@count': 1,
      value: [definition],
    })
    expect(
      (await send('POST', 'provisionableObjectDefinition/dataDefinition', ['TestCode', 'TestCodeB'])).body,
    ).toEqual((dataDefinitions as readonly object[]).map((item) => ({ code: 'TestCode', ...item })))
  })

  test('what is left out of a definition is as the document says, and null is left out', async () => {
    const definitionId = await make({
      code: 'A',
      name: 'a',
      description: null,
      dataDefinitions: [{ name: 'x', dataTypeID: 3, defaultValue: null, transitionOptions: null }],
    })
    const { body } = await send('GET', `provisionableObjectDefinition/${definitionId}/dataDefinition`)
    expect(body).toEqual({
      value: [
        {
          dataDefinitionID: expect.any(Number),
          dataTypeID: 3,
          isRequired: false,
          isVisible: true,
          name: 'x',
          sequenceNumber: 0,
          transitionOptions: [],
        },
      ],
    })
  })

  test('code and name are unique in an environment, and only there', async () => {
    await make({ code: 'A', name: 'a' })
    expect(await send('POST', 'provisionableObjectDefinition', { code: 'A', name: 'b' })).toMatchObject({
      status: 400,
      body: { errors: [{ field: 'code', loggingNumber: 500_002, message: expect.stringContaining('unique') }] },
    })
    expect(await send('POST', 'provisionableObjectDefinition', { code: 'B', name: 'a' })).toMatchObject({
      status: 400,
      body: { errors: [{ field: 'name', loggingNumber: 500_002 }] },
    })
    await scene.change()
    await make({ code: 'A', name: 'a' })
  })

  test('of two that are made with one code at the same time, one is', async () => {
    const answers = await Promise.all(
      Array.from({ length: 4 }, (_, index) =>
        send('POST', 'provisionableObjectDefinition', { code: 'A', name: `${index}` }),
      ),
    )
    expect(answers.map(({ status }) => status).toSorted((left, right) => left - right)).toEqual([201, 400, 400, 400])
  })

  test.each([
    ['code', { name: 'a' }],
    ['name', { code: 'A' }],
    ['code', { code: ' ', name: 'a' }],
    ['name', { code: 'A', name: 'x'.repeat(201) }],
    ['surprise', { code: 'A', name: 'a', surprise: 1 }],
    ['dataDefinitions', { code: 'A', name: 'a', dataDefinitions: {} }],
    ['dataDefinitions.0.name', { code: 'A', name: 'a', dataDefinitions: [{ dataTypeID: 3 }] }],
    ['dataDefinitions.0.dataTypeID', { code: 'A', name: 'a', dataDefinitions: [{ name: 'x' }] }],
    ['dataDefinitions.0.dataTypeID', { code: 'A', name: 'a', dataDefinitions: [{ name: 'x', dataTypeID: 99 }] }],
    [
      'dataDefinitions.0.variableID',
      { code: 'A', name: 'a', dataDefinitions: [{ name: 'x', dataTypeID: 3, variableID: 99 }] },
    ],
    [
      'dataDefinitions.0.defaultValue',
      { code: 'A', name: 'a', dataDefinitions: [{ name: 'x', dataTypeID: 4, defaultValue: '1.5' }] },
    ],
    [
      'dataDefinitions',
      {
        code: 'A',
        name: 'a',
        dataDefinitions: [
          { name: 'x', dataTypeID: 3 },
          { name: 'x', dataTypeID: 4 },
        ],
      },
    ],
    [
      'dataDefinitions',
      {
        code: 'A',
        name: 'a',
        dataDefinitions: Array.from({ length: 1_001 }, (_, index) => ({ name: `${index}`, dataTypeID: 3 })),
      },
    ],
    [
      'dataDefinitions.0.transitionOptions.0.provisionedObjectTransitionID',
      {
        code: 'A',
        name: 'a',
        dataDefinitions: [
          {
            name: 'x',
            dataTypeID: 3,
            transitionOptions: [{ provisionedObjectTransitionID: 9, isRequired: true, isVisible: true }],
          },
        ],
      },
    ],
  ])('what is not valid is a 400 which names %s, and nothing is made', async (field, body) => {
    const answer = await send('POST', 'provisionableObjectDefinition', body)
    expect(answer.status).toBe(400)
    expect(errorsOf(answer)).toEqual([expect.objectContaining({ field, loggingNumber: 500_002 })])
    expect((await send('GET', OWN)).body).toEqual({ value: [] })
  })

  test('a default value that is computed later may have any data type', async () => {
    const definitionId = await make({
      code: 'A',
      name: 'a',
      dataDefinitions: [
        { name: 'reference', dataTypeID: 4, defaultValue: '@[Speed]' },
        { name: 'expression', dataTypeID: 6, defaultValue: '#[Later(@[Start])]' },
        { name: 'value', dataTypeID: 7, defaultValue: '+12025550123' },
      ],
    })
    const { body } = await send(
      'GET',
      `provisionableObjectDefinition/${definitionId}/dataDefinition?$select=defaultValue`,
    )
    expect(body).toEqual({
      value: [{ defaultValue: '@[Speed]' }, { defaultValue: '#[Later(@[Start])]' }, { defaultValue: '+12025550123' }],
    })
  })

  test('a definition with 1,000 data definitions is made, searched and told apart by its options', async () => {
    const definitionId = await make({
      code: 'A',
      name: 'a',
      dataDefinitions: Array.from({ length: 1_000 }, (_, index) => ({
        name: `field ${index}`,
        dataTypeID: 3,
        transitionOptions: [{ provisionedObjectTransitionID: 1 + (index % 5), isRequired: true, isVisible: true }],
      })),
    })
    const { body } = await send(
      'GET',
      `provisionableObjectDefinition/${definitionId}/dataDefinition?$count=true&$top=2&$select=name&$filter=transitionOptions/any(o: o/provisionedObjectTransition eq 'Suspend')`,
    )
    expect(body).toMatchObject({ '@count': 200, value: [{ name: 'field 1' }, { name: 'field 6' }] })
  })

  test.each([
    ['GET', 'provisionableObjectDefinition/2147483647'],
    ['GET', 'provisionableObjectDefinition/99999999999999999999'],
    ['GET', 'provisionableObjectDefinition/2147483647/dataDefinition'],
    ['PATCH', 'provisionableObjectDefinition/2147483647'],
  ])('there is nothing at %s %s', async (method, path) => {
    expect(await send(method, path, method === 'PATCH' ? [] : undefined)).toMatchObject({
      status: 404,
      body: { errors: [{ field: 'provisionableObjectDefinitionId', loggingNumber: 500_032 }] },
    })
  })

  test('of another environment, there is nothing', async () => {
    const definitionId = await make({ code: 'A', name: 'a', dataDefinitions: [{ name: 'x', dataTypeID: 3 }] })
    const path = `provisionableObjectDefinition/${definitionId}`
    await scene.change()
    expect((await send('GET', path)).status).toBe(404)
    expect((await send('GET', `${path}/dataDefinition`)).status).toBe(404)
    expect((await send('PATCH', path, [{ op: 'replace', path: '/name', value: 'b' }])).status).toBe(404)
    expect((await send('GET', OWN)).body).toEqual({ value: [] })
    expect((await send('POST', 'provisionableObjectDefinition/dataDefinition', ['A'])).body).toEqual([])
  })

  test('a word is no id', async () => {
    expect(await send('GET', 'provisionableObjectDefinition/first')).toMatchObject({
      status: 400,
      body: { errors: [{ field: 'provisionableObjectDefinitionId', loggingNumber: 500_002 }] },
    })
  })

  describe('the data definitions of several codes', () => {
    test('are a bare list, in the order of codes, of which pages are skipped to', async () => {
      for (const code of ['B', 'A', 'C']) {
        await make({ code, name: code, dataDefinitions: ['second', 'first'].map((name) => ({ name, dataTypeID: 3 })) })
      }
      const path = 'provisionableObjectDefinition/dataDefinition?$select=code,name&$top=3'
      const codes = ['A', 'B', 'nothing']
      const pages = [await send('POST', path, codes), await send('POST', `${path}&$skip=3`, codes)]
      expect(pages.flatMap(({ body }) => body)).toEqual([
        { code: 'A', name: 'second' },
        { code: 'A', name: 'first' },
        { code: 'B', name: 'second' },
        { code: 'B', name: 'first' },
      ])
      const filtered = await send(
        'POST',
        "provisionableObjectDefinition/dataDefinition?$filter=code eq 'B'&$top=1",
        codes,
      )
      expect(filtered.body).toMatchObject([{ code: 'B', name: 'second' }])
    })

    test.each([
      ['an object', {}],
      ['a text', 'A'],
      ['a number', [1]],
      ['no text', ['']],
      ['too many', Array.from({ length: 1_001 }, () => 'A')],
    ])('are not those of %s', async (_, body) => {
      expect((await send('POST', 'provisionableObjectDefinition/dataDefinition', JSON.stringify(body))).status).toBe(
        400,
      )
    })
  })

  test('of many objects at once, as many data definitions are shown as can be sorted in a moment', async () => {
    const dataDefinitions = Array.from({ length: 1_000 }, (_, at) => ({ name: `Key${at}`, dataTypeID: 3 }))
    await make({ code: 'Large', name: 'Large', dataDefinitions })
    expect((await askForLarge(100)).status).toBe(200)
    const refused = await askForLarge(101)
    expect(refused.status).toBe(400)
    expect(errorsOf(refused)[0]?.message).toMatch(/must be about up to 100000 data definitions/)
  })

  describe('data definitions with what objects have', () => {
    beforeEach(async () => {
      await make({
        code: 'TestCode',
        name: 'a',
        dataDefinitions: [
          {
            name: 'Speed',
            dataTypeID: 4,
            defaultValue: '6',
            isRequired: true,
            transitionOptions: [option(3, false, false)],
          },
          { name: 'Secret', dataTypeID: 3, isVisible: false, transitionOptions: [option(1, true, true)] },
          { name: 'Note', dataTypeID: 3, listID: 2 },
        ],
      })
    })

    test('are answered in the shape of the document, with the value of the object or the default one', async () => {
      await makeObject('TestCode', '12345', { Note: 'of the object', Other: 'x' })
      const answer = await send('POST', `${WITH_ITEMS}?$count=true`, [
        { code: 'TestCode', includeNonVisible: false, internalID: '12345', transitionID: 1 },
      ])
      const common = {
        code: 'TestCode',
        dataDefinitionID: expect.any(Number),
        internalID: 12_345,
        provisionedObjectStatus: 'Active',
        provisionedObjectStatusID: 1,
        provisionedObjectTransition: 'Activate',
        provisionedObjectTransitionID: 1,
      }
      expect(answer).toMatchObject({ status: 200 })
      expect(answer.body).toEqual({
        '@count': 3,
        value: [
          { ...common, name: 'Speed', dataTypeID: 4, isRequired: true, isVisible: true, sequenceNumber: 0, value: '6' },
          { ...common, name: 'Secret', dataTypeID: 3, isRequired: true, isVisible: true, sequenceNumber: 1 },
          {
            ...common,
            name: 'Note',
            dataTypeID: 3,
            isRequired: false,
            isVisible: true,
            listID: 2,
            sequenceNumber: 2,
            value: 'of the object',
          },
        ],
      })
    })

    test('the options of the transition stand over the definition, also to hide', async () => {
      expect(await dataFor(1)).toEqual([
        { name: 'Speed', isRequired: true, isVisible: true },
        { name: 'Secret', isRequired: true, isVisible: true },
        { name: 'Note', isRequired: false, isVisible: true },
      ])
      expect(await dataFor(2)).toMatchObject([{ name: 'Speed' }, { name: 'Note' }])
      expect(await dataFor(3, false)).toEqual([{ name: 'Note', isRequired: false, isVisible: true }])
      expect(await dataFor(3, true)).toEqual([
        { name: 'Speed', isRequired: false, isVisible: false },
        { name: 'Secret', isRequired: false, isVisible: false },
        { name: 'Note', isRequired: false, isVisible: true },
      ])
    })

    test.each([
      ['12345', 12_345],
      ['0', 0],
      ['007', '007'],
      ['+12025550123', '+12025550123'],
      ['12345678901234567890', '12345678901234567890'],
      ['1e3', '1e3'],
      ['abc', 'abc'],
    ])('the internal id %s is answered as %j, by which it can be asked for as well', async (internalID, shown) => {
      for (const asked of [internalID, shown]) {
        const { body } = await send('POST', `${WITH_ITEMS}?$top=1&$select=internalID`, [
          { code: 'TestCode', internalID: asked, transitionID: 1 },
        ])
        expect(body).toMatchObject({ value: [{ internalID: shown }] })
      }
    })

    test('are found page after page, once per object that was asked for, by the same body', async () => {
      await makeObject('TestCode', 'b', { Note: 'of b' })
      const asked = ['b', 'a', 'b'].map((internalID) => ({ code: 'TestCode', internalID, transitionID: 2 }))
      const seen: unknown[] = []
      let path: string | undefined = `${WITH_ITEMS}?$top=1&$select=internalID,name,value`
      while (path !== undefined) {
        const { body } = await send('POST', path, asked)
        const page = body as { readonly '@nextLink'?: string; readonly value: readonly unknown[] }
        seen.push(...page.value)
        path = page['@nextLink']?.replace(/^http:\/\/[^/]+\/ProvisioningManagement\/2X\/[^/]+\/api\//, '')
      }
      expect(seen).toEqual([
        { internalID: 'b', name: 'Speed', value: '6' },
        { internalID: 'b', name: 'Note', value: 'of b' },
        { internalID: 'a', name: 'Speed', value: '6' },
        { internalID: 'a', name: 'Note' },
        { internalID: 'b', name: 'Speed', value: '6' },
        { internalID: 'b', name: 'Note', value: 'of b' },
      ])
      const found = await send(
        'POST',
        `${WITH_ITEMS}?$filter=value eq 'of b' and internalID eq 'b'&$orderby=name desc`,
        asked,
      )
      expect(found.body).toMatchObject({ value: [{ name: 'Note' }, { name: 'Note' }] })
    })

    test('objects of another environment are not seen', async () => {
      await makeObject('TestCode', 'b', { Note: 'of b' })
      await scene.change()
      await make({ code: 'TestCode', name: 'a', dataDefinitions: [{ name: 'Note', dataTypeID: 3 }] })
      const { body } = await send('POST', `${WITH_ITEMS}?$select=value`, [
        { code: 'TestCode', internalID: 'b', transitionID: 1 },
      ])
      expect(body).toEqual({ value: [{}] })
    })

    test.each([
      ['0.transitionID', [{ code: 'TestCode', internalID: '1', transitionID: 9 }]],
      ['0.transitionID', [{ code: 'TestCode', internalID: '1' }]],
      ['0.internalID', [{ code: 'TestCode', internalID: 1.5, transitionID: 1 }]],
      ['0.code', [{ internalID: '1', transitionID: 1 }]],
      ['', { code: 'TestCode', internalID: '1', transitionID: 1 }],
    ])('what is not valid is a 400 which names %j', async (field, body) => {
      const answer = await send('POST', WITH_ITEMS, body)
      expect(answer.status).toBe(400)
      expect(errorsOf(answer)).toEqual([expect.objectContaining({ field, loggingNumber: 500_002 })])
    })
  })

  test('every change is in the audit trail, with what it touched', async () => {
    const definitionId = await make({
      code: 'A',
      name: 'a',
      dataDefinitions: [
        { name: 'x', dataTypeID: 3 },
        { name: 'y', dataTypeID: 3 },
      ],
    })
    await send('PATCH', `provisionableObjectDefinition/${definitionId}`, [
      { op: 'replace', path: '/dataDefinitions/1/name', value: 'z' },
    ])
    const { rows } = await scene.rig.provisioning.database.query((db) =>
      sql`select action, actor, before, after from audit where entity = 'provisionable_object_definition'
        and entity_id = ${String(definitionId)} order by seq`.execute(db),
    )
    expect(rows).toMatchObject([
      { action: 'create', actor: expect.stringMatching(/^key:/), before: null, after: { code: 'A' } },
      {
        action: 'update',
        before: { dataDefinitions: [{ name: 'y' }] },
        after: { dataDefinitions: [{ name: 'z' }] },
      },
    ])
  })
})
