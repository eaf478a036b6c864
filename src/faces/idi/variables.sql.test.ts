import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import { STORES } from '../../../test/support/records.ts'
import { useIdiScene } from '../../../test/support/use-idi-scene.ts'

/** The document's sample. */
const SAMPLE = {
  code: '300/200A',
  dataTypeID: 1,
  isActive: true,
  name: 'Bandwidth',
  outcomes: [{ displayValue: '300 up/200 down', outcomeCode: '300/200A', sequenceNumber: 1, value: '300' }],
}
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/
const outcome = (outcomeCode: string, sequenceNumber: number, value = outcomeCode) => ({
  outcomeCode,
  sequenceNumber,
  value,
})

describe.each(STORES)('variables, on %s', (store) => {
  const scene = useIdiScene(store)
  const { send } = scene

  const make = async (body: unknown): Promise<number> => {
    const answer = await send('POST', 'variable', body)
    expect(answer.status).toBe(201)
    return (answer.body as { readonly variableID: number }).variableID
  }

  test("the document's sample is accepted and answered in its shape", async () => {
    const answer = await send('POST', 'variable', SAMPLE)
    expect(answer.status).toBe(201)
    expect(answer.body).toEqual({
      code: '300/200A',
      createDate: expect.stringMatching(TIME),
      createUser: expect.stringMatching(/^key:/),
      dataTypeID: 1,
      isActive: true,
      lastModifiedDate: expect.stringMatching(TIME),
      lastModifiedUser: expect.stringMatching(/^key:/),
      name: 'Bandwidth',
      outcomes: [{ ...SAMPLE.outcomes[0], outcomeID: expect.any(Number) }],
      variableID: expect.any(Number),
    })
    const { outcomes, ...variable } = answer.body as { readonly outcomes: unknown; readonly variableID: number }
    const path = `variable/${variable.variableID}`
    expect(await send('GET', path)).toMatchObject({ status: 200, body: answer.body })
    expect((await send('GET', 'variable')).body).toEqual({ value: [variable] })
    expect((await send('GET', `${path}/outcome`)).body).toEqual({ '@count': 1, value: outcomes })
    expect(await send('DELETE', path)).toMatchObject({ status: 204, body: undefined })
    expect((await send('GET', path)).status).toBe(404)
    expect((await send('GET', 'variable')).body).toEqual({ value: [] })
  })

  test('are as many in an environment as can be listed without pages', async () => {
    const first = await make({ ...SAMPLE, code: 'first', name: 'first' })
    const { database } = scene.rig.provisioning
    await database.query((db) =>
      sql`insert into variables (environment_id, code, name, data_type_id, is_active, created_by, modified_by)
        select environment_id, 'v' || n, 'v' || n, 3, true, 'test', 'test'
        from environments, generate_series(2, 10000) as n where name = ${scene.environment.name}`.execute(db),
    )
    expect(await send('POST', 'variable', SAMPLE)).toMatchObject({
      status: 400,
      body: { errors: [{ message: expect.stringContaining('environment has 10000 variables') }] },
    })
    expect((await send('DELETE', `variable/${first}`)).status).toBe(204)
    expect((await send('POST', 'variable', SAMPLE)).status).toBe(201)
  })

  test('is active unless it says otherwise, and its outcomes come by their sequence numbers', async () => {
    const variableId = await make({
      code: 'A',
      name: 'a',
      dataTypeID: 3,
      outcomes: [outcome('last', 9), { ...outcome('first', 0), displayValue: null }, outcome('middle', 5)],
    })
    expect((await send('GET', `variable/${variableId}`)).body).toMatchObject({
      isActive: true,
      outcomes: [{ outcomeCode: 'first' }, { outcomeCode: 'middle' }, { outcomeCode: 'last' }],
    })
    await make({ code: 'B', name: 'b', dataTypeID: 3, isActive: false })
    expect((await send('GET', 'variable')).body).toMatchObject({ value: [{ isActive: true }, { isActive: false }] })
  })

  test.each([
    ['code', { name: 'a', dataTypeID: 3 }],
    ['dataTypeID', { code: 'A', name: 'a' }],
    ['dataTypeID', { code: 'A', name: 'a', dataTypeID: 99 }],
    ['name', { code: 'A', name: '', dataTypeID: 3 }],
    ['isActive', { code: 'A', name: 'a', dataTypeID: 3, isActive: 'yes' }],
    ['outcomes', { code: 'A', name: 'a', dataTypeID: 3, outcomes: [outcome('x', 1), outcome('x', 2)] }],
    ['outcomes', { code: 'A', name: 'a', dataTypeID: 3, outcomes: [outcome('x', 1), outcome('y', 1)] }],
    ['outcomes.0.value', { code: 'A', name: 'a', dataTypeID: 4, outcomes: [outcome('x', 1, '1.5')] }],
    ['outcomes.0.value', { code: 'A', name: 'a', dataTypeID: 4, outcomes: [outcome('x', 1, '@[Speed]')] }],
    ['outcomes.0.sequenceNumber', { code: 'A', name: 'a', dataTypeID: 3, outcomes: [outcome('x', -1)] }],
    ['outcomes.0.surprise', { code: 'A', name: 'a', dataTypeID: 3, outcomes: [{ ...outcome('x', 1), surprise: 1 }] }],
  ])('what is not valid is a 400 which names %s, and nothing is made', async (field, body) => {
    expect(await send('POST', 'variable', body)).toMatchObject({
      status: 400,
      body: { errors: [{ field, loggingNumber: 500_002 }] },
    })
    expect((await send('GET', 'variable')).body).toEqual({ value: [] })
  })

  test('code and name are unique in an environment, outcomes within their variable', async () => {
    await make({ code: 'A', name: 'a', dataTypeID: 3, outcomes: [outcome('x', 1)] })
    const again = await send('POST', 'variable', { code: 'A', name: 'a', dataTypeID: 3 })
    expect(again).toMatchObject({ status: 400, body: { errors: [{ field: 'code' }, { field: 'name' }] } })
    await make({ code: 'B', name: 'b', dataTypeID: 3, outcomes: [outcome('x', 1)] })
    await scene.change()
    await make({ code: 'A', name: 'a', dataTypeID: 3 })
  })

  test('one that a data definition uses is not deleted', async () => {
    const variableID = await make(SAMPLE)
    const made = await send('POST', 'provisionableObjectDefinition', {
      code: 'A',
      name: 'a',
      dataDefinitions: [{ name: 'x', dataTypeID: 1, variableID }],
    })
    expect(await send('DELETE', `variable/${variableID}`)).toMatchObject({
      status: 400,
      body: { errors: [{ field: 'variableID', loggingNumber: 500_002 }] },
    })
    const { provisionableObjectDefinitionID } = made.body as { readonly provisionableObjectDefinitionID: number }
    await send('PATCH', `provisionableObjectDefinition/${provisionableObjectDefinitionID}`, [
      { op: 'remove', path: '/dataDefinitions/0/variableID' },
    ])
    expect((await send('DELETE', `variable/${variableID}`)).status).toBe(204)
  })

  test('it is deleted, or a data definition uses it, if both are asked for at the same time', async () => {
    for (const round of [0, 1, 2]) {
      const variableID = await make({ code: `${round}`, name: `${round}`, dataTypeID: 3 })
      const dataDefinitions = [{ name: 'x', dataTypeID: 3, variableID }]
      const [made, deleted] = await Promise.all([
        send('POST', 'provisionableObjectDefinition', { code: `${round}`, name: `${round}`, dataDefinitions }),
        send('DELETE', `variable/${variableID}`),
      ])
      expect([
        [201, 400],
        [400, 204],
      ]).toContainEqual([made.status, deleted.status])
    }
  })

  test.each([
    ['GET', ''],
    ['DELETE', ''],
    ['PATCH', ''],
    ['GET', '/outcome'],
  ])('of another environment there is nothing: %s variable/{variableID}%s', async (method, rest) => {
    const variableId = await make(SAMPLE)
    await scene.change()
    const body = method === 'PATCH' ? [{ op: 'replace', path: '/name', value: 'b' }] : undefined
    expect(await send(method, `variable/${variableId}${rest}`, body)).toMatchObject({
      status: 404,
      body: {
        errors: [
          {
            field: 'variableID',
            loggingNumber: 500_032,
            message: `You do not have access to variable ID ${variableId} or it does not exist.`,
          },
        ],
      },
    })
  })

  test('every change is in the audit trail', async () => {
    const variableId = await make(SAMPLE)
    const path = `variable/${variableId}`
    await send('PATCH', path, [{ op: 'replace', path: '/outcomes/0/value', value: '400' }])
    await send('PATCH', path, [{ op: 'replace', path: '/outcomes/0/value', value: '400' }])
    await send('DELETE', path)
    const { rows } = await scene.rig.provisioning.database.query((db) =>
      sql`select action, before, after from audit where entity = 'variable' and entity_id = ${String(variableId)}
        order by seq`.execute(db),
    )
    expect(rows).toMatchObject([
      { action: 'create', before: null, after: { code: '300/200A' } },
      { action: 'update', before: { outcomes: [{ value: '300' }] }, after: { outcomes: [{ value: '400' }] } },
      { action: 'remove', before: { outcomes: [{ value: '400' }] }, after: null },
    ])
  })
})
