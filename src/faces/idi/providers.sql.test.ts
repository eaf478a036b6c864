import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { IdiRig, type RigEnvironment } from '../../../test/support/idi-rig.ts'
import { STORES } from '../../../test/support/records.ts'

const refused = (field: string) => ({ status: 404, body: { errors: [{ field, loggingNumber: 500_032 }] } })

type Page = { readonly '@count'?: number; readonly value: readonly Record<string, unknown>[] }

describe.each(STORES)('providers and installations on %s', (store) => {
  let rig: IdiRig
  let environment: RigEnvironment
  beforeAll(async () => {
    rig = await IdiRig.start({ store })
    environment = await rig.addEnvironment()
  })
  afterAll(() => rig.stop())

  const send = (method: string, path: string) => rig.send(environment, method, path)
  const page = async (path: string): Promise<Page> => {
    const answer = await send('GET', path)
    expect(answer.status).toBe(200)
    // The rig has checked it against the envelope's schema.
    return answer.body as Page
  }
  const sandboxId = async () =>
    Number((await page("provider?$filter=name eq 'Sandbox carrier'")).value[0]?.['providerID'])

  test('a provider is an adapter, by its name', async () => {
    const id = await sandboxId()
    const wanted = {
      description: 'A carrier that is part of the gateway; nothing leaves it.',
      name: 'Sandbox carrier',
      providerID: id,
    }
    expect((await page('provider?$count=true&$orderby=name')).value).toEqual([wanted])
    expect(await send('GET', `provider/${id}`)).toMatchObject({ status: 200, body: wanted })
  })

  test('its actions are searched, and each is found by its id', async () => {
    const id = await sandboxId()
    const { value } = await page(`provider/${id}/action?$orderby=name&$select=name,providerActionID`)
    expect(value.map(({ name }) => name)).toEqual([
      'BeginService',
      'ChangeService',
      'EnableService',
      'EndService',
      'MoveService',
      'PortNumber',
    ])
    const [, change] = value
    expect(await send('GET', `provider/${id}/action/${String(change?.['providerActionID'])}`)).toMatchObject({
      status: 200,
      body: { description: 'Changes a service; what is not named stays as it is.', name: 'ChangeService' },
    })
  })

  test('an action tells what it can be told, in order', async () => {
    const id = await sandboxId()
    const { value } = await page(`provider/${id}/action?$filter=name eq 'EnableService'`)
    const definitions = await page(`provider/${id}/action/${String(value[0]?.['providerActionID'])}/dataDefinition`)
    expect(definitions).toEqual({
      '@count': 3,
      value: [
        ['Number', 7, true, 'The number it is about'],
        ['Product', 3, true, 'Id of the product in the catalogue'],
        ['ExternalID', 3, false, 'Your own id of the service'],
      ].map(([name, dataTypeID, isRequired, description], sequenceNumber) => ({
        dataDefinitionID: expect.any(Number),
        dataTypeID,
        description,
        isRequired,
        isVisible: true,
        name,
        sequenceNumber,
      })),
    })
  })

  test('versions are those of the gateway; installation types are spelled with capitals', async () => {
    const id = await sandboxId()
    const version = {
      buildNumber: 0,
      isActive: true,
      majorVersion: 0,
      minorVersion: 1,
      name: 'Sandbox carrier 0.1.0',
      servicePack: 0,
    }
    const versions = await page(`provider/${id}/version?$filter=isActive eq true and majorVersion eq 0`)
    expect(versions.value).toMatchObject([version])
    const types = await page('installationType')
    expect(types).toEqual({
      '@count': 1,
      value: [
        {
          ActiveInstallation: 'Sandbox carrier 0.1.0',
          ActiveInstallationID: versions.value[0]?.['installationID'],
          DisplayName: 'Sandbox carrier',
          InstallationTypeID: expect.any(Number),
          Name: 'sandbox',
        },
      ],
    })
    const typeId = String(types.value[0]?.['InstallationTypeID'])
    expect((await page(`installationType/${typeId}/installation`)).value).toEqual(versions.value)
    expect((await page(`provider/${id}/installation`)).value).toEqual(versions.value)
  })

  test('a version that runs here can be made the active one, and one that does not cannot', async () => {
    const [type] = (await page('installationType')).value
    const [installed] = (await page(`installationType/${String(type?.['InstallationTypeID'])}/installation`)).value
    const path = `installationType/${String(type?.['InstallationTypeID'])}/installation`
    const { rows } = await rig.provisioning.database.transaction(async (tx) => {
      await sql`update installations set is_active = false`.execute(tx)
      return sql<{ id: number }>`
        insert into installations (installation_type_id, name, description, major_version, minor_version, service_pack,
          build_number, is_active)
        values (${type?.['InstallationTypeID']}, 'Sandbox carrier 9.0.0', 'Of another instance', 9, 0, 0, 0, true)
        returning installation_id as id`.execute(tx)
    })
    const elsewhere = rows[0]?.id
    expect(await send('POST', `${path}/${elsewhere}/activate`)).toMatchObject({
      status: 400,
      body: { errors: [{ field: 'installationId', loggingNumber: 500_002 }] },
    })
    expect((await send('POST', `${path}/${String(installed?.['installationID'])}/activate`)).status).toBe(204)
    expect((await send('PUT', `${path}/${String(installed?.['installationID'])}`)).status).toBe(204)
    expect((await page(path)).value).toMatchObject([
      { installationID: installed?.['installationID'], isActive: true },
      { installationID: elsewhere, isActive: false },
    ])
    const { rows: audited } = await rig.provisioning.database.query((db) =>
      sql`select action, before, after from audit where entity = 'installation'`.execute(db),
    )
    expect(audited).toEqual([
      {
        action: 'activate',
        before: { installationId: elsewhere, name: 'Sandbox carrier 9.0.0' },
        after: { installationId: installed?.['installationID'], name: 'Sandbox carrier 0.1.0' },
      },
    ])
  })

  test('what there is not is no access', async () => {
    const id = await sandboxId()
    const [type] = (await page('installationType')).value
    const typePath = `installationType/${String(type?.['InstallationTypeID'])}/installation`
    expect(await send('GET', 'provider/999999')).toMatchObject({
      status: 404,
      body: {
        errors: [
          {
            correlationId: expect.stringMatching(/^[0-9a-f]{8}$/),
            field: 'providerId',
            loggingNumber: 500_032,
            message: 'You do not have access to provider ID 999999 or it does not exist.',
          },
        ],
      },
    })
    expect(await send('GET', 'provider/999999/version')).toMatchObject(refused('providerId'))
    expect(await send('GET', 'provider/999999/action')).toMatchObject(refused('providerId'))
    expect(await send('GET', `provider/${id}/action/999999`)).toMatchObject(refused('actionId'))
    expect(await send('GET', `provider/${id}/action/999999/dataDefinition`)).toMatchObject(refused('actionId'))
    expect(await send('GET', 'installationType/999999/installation')).toMatchObject(refused('installationTypeId'))
    expect(await send('POST', `${typePath}/99999999999/activate`)).toMatchObject(refused('installationId'))
  })

  test('an id that is no number, and a field that there is not, are not valid', async () => {
    expect(await send('GET', 'provider/verizon')).toMatchObject({
      status: 400,
      body: { errors: [{ field: 'providerId', loggingNumber: 500_002 }] },
    })
    expect(await send('GET', 'provider?$orderby=code')).toMatchObject({
      status: 400,
      body: { errors: [{ field: '$orderby' }] },
    })
  })
})
