type Method = 'get' | 'post' | 'put' | 'patch' | 'delete'
type Route = { readonly method: Method; readonly path: string }

/** One operation of the document: where it is served. */
export type IdiRoute = Route & {
  /**
   * `printed`: the document has this path (in its revision history or a log line); `inferred`: its text has been
   * lost, and the path follows from its parameters and its neighbours.
   */
  readonly source: 'printed' | 'inferred'
  /** Where else it is served, as captured traffic may turn out. */
  readonly aliases?: readonly Route[]
}

const printed = (method: Method, path: string, aliases?: readonly Route[]): IdiRoute => ({
  method,
  path,
  source: 'printed',
  ...(aliases !== undefined && { aliases }),
})
const inferred = (method: Method, path: string, aliases?: readonly Route[]): IdiRoute => ({
  ...printed(method, path, aliases),
  source: 'inferred',
})
/** Of an action the document has lost the method, too. */
const action = (path: string, others: readonly string[] = []): IdiRoute =>
  inferred('post', path, [
    { method: 'put', path },
    ...others.flatMap((other) => [
      { method: 'post' as const, path: other },
      { method: 'put' as const, path: other },
    ]),
  ])

/** Every path begins like this, whatever the case of its letters. */
export const IDI_BASE = '/ProvisioningManagement/2X/{environment}/api'

/**
 * The 61 operations of the IDI Provisioning Management API, and its health check, by the names under which the face
 * defines them. What is served where is decided here alone. Of two paths that match, the first one is taken.
 */
export const IDI_ROUTES = {
  checkHealth: inferred('get', 'healthCheck'),

  listTransitions: inferred('get', 'provisionedObjectTransitions', [
    { method: 'get', path: 'provisionedObjectTransition' },
  ]),
  listDataTypes: printed('get', 'dataTypes', [{ method: 'get', path: 'dataType' }]),

  listGlobalInformation: printed('get', 'globalInformationItem'),
  updateGlobalInformation: printed('post', 'globalInformationItem'),
  // The revision history says GET; a body and its media type are documented, too.
  retrieveGlobalInformation: printed('post', 'globalInformationItem/retrieve', [
    { method: 'get', path: 'globalInformationItem/retrieve' },
  ]),
  getGlobalInformation: printed('get', 'globalInformationItem/{name}'),

  listInstallationTypes: inferred('get', 'installationType'),
  listInstallations: inferred('get', 'installationType/{installationTypeId}/installation'),
  activateInstallation: action('installationType/{installationTypeId}/installation/{installationId}/activate', [
    'installationType/{installationTypeId}/installation/{installationId}',
  ]),

  listLinkTypes: inferred('get', 'linkType'),
  getLinkType: inferred('get', 'linkType/{linkTypeId}'),

  listProfiles: inferred('get', 'profile'),
  createProfile: inferred('post', 'profile'),
  getProfile: inferred('get', 'profile/{profileId}'),
  patchProfile: inferred('patch', 'profile/{profileId}'),
  listProfileDefinitions: inferred('get', 'profile/{profileId}/provisionableObjectDefinition'),
  updateProfileDefinitions: inferred('post', 'profile/{profileId}/provisionableObjectDefinition', [
    { method: 'put', path: 'profile/{profileId}/provisionableObjectDefinition' },
  ]),
  listScenarios: inferred('get', 'profile/{profileId}/scenario'),
  listScenarioParameters: inferred('get', 'profile/{profileId}/scenario/{scenarioId}/parameter', [
    { method: 'get', path: 'profile/{profileId}/scenario/{scenarioId}/actionParameter' },
  ]),
  updateScenarioParameters: inferred('post', 'profile/{profileId}/scenario/{scenarioId}/parameter', [
    { method: 'put', path: 'profile/{profileId}/scenario/{scenarioId}/parameter' },
    { method: 'post', path: 'profile/{profileId}/scenario/{scenarioId}/actionParameter' },
  ]),

  listProviders: inferred('get', 'provider'),
  getProvider: inferred('get', 'provider/{providerId}'),
  listProviderVersions: inferred('get', 'provider/{providerId}/version', [
    { method: 'get', path: 'provider/{providerId}/installation' },
  ]),
  listProviderActions: inferred('get', 'provider/{providerId}/action'),
  getProviderAction: inferred('get', 'provider/{providerId}/action/{actionId}'),
  listActionDataDefinitions: inferred('get', 'provider/{providerId}/action/{actionId}/dataDefinition'),

  searchObjectItems: printed('post', 'provisionedObject/extendedInformationItem'),
  updateObjectItems: printed('put', 'provisionedObject/extendedInformationItem'),
  searchObjectItemsExpanded: printed('get', 'provisionedObject/extendedInformationItemExpanded'),

  listDefinitions: inferred('get', 'provisionableObjectDefinition'),
  createDefinition: printed('post', 'provisionableObjectDefinition'),
  listDataDefinitionsOfCodes: printed('post', 'provisionableObjectDefinition/dataDefinition'),
  listDataDefinitions: printed('get', 'provisionableObjectDefinition/{provisionableObjectDefinitionId}/dataDefinition'),
  getDefinition: inferred('get', 'provisionableObjectDefinition/{provisionableObjectDefinitionId}'),
  patchDefinition: printed('patch', 'provisionableObjectDefinition/{provisionableObjectDefinitionId}'),
  searchDataDefinitionsWithItems: printed(
    'post',
    'provisionableObjectDefinition/dataDefinitionWithExtendedInformationItems',
  ),

  completeBatch: action('provisioningRequestBatch/{provisioningBatchId}/complete', [
    'provisioningBatch/{provisioningBatchId}/complete',
  ]),

  listRequests: printed('get', 'provisioningRequest'),
  createRequest: printed('post', 'provisioningRequest'),
  getRequest: printed('get', 'provisioningRequest/{provisioningRequestId}'),
  listCallDetails: printed('get', 'provisioningRequest/{provisioningRequestId}/providerCallDetail'),
  createCallDetail: printed('post', 'provisioningRequest/{provisioningRequestId}/providerCallDetail'),
  getCallDetail: printed(
    'get',
    'provisioningRequest/{provisioningRequestId}/providerCallDetail/{providerCallDetailId}',
  ),
  completeRequest: action('provisioningRequest/{provisioningRequestId}/complete'),
  failRequest: action('provisioningRequest/{provisioningRequestId}/error'),
  listComputedItems: printed('get', 'provisioningRequest/{provisioningRequestId}/computedExtendedInformationItem'),
  listSnapshotItems: printed(
    'get',
    'provisioningRequest/{provisioningRequestId}/computedExtendedInformationItem/snapshot',
  ),
  saveSnapshot: printed('post', 'provisioningRequest/{provisioningRequestId}/computedExtendedInformationItem/snapshot'),
  listRequestItems: inferred('get', 'provisioningRequest/{provisioningRequestId}/extendedInformationItem'),
  resubmitRequest: action('provisioningRequest/{provisioningRequestId}/resubmit'),
  listVariableOutcomesOfRequest: printed('get', 'provisioningRequest/{provisioningRequestId}/variableOutcome'),

  listAllowedInternalIds: inferred('get', 'safeguard/allowedInternalID'),
  updateAllowedInternalIds: inferred('post', 'safeguard/allowedInternalID', [
    { method: 'put', path: 'safeguard/allowedInternalID' },
  ]),
  disableSafeguard: action('safeguard/disable'),
  enableSafeguard: action('safeguard/enable'),

  createVariable: printed('post', 'variable'),
  listVariables: printed('get', 'variable'),
  getVariable: printed('get', 'variable/{variableID}'),
  deleteVariable: printed('delete', 'variable/{variableID}'),
  patchVariable: printed('patch', 'variable/{variableID}'),
  listOutcomes: printed('get', 'variable/{variableID}/outcome'),
} as const satisfies Readonly<Record<string, IdiRoute>>

export type IdiOperationName = keyof typeof IDI_ROUTES
