import type { OpenAPIV3_1 } from 'openapi-types'
import * as v from 'valibot'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { IDI_ROUTES } from '../../src/faces/idi/route-table.ts'
import { generateOpenApi } from '../../src/http/openapi.ts'
import { IdiRig, type RigEnvironment } from '../support/idi-rig.ts'
import { STORES } from '../support/records.ts'
import { until } from '../support/until.ts'
import { IDI_OPERATIONS } from './idi-operations.ts'
import { IdiWalk } from './idi-walk.ts'

const BASE = '/ProvisioningManagement/2X/{environment}/api/'
const SEARCH_OPTIONS = ['$count', '$filter', '$orderby', '$select', '$skip', '$skiptoken', '$top']
const Loose = v.looseObject({})

test('the document has 61 operations, of which 24 search, and a health check', () => {
  expect(IDI_OPERATIONS).toHaveLength(61 + 1)
  expect(new Set(IDI_OPERATIONS.map(({ method, path }) => `${method} ${path}`)).size).toBe(62)
  expect(IDI_OPERATIONS.filter(({ isSearch }) => isSearch)).toHaveLength(24)
})

test('the route table serves each of them at its place, 29 of them as printed', () => {
  const served = Object.entries(IDI_ROUTES).map(([name, { method, path }]) => `${name} ${method.toUpperCase()} ${path}`)
  expect(served.toSorted()).toEqual(
    IDI_OPERATIONS.map(({ name, method, path }) => `${name} ${method} ${path}`).toSorted(),
  )
  expect(Object.values(IDI_ROUTES).filter(({ source }) => source === 'printed')).toHaveLength(29)
})

describe.each(STORES)('the IDI Provisioning Management API on %s', (store) => {
  let rig: IdiRig
  let environment: RigEnvironment
  let document: OpenAPIV3_1.Document
  beforeAll(async () => {
    rig = await IdiRig.start({ store })
    environment = await rig.addEnvironment()
    document = await generateOpenApi(rig.provisioning.app)
  })
  afterAll(() => rig.stop())

  test('the OpenAPI document has these operations with their statuses and search options', () => {
    const described = Object.entries(document.paths ?? {}).flatMap(([path, item]) =>
      path.startsWith(BASE)
        ? Object.keys(item ?? {}).map((method) => `${method.toUpperCase()} ${path.slice(BASE.length)}`)
        : [],
    )
    expect(described.toSorted()).toEqual(IDI_OPERATIONS.map(({ method, path }) => `${method} ${path}`).toSorted())
    for (const { name, method, path, status, isSearch } of IDI_OPERATIONS) {
      const operation = v.parse(
        v.looseObject({ responses: Loose, parameters: v.optional(v.array(v.looseObject({ name: v.string() }))) }),
        Reflect.get(document.paths?.[`${BASE}${path}`] ?? {}, method.toLowerCase()),
      )
      expect([name, Object.hasOwn(operation.responses, status)]).toEqual([name, true])
      const options = (operation.parameters ?? [])
        .map((parameter) => parameter.name)
        .filter((option) => option.startsWith('$'))
      expect([name, options.toSorted()]).toEqual([name, isSearch === true ? SEARCH_OPTIONS : []])
    }
  })

  test('every operation answers with its status and a body as it is documented', async () => {
    const walk = new IdiWalk(rig, environment)
    await walk.call('checkHealth')
    await walkSettings(walk)
    await walkDefinitions(walk)
    await walkProfiles(walk)
    await walkRequests(walk)
    expect([...walk.done].toSorted()).toEqual(IDI_OPERATIONS.map(({ name }) => name).toSorted())
  })
})

async function walkSettings(walk: IdiWalk): Promise<void> {
  await walk.list('listTransitions')
  await walk.list('listDataTypes')
  const item = { dataTypeID: 3, isProtected: false, listID: 2, name: 'Username', value: 'Someone' }
  await walk.call('updateGlobalInformation', { body: [{ ...item, remove: false }] })
  expect(await walk.list('listGlobalInformation')).toEqual([{ dataType: 'Text', ...item }])
  walk.ids['name'] = 'Username'
  expect((await walk.call('getGlobalInformation')).body).toEqual({ dataType: 'Text', ...item })
  const retrieved = await walk.call('retrieveGlobalInformation', { body: [{ names: ['Username', 'nobody'] }] })
  expect(retrieved.body).toEqual({ globalInformationItems: [{ dataType: 'Text', ...item }] })
  const [type] = await walk.list('listInstallationTypes')
  walk.keep('installationTypeId', type?.['InstallationTypeID'])
  const [installation] = await walk.list('listInstallations')
  walk.keep('installationId', installation?.['installationID'])
  await walk.call('activateInstallation')
  const [linkType] = await walk.list('listLinkTypes')
  walk.keep('linkTypeId', linkType?.['linkTypeId'])
  await walk.call('getLinkType')
  await walk.call('updateAllowedInternalIds', { body: [{ allowedInternalID: '5', remove: false }] })
  expect(await walk.list('listAllowedInternalIds')).toEqual([{ allowedInternalID: 5 }])
  await walk.call('disableSafeguard')
  await walk.call('enableSafeguard')
}

async function walkDefinitions(walk: IdiWalk): Promise<void> {
  const variable = await walk.call('createVariable', {
    body: {
      code: '300/200A',
      dataTypeID: 1,
      isActive: true,
      name: 'Bandwidth',
      outcomes: [{ displayValue: '300 up/200 down', outcomeCode: '300/200A', sequenceNumber: 1, value: '300' }],
    },
  })
  walk.keep('variableID', v.parse(Loose, variable.body)['variableID'])
  await walk.list('listVariables')
  await walk.call('getVariable')
  await walk.call('patchVariable', { body: [{ op: 'replace', path: '/name', value: 'Line rate' }] })
  await walk.list('listOutcomes')
  const definition = await walk.call('createDefinition', {
    body: {
      code: 'TestCode',
      dataDefinitions: [
        {
          dataTypeID: 3,
          defaultValue: '6',
          description: 'Whom to call.',
          isRequired: false,
          isVisible: true,
          listID: 2,
          name: 'Technical Contact',
          transitionOptions: [{ provisionedObjectTransitionID: 1, isRequired: true, isVisible: false }],
          variableID: walk.ids['variableID'],
        },
      ],
      description: 'Test Description',
      name: 'Test Provisionable Object Definition',
    },
  })
  walk.keep('provisionableObjectDefinitionId', v.parse(Loose, definition.body)['provisionableObjectDefinitionID'])
  await walk.list('listDefinitions', { query: "?$filter=code eq 'TestCode'" })
  await walk.call('getDefinition')
  await walk.call('patchDefinition', { body: [{ op: 'replace', path: '/name', value: 'Test' }] })
  expect(await walk.list('listDataDefinitions')).toHaveLength(1)
  expect((await walk.call('listDataDefinitionsOfCodes', { body: ['TestCode', 'nobody'] })).body).toHaveLength(1)
  const items = [{ code: 'TestCode', internalID: '1234', keyName: 'Technical Contact', value: 'Bob Smith' }]
  await walk.call('updateObjectItems', { body: items })
  const named = [{ code: 'TestCode', internalID: '1234' }]
  expect(await walk.list('searchObjectItems', { body: named })).toEqual(items)
  await walk.list('searchObjectItemsExpanded', { query: "?$filter=internalID eq '1234'" })
  const asked = [{ code: 'TestCode', includeNonVisible: true, internalID: '1234', transitionID: 1 }]
  expect(await walk.list('searchDataDefinitionsWithItems', { body: asked })).toMatchObject([
    { internalID: 1234, isRequired: true, isVisible: false, value: 'Bob Smith' },
  ])
}

async function walkProfiles(walk: IdiWalk): Promise<void> {
  const [provider] = await walk.list('listProviders', { query: "?$filter=contains(tolower(name),'sandbox')" })
  walk.keep('providerId', provider?.['providerID'])
  await walk.call('getProvider')
  await walk.list('listProviderVersions')
  const [action] = await walk.list('listProviderActions', { query: "?$filter=name eq 'EnableService'" })
  walk.keep('actionId', action?.['providerActionID'])
  await walk.call('getProviderAction')
  expect((await walk.list('listActionDataDefinitions')).map(({ name }) => name)).toContain('Number')
  const scenarios = [{ providerActionID: walk.ids['actionId'] }]
  const made = await walk.call('createProfile', {
    body: { description: 'A description', name: 'Provisioning', scenarios },
  })
  walk.keep('profileId', v.parse(Loose, made.body)['profileID'])
  await walk.list('listProfiles', { query: "?$filter=name eq 'Provisioning'&$count=true" })
  await walk.call('getProfile')
  await walk.call('patchProfile', { body: [{ op: 'replace', path: '/description', value: 'Another one' }] })
  const allowed = [{ provisionableObjectDefinitionID: walk.ids['provisionableObjectDefinitionId'] }]
  await walk.call('updateProfileDefinitions', { body: allowed })
  expect(await walk.list('listProfileDefinitions')).toMatchObject([{ code: 'TestCode' }])
  const [scenario] = await walk.list('listScenarios')
  walk.keep('scenarioId', scenario?.['scenarioID'])
  await walk.call('updateScenarioParameters', { body: [{ name: 'Number', scope: 'Literal', value: '+12025550123' }] })
  expect(await walk.list('listScenarioParameters')).toMatchObject([{ name: 'Number', value: '+12025550123' }])
}

async function walkRequests(walk: IdiWalk): Promise<void> {
  const submitted = {
    accountInformation: { accountNumber: 23_330_999, name: 'Test Account Name 123' },
    extendedInformationItems: [{ keyName: 'Technical Contact', value: 'Bob Smith' }],
    isReadOnly: false,
    profileID: walk.ids['profileId'],
    provisionedObjectCode: 'TestCode',
    provisionedObjectInternalID: 'ID001',
    provisionedObjectStatusID: 1,
    provisionedObjectTransitionID: 1,
    provisioningRequestBatchTotalObjectCount: 1,
    provisioningRequestLinks: [{ linkTypeID: 1, linkType: 'Orders', linkValue: 'service/2x/endpoint/resource' }],
    provisioningRequestVariableOutcomes: [{ OutcomeCode: '300/200A', VariableCode: '300/200A' }],
    workItemInstanceID: 100_001,
  }
  const created = v.parse(Loose, (await walk.call('createRequest', { body: submitted })).body)
  walk.keep('provisioningRequestId', created['provisioningRequestID'])
  walk.keep('provisioningBatchId', created['provisioningRequestBatchID'])
  // The safeguard is on, and this internal id is not allowed.
  await until('the request to be held', async () =>
    v.parse(Loose, (await walk.call('getRequest')).body)['status'] === 'Held' ? true : undefined,
  )
  await walk.list('listRequests', { query: "?$filter=provisionedObjectInternalID eq 'ID001'" })
  expect(await walk.list('listRequestItems')).toEqual(submitted.extendedInformationItems)
  expect(await walk.list('listVariableOutcomesOfRequest')).toEqual(submitted.provisioningRequestVariableOutcomes)
  expect(await walk.list('listComputedItems')).toMatchObject([{ keyName: 'Technical Contact', value: 'Bob Smith' }])
  await walk.call('saveSnapshot')
  expect(await walk.list('listSnapshotItems')).toMatchObject([{ keyName: 'Technical Contact', value: 'Bob Smith' }])
  await walk.call('createCallDetail', {
    body: {
      content: 'Example message content',
      correlationId: '8c041095',
      isResponse: false,
      providerActionCode: 'Enable_Service',
      providerActionCorrelationID: '8c041095',
      providerCallDetailComponents: [{ key: 'ProvisioningRequestID', value: 246 }],
      timeStamp: '2017-12-11T00:33:00.11-05:00',
    },
  })
  const details = await walk.list('listCallDetails', { query: '?$orderby=providerCallDetailID desc' })
  walk.keep('providerCallDetailId', details[0]?.['providerCallDetailID'])
  expect((await walk.call('getCallDetail')).body).toMatchObject({
    content: 'Example message content',
    correlationID: '8c041095',
    timeStamp: '2017-12-11T05:33:00.110Z',
  })
  await walk.call('failRequest', { body: { statusNote: 'Errored due to lost connectivity' } })
  await walk.call('resubmitRequest')
  await walk.call('completeRequest', { body: { force: true, statusNote: 'Done by hand' } })
  expect((await walk.call('completeBatch')).body).toEqual({ isOpen: false, wasOpen: false })
  walk.ids['variableID'] = v.parse(
    Loose,
    (await walk.call('createVariable', { body: { code: 'v2', dataTypeID: 3, isActive: true, name: 'Second' } })).body,
  )['variableID'] as number
  await walk.call('deleteVariable')
}
