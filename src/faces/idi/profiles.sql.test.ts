import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import { STORES } from '../../../test/support/records.ts'
import { useIdiScene } from '../../../test/support/use-idi-scene.ts'

const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/
/** The document's samples. */
const SAMPLE = { description: 'Provisioning description', name: 'Provisioning', scenarios: [{ providerActionID: 1 }] }
const DEFINITION = { code: 'TestCode', name: 'Test Description' }
const notFound = (field: string) => ({ status: 404, body: { errors: [{ field, loggingNumber: 500_032 }] } })
const notValid = (field: string) => ({ status: 400, body: { errors: [{ field, loggingNumber: 500_002 }] } })

const many = (from: number, count: number) =>
  Array.from({ length: count }, (_, index) => ({ name: `Parameter ${from + index}`, value: 'x' }))

describe.each(STORES)('profiles on %s', (store) => {
  const scene = useIdiScene(store)
  const { send } = scene

  const make = async (body: unknown = SAMPLE): Promise<number> => {
    const answer = await send('POST', 'profile', body)
    expect(answer.status).toBe(201)
    return (answer.body as { readonly profileID: number }).profileID
  }
  const valuesOf = async (path: string) => {
    const answer = await send('GET', path)
    expect(answer.status).toBe(200)
    return (answer.body as { readonly value: readonly Record<string, unknown>[] }).value
  }
  /** The id of a sandbox action, by its name. */
  const actionId = async (name: string): Promise<number> => {
    const [provider] = await valuesOf('provider')
    const [action] = await valuesOf(`provider/${String(provider?.['providerID'])}/action?$filter=name eq '${name}'`)
    return Number(action?.['providerActionID'])
  }
  const scenarioIds = async (profileId: number) =>
    (await valuesOf(`profile/${profileId}/scenario`)).map((scenario) => scenario['scenarioID'])
  const define = async (definition: { readonly code: string; readonly name: string } = DEFINITION): Promise<number> => {
    const answer = await send('POST', 'provisionableObjectDefinition', definition)
    return (answer.body as { readonly provisionableObjectDefinitionID: number }).provisionableObjectDefinitionID
  }
  const audited = async () => {
    const { rows } = await scene.rig.provisioning.database.query((db) =>
      sql<{ action: string; before: unknown; after: unknown }>`select action, before, after from audit
        join environments e on chain = 'environment:' || e.environment_id
        where e.name = ${scene.environment.name} and entity = 'profile' order by seq`.execute(db),
    )
    return rows
  }

  const patch = (profileId: number, ...operations: readonly unknown[]) =>
    send('PATCH', `profile/${profileId}`, operations)
  /** The path of the parameters of a scenario that enables texts. */
  const openParameters = async () => {
    const providerActionID = await actionId('EnableService')
    const parameters = [
      { name: 'Number', scope: 'request', value: 'TelephoneNumber' },
      { name: 'Product', value: 'prd_text-enablement' },
    ]
    const profileId = await make({ name: 'Texts', scenarios: [{ providerActionID, parameters }] })
    const [scenarioId] = await scenarioIds(profileId)
    return `profile/${profileId}/scenario/${String(scenarioId)}/parameter`
  }

  describe('made and found', () => {
    test("the document's sample is made, and answered in its shape", async () => {
      const answer = await send('POST', 'profile', SAMPLE)
      const shown = {
        createDate: expect.stringMatching(TIME),
        createUser: expect.stringMatching(/^key:/),
        description: 'Provisioning description',
        lastModifiedDate: expect.stringMatching(TIME),
        lastModifiedUser: expect.stringMatching(/^key:/),
        name: 'Provisioning',
        profileID: expect.any(Number),
      }
      expect(answer).toMatchObject({ status: 201, body: shown })
      const { profileID } = answer.body as { readonly profileID: number }
      expect((await send('GET', `profile/${profileID}`)).body).toEqual(answer.body)
      expect(await valuesOf(`profile/${profileID}/scenario`)).toMatchObject([{ providerActionID: 1 }])
    })

    test('it is searched by its fields, after the one of orders that every environment has', async () => {
      await make({ name: 'Beta' })
      await make({ name: 'Alpha', description: null, scenarios: null })
      expect(await valuesOf('profile?$orderby=name&$select=name')).toEqual([
        { name: 'Alpha' },
        { name: 'Beta' },
        { name: 'Orders' },
      ])
      expect(await valuesOf("profile?$filter=description eq null and name ne 'Alpha'")).toMatchObject([
        { name: 'Beta' },
      ])
      const [beta] = await valuesOf("profile?$filter=name eq 'Beta'")
      expect(
        await valuesOf(`profile?$filter=createDate eq ${String(beta?.['createDate'])} and name eq 'Beta'`),
      ).toEqual([beta])
    })

    test('what is wrong is named, and nothing is made', async () => {
      await make()
      const port = await actionId('PortNumber')
      const scenario = (parameters: unknown) => ({ name: 'New', scenarios: [{ providerActionID: port, parameters }] })
      const bad: readonly (readonly [unknown, object])[] = [
        [SAMPLE, notValid('name')],
        [{}, notValid('name')],
        [{ name: ' ' }, notValid('name')],
        [{ name: 'x'.repeat(201) }, notValid('name')],
        [{ name: 'New', description: 'x'.repeat(4_001) }, notValid('description')],
        [{ name: 'New', colour: 'red' }, notValid('colour')],
        [{ name: 'New', scenarios: {} }, notValid('scenarios')],
        [{ name: 'New', scenarios: [{}] }, notValid('scenarios.0.providerActionID')],
        [
          { name: 'New', scenarios: [{ providerActionID: 1 }, { providerActionID: 999_999 }] },
          notFound('scenarios.1.providerActionID'),
        ],
        [scenario([{ value: 'x' }]), notValid('scenarios.0.parameters.0.name')],
        [scenario([{ name: 'Number', value: '555' }]), notValid('scenarios.0.parameters.0.value')],
        [scenario([{ name: 'URL' }, { name: 'URL', scope: 'literal' }]), notValid('scenarios.0.parameters')],
        [
          { name: 'New', scenarios: Array.from({ length: 101 }, () => ({ providerActionID: 1 })) },
          notValid('scenarios'),
        ],
        [[SAMPLE], notValid('')],
      ]
      for (const [body, refusal] of bad) expect(await send('POST', 'profile', body)).toMatchObject(refusal)
      expect(await valuesOf('profile?$select=name')).toEqual([{ name: 'Orders' }, { name: 'Provisioning' }])
    })

    test('of two that are made with one name at the same time, there is one', async () => {
      const answers = await Promise.all([send('POST', 'profile', SAMPLE), send('POST', 'profile', SAMPLE)])
      expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([201, 400])
    })

    test("another environment's profile is not there, and its name is free", async () => {
      const profileId = await make()
      const [scenarioId] = await scenarioIds(profileId)
      const definitionId = await define()
      await scene.change()
      const parameters = `profile/${profileId}/scenario/${String(scenarioId)}/parameter`
      const theirs: readonly (readonly [string, string, unknown?])[] = [
        ['GET', `profile/${profileId}`],
        ['PATCH', `profile/${profileId}`, [{ op: 'replace', path: '/name', value: 'Mine' }]],
        ['GET', `profile/${profileId}/provisionableObjectDefinition`],
        ['POST', `profile/${profileId}/provisionableObjectDefinition`, []],
        ['GET', `profile/${profileId}/scenario`],
        ['GET', parameters],
        ['POST', parameters, [{ name: 'URL' }]],
      ]
      for (const [method, path, body] of theirs) {
        expect(await send(method, path, body)).toMatchObject({
          status: 404,
          body: {
            errors: [
              {
                field: 'profileId',
                loggingNumber: 500_032,
                message: `You do not have access to profile ID ${profileId} or it does not exist.`,
              },
            ],
          },
        })
      }
      const mine = await make()
      expect(
        await send('POST', `profile/${mine}/provisionableObjectDefinition`, [
          { provisionableObjectDefinitionID: definitionId },
        ]),
      ).toMatchObject(notFound('0.provisionableObjectDefinitionID'))
      expect(await patch(mine, { op: 'add', path: '/removeProfileScenarios', value: [scenarioId] })).toMatchObject(
        notFound('value'),
      )
      expect(await send('GET', `profile/${mine}/scenario/${String(scenarioId)}/parameter`)).toMatchObject(
        notFound('scenarioId'),
      )
    })
  })

  describe('patched', () => {
    test('name and description are replaced, and the description is taken away', async () => {
      const profileId = await make()
      const answer = await patch(
        profileId,
        { op: 'replace', path: '/name', value: 'Renamed' },
        { op: 'replace', path: '/description', value: 'Other' },
      )
      expect(answer.status).toBe(204)
      expect((await send('GET', `profile/${profileId}`)).body).toMatchObject({ name: 'Renamed', description: 'Other' })
      expect((await patch(profileId, { op: 'remove', path: '/description' })).status).toBe(204)
      expect((await send('GET', `profile/${profileId}`)).body).not.toHaveProperty('description')
      expect((await patch(profileId, { op: 'add', path: '/description', value: 'Again' })).status).toBe(204)
      expect((await send('GET', `profile/${profileId}`)).body).toMatchObject({ description: 'Again' })
    })

    test('scenarios are added at the end and taken away, several or one', async () => {
      const profileId = await make()
      const [first] = await scenarioIds(profileId)
      const [enable, end] = [await actionId('EnableService'), await actionId('EndService')]
      const added = await patch(
        profileId,
        { op: 'add', path: '/addProfileScenarios', value: [{ providerActionID: enable }, { providerActionID: end }] },
        { op: 'add', path: '/removeProfileScenarios', value: first },
        { op: 'add', path: '/addProfileScenarios', value: { providerActionID: enable } },
      )
      expect(added.status).toBe(204)
      expect(await valuesOf(`profile/${profileId}/scenario`)).toMatchObject([
        {
          provider: 'Sandbox carrier',
          providerAction: 'EnableService',
          providerActionCode: 'Enable_Service',
          providerActionID: enable,
        },
        { providerAction: 'EndService' },
        { providerAction: 'EnableService' },
      ])
      expect(await valuesOf(`profile/${profileId}/scenario?$filter=providerActionCode eq 'End_Service'`)).toMatchObject(
        [{ providerActionID: end }],
      )
      const again = await patch(profileId, { op: 'add', path: '/removeProfileScenarios', value: [first] })
      expect(again).toMatchObject(notFound('value'))
    })

    test('it is done whole or not at all', async () => {
      const profileId = await make()
      await make({ name: 'Taken' })
      const before = (await send('GET', `profile/${profileId}`)).body
      const rename = { op: 'replace', path: '/name', value: 'Renamed' }
      const bad: readonly (readonly [unknown, object])[] = [
        [{ op: 'remove', path: '/name' }, notValid('path')],
        [{ op: 'add', path: '/name', value: 'x' }, notValid('path')],
        [{ op: 'replace', path: '/profileID', value: 5 }, notValid('path')],
        [{ op: 'replace', path: '/addProfileScenarios', value: [] }, notValid('path')],
        [{ op: 'test', path: '/name', value: 'Renamed' }, notValid('path')],
        [{ op: 'replace', path: '/name', value: 5 }, notValid('name')],
        [{ op: 'replace', path: '/name', value: 'Taken' }, notValid('name')],
        [{ op: 'replace', path: '/name' }, notValid('value')],
        [{ op: 'add', path: '/addProfileScenarios', value: ['x'] }, notValid('value.0')],
        [
          { op: 'add', path: '/addProfileScenarios', value: [{ providerActionID: 0 }] },
          notValid('value.0.providerActionID'),
        ],
        [
          { op: 'add', path: '/addProfileScenarios', value: [{ providerActionID: 999_999 }] },
          notFound('value.0.providerActionID'),
        ],
        [{ op: 'add', path: '/removeProfileScenarios', value: ['x'] }, notValid('value.0')],
        [
          {
            op: 'add',
            path: '/addProfileScenarios',
            value: Array.from({ length: 100 }, () => ({ providerActionID: 1 })),
          },
          notValid('value'),
        ],
        [
          // Counted before any of them is looked at: a patch has room for tens of thousands.
          {
            op: 'add',
            path: '/addProfileScenarios',
            value: Array.from({ length: 100 }, () => ({ providerActionID: 999_999 })),
          },
          notValid('value'),
        ],
      ]
      for (const [operation, refusal] of bad) expect(await patch(profileId, rename, operation)).toMatchObject(refusal)
      expect((await send('GET', `profile/${profileId}`)).body).toEqual(before)
      expect(await scenarioIds(profileId)).toHaveLength(1)
    })
  })

  describe('the definitions it allows', () => {
    test('are put and taken away, and those that are not named stay', async () => {
      const profileId = await make()
      const path = `profile/${profileId}/provisionableObjectDefinition`
      const [first, second] = [await define(), await define({ code: 'Second', name: 'Other' })]
      const change = (...changes: readonly unknown[]) => send('POST', path, changes)
      const allowed = { code: 'TestCode', name: 'Test Description', provisionableObjectDefinitionID: first }
      expect((await change({ provisionableObjectDefinitionID: first, remove: false })).status).toBe(204)
      expect((await change({ provisionableObjectDefinitionID: second })).status).toBe(204)
      expect(await valuesOf(`${path}?$filter=contains(name,'Test')`)).toEqual([allowed])
      expect((await change({ provisionableObjectDefinitionID: second, remove: true })).status).toBe(204)
      expect((await change({ provisionableObjectDefinitionID: second, remove: true })).status).toBe(204)
      expect(await valuesOf(path)).toEqual([allowed])
    })

    test('change whole or not at all', async () => {
      const profileId = await make()
      const path = `profile/${profileId}/provisionableObjectDefinition`
      const good = { provisionableObjectDefinitionID: await define() }
      const bad: readonly (readonly [unknown, object])[] = [
        [{ provisionableObjectDefinitionID: 999_999 }, notFound('1.provisionableObjectDefinitionID')],
        [{ provisionableObjectDefinitionID: 'five' }, notValid('1.provisionableObjectDefinitionID')],
        [{ remove: true }, notValid('1.provisionableObjectDefinitionID')],
        [good, notValid('')],
      ]
      for (const [change, refusal] of bad) expect(await send('POST', path, [good, change])).toMatchObject(refusal)
      expect(await valuesOf(path)).toEqual([])
    })
  })

  describe("a scenario's parameters", () => {
    test('are made with it, in order, each of one scope', async () => {
      expect(await valuesOf(await openParameters())).toEqual([
        { name: 'Number', scope: 'Request', sequenceNumber: 1, value: 'TelephoneNumber' },
        { name: 'Product', scope: 'Literal', sequenceNumber: 2, value: 'prd_text-enablement' },
      ])
    })

    test("the document's sample is taken, and others are put and taken away by name and scope", async () => {
      const path = await openParameters()
      expect((await send('POST', path, [{ name: 'URL', remove: false, scope: 'Wireline' }])).status).toBe(204)
      const changes = [
        { name: 'Number', scope: 'Request', remove: true },
        { name: 'Number', scope: 'Literal', value: '@[Telephone]' },
        { name: 'Product', value: 'prd_other' },
        { name: 'Product', scope: 'DSL', value: 'prd_dsl' },
        { name: 'ExternalID', scope: 'Global', value: 'TenantID' },
        { name: 'None', remove: true },
      ]
      expect((await send('PUT', path, changes)).status).toBe(204)
      expect(await valuesOf(`${path}?$orderby=name,scope&$select=name,scope,value`)).toEqual([
        { name: 'ExternalID', scope: 'Global', value: 'TenantID' },
        { name: 'Number', scope: 'Literal', value: '@[Telephone]' },
        { name: 'Product', scope: 'DSL', value: 'prd_dsl' },
        { name: 'Product', scope: 'Literal', value: 'prd_other' },
        { name: 'URL', scope: 'Wireline' },
      ])
      await send('POST', path, [{ name: 'Product' }])
      expect(await valuesOf(`${path}?$filter=name eq 'Product' and scope eq 'Literal'`)).toMatchObject([
        { value: 'prd_other' },
      ])
    })

    test('change whole or not at all', async () => {
      const path = await openParameters()
      const before = await valuesOf(path)
      const bad: readonly (readonly [unknown, object])[] = [
        [{ value: 'x' }, notValid('1.name')],
        [{ name: 'Number', value: '555' }, notValid('1.value')],
        [{ name: 'Number', scope: 'Wireline', value: '555' }, notValid('1.value')],
        [{ name: 'x', value: 5 }, notValid('1.value')],
        [{ name: 'x', value: 'x'.repeat(4_001) }, notValid('1.value')],
        [{ name: 'x', scope: 'x'.repeat(201) }, notValid('1.scope')],
        [{ name: 'x', order: 1 }, notValid('1.order')],
        [{ name: 'good', scope: '' }, notValid('')],
      ]
      for (const [change, refusal] of bad) {
        expect(await send('POST', path, [{ name: 'good', value: 'x' }, change])).toMatchObject(refusal)
      }
      expect(await valuesOf(path)).toEqual(before)
      expect(await send('POST', path.replace(/\d+\/parameter/, '999999/parameter'), [])).toMatchObject(
        notFound('scenarioId'),
      )
    })

    test('are as many as a list may have, over all changes', async () => {
      const path = await openParameters()
      expect((await send('POST', path, many(0, 998))).status).toBe(204)
      expect(await send('POST', path, many(998, 1))).toMatchObject(notValid(''))
    })
  })

  test('the profile of orders stays as it is', async () => {
    const [orders] = await valuesOf("profile?$filter=name eq 'Orders'")
    const path = `profile/${String(orders?.['profileID'])}`
    const rename = [{ op: 'replace', path: '/name', value: 'Mine' }]
    expect(await send('PATCH', path, rename)).toMatchObject(notValid('profileId'))
    expect(await send('POST', `${path}/provisionableObjectDefinition`, [])).toMatchObject(notValid('profileId'))
    expect(await send('POST', `${path}/scenario/1/parameter`, [])).toMatchObject(notValid('profileId'))
    expect((await send('GET', path)).body).toEqual(orders)
  })

  test('every change is in the audit trail, without the PIN of an account', async () => {
    const port = await actionId('PortNumber')
    const parameters = [{ name: 'PIN', value: '4711' }]
    const profileId = await make({ name: 'Port', scenarios: [{ providerActionID: port, parameters }] })
    const [scenarioId] = await scenarioIds(profileId)
    const definitionId = await define()
    await send('PATCH', `profile/${profileId}`, [{ op: 'add', path: '/description', value: 'Ports' }])
    await send('POST', `profile/${profileId}/provisionableObjectDefinition`, [
      { provisionableObjectDefinitionID: definitionId },
    ])
    await send('POST', `profile/${profileId}/scenario/${String(scenarioId)}/parameter`, [
      { name: 'PIN', value: '4712' },
    ])
    expect(await audited()).toEqual([
      {
        action: 'create',
        before: null,
        after: {
          name: 'Port',
          scenarios: [{ providerActionID: port, parameters: [{ name: 'PIN', scope: 'Literal', value: '********' }] }],
        },
      },
      { action: 'update', before: { name: 'Port' }, after: { name: 'Port', description: 'Ports' } },
      { action: 'allow_definitions', before: null, after: { allowed: [definitionId], notAllowed: [] } },
      {
        action: 'update_parameters',
        before: null,
        after: { scenarioId, parameters: [{ name: 'PIN', scope: 'Literal', value: '********' }] },
      },
    ])
  })
})
