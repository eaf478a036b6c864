import * as v from 'valibot'
import type { ApiResponse } from './checked-request.ts'
import type { IdiRig, RigEnvironment } from './idi-rig.ts'

/** An environment with one of everything in it, by the names that paths have for ids. */
export type IdiTenant = {
  readonly environment: RigEnvironment
  readonly ids: Readonly<Record<string, string | number>>
  /** A valid body of each operation that takes one, by its name. */
  readonly bodies: Readonly<Record<string, unknown>>
}

/** The value of a protected item of every tenant. */
export const SECRET = 'hunter2-of-the-tests'

const Loose = v.looseObject({})
const Page = v.object({ value: v.array(Loose) })
const Id = v.pipe(v.number(), v.integer())

/** Furnishes a new environment; `name` tells its things from those of others. */
export async function openIdiTenant(rig: IdiRig, name: string): Promise<IdiTenant> {
  const environment = await rig.addEnvironment()
  const send = async (method: string, path: string, body?: unknown): Promise<ApiResponse> => {
    const answer = await rig.send(environment, method, path, body)
    if (answer.status >= 300) throw new Error(`${method} ${path} answered ${JSON.stringify(answer)}`)
    return answer
  }
  const first = async (path: string, field: string) =>
    v.parse(Id, v.parse(Page, (await send('GET', path)).body).value[0]?.[field])
  const bodies = bodiesOf(name)
  const variableID = idOf(await send('POST', 'variable', bodies.createVariable), 'variableID')
  const definition = await send('POST', 'provisionableObjectDefinition', { ...bodies.createDefinition })
  const definitionId = idOf(definition, 'provisionableObjectDefinitionID')
  const providerId = await first('provider', 'providerID')
  const actionId = await first(`provider/${providerId}/action`, 'providerActionID')
  const scenarios = [{ providerActionID: actionId, parameters: bodies.updateScenarioParameters }]
  const profileId = idOf(await send('POST', 'profile', { name, scenarios }), 'profileID')
  await send('POST', 'globalInformationItem', bodies.updateGlobalInformation)
  const installationTypeId = await first('installationType', 'InstallationTypeID')
  const createRequest = { ...bodies.createRequest, profileID: profileId }
  const request = await send('POST', 'provisioningRequest', createRequest)
  const requestId = idOf(request, 'provisioningRequestID')
  const ofRequest = `provisioningRequest/${requestId}`
  await send('POST', `${ofRequest}/providerCallDetail`, bodies.createCallDetail)
  return {
    environment,
    bodies: {
      ...bodies,
      createRequest,
      createProfile: { name: `${name} 2`, description: 'x', scenarios },
      updateProfileDefinitions: [{ provisionableObjectDefinitionID: definitionId, remove: true }],
    },
    ids: {
      name,
      variableID,
      providerId,
      actionId,
      profileId,
      installationTypeId,
      provisionableObjectDefinitionId: definitionId,
      scenarioId: await first(`profile/${profileId}/scenario`, 'scenarioID'),
      installationId: await first(`installationType/${installationTypeId}/installation`, 'installationID'),
      linkTypeId: 1,
      provisioningRequestId: requestId,
      provisioningBatchId: idOf(request, 'provisioningRequestBatchID'),
      providerCallDetailId: await first(`${ofRequest}/providerCallDetail`, 'providerCallDetailID'),
    },
  }
}

const idOf = ({ body }: ApiResponse, field: string) => v.parse(Id, v.parse(Loose, body)[field])

const bodiesOf = (name: string) => ({
  updateGlobalInformation: [
    { dataTypeID: 3, isProtected: false, listID: 2, name, remove: false, value: 'Someone' },
    { isProtected: true, name: `${name} secret`, value: SECRET },
  ],
  retrieveGlobalInformation: [{ names: [name] }],
  updateScenarioParameters: [{ name: 'ExternalID', scope: 'Literal', value: 'x-@[Key]' }],
  patchProfile: [{ op: 'replace', path: '/description', value: 'Another one' }],
  searchObjectItems: [{ code: name, internalID: '1234' }],
  updateObjectItems: [{ code: name, internalID: '1234', keyName: 'Key', value: 'Bob' }],
  createDefinition: {
    code: name,
    name,
    description: 'What can be had',
    dataDefinitions: [
      {
        name: 'Key',
        dataTypeID: 3,
        defaultValue: '6',
        description: 'A key',
        isRequired: false,
        isVisible: true,
        listID: 2,
        transitionOptions: [{ provisionedObjectTransitionID: 2, isRequired: true, isVisible: false }],
      },
    ],
  },
  listDataDefinitionsOfCodes: [name],
  patchDefinition: [
    { op: 'add', path: '/dataDefinitions/-', value: { name: 'Other', dataTypeID: 4 } },
    { op: 'replace', path: '/dataDefinitions/0/description', value: 'Another one' },
  ],
  searchDataDefinitionsWithItems: [{ code: name, includeNonVisible: true, internalID: '1234', transitionID: 1 }],
  createRequest: {
    accountInformation: { accountNumber: 23_330_999, name: 'Test Account' },
    extendedInformationItems: [{ keyName: 'Key', value: '#[concat(1, 2)]' }],
    isReadOnly: false,
    provisionedObjectCode: name,
    provisionedObjectEndDate: '2029-08-24T14:15:22Z',
    provisionedObjectInternalID: '1234',
    provisionedObjectStartDate: '2019-08-24T14:15:22Z',
    provisionedObjectStatusID: 1,
    provisionedObjectTransitionID: 1,
    provisioningRequestBatchTotalObjectCount: 10,
    provisioningRequestLinks: [{ linkTypeID: 1, linkType: 'Orders', linkValue: 'a/b' }],
    provisioningRequestVariableOutcomes: [{ OutcomeCode: 'o', VariableCode: name }],
    workItemInstanceID: 100_001,
  },
  createCallDetail: {
    content: 'Example',
    correlationId: '8c041095',
    isResponse: false,
    providerActionCode: 'End_Service',
    providerActionCorrelationID: '8c041095',
    providerCallDetailComponents: [{ key: 'ProvisioningRequestID', value: 246 }],
    timeStamp: '2017-12-11T00:33:00.11-05:00',
  },
  completeRequest: { force: false, statusNote: 'Completed' },
  failRequest: { statusNote: 'Errored' },
  updateAllowedInternalIds: [{ allowedInternalID: '5', remove: false }],
  createVariable: {
    code: name,
    dataTypeID: 3,
    isActive: true,
    name,
    outcomes: [{ displayValue: 'O', outcomeCode: 'o', sequenceNumber: 1, value: '300' }],
  },
  patchVariable: [{ op: 'replace', path: '/outcomes/0/value', value: '301' }],
})

/** The operations of which {@link IdiTenant} has a body. */
export const BODY_NAMES: ReadonlySet<string> = new Set([
  ...Object.keys(bodiesOf('')),
  'createProfile',
  'updateProfileDefinitions',
])
