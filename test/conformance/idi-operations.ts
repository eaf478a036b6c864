/** One operation of the IDI document, as its text has it or, where that is lost, as it is read here. */
export type IdiOperation = {
  readonly name: string
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** What follows `api/`. */
  readonly path: string
  readonly status: 200 | 201 | 204
  /** Whether it takes the seven search parameters. */
  readonly isSearch?: true
}

const search = (name: string, path: string, method: 'GET' | 'POST' = 'GET'): IdiOperation => ({
  name,
  method,
  path,
  status: 200,
  isSearch: true,
})
const other = (
  name: string,
  method: IdiOperation['method'],
  path: string,
  status: IdiOperation['status'] = 200,
): IdiOperation => ({ name, method, path, status })

/** The 61 operations in the order of the document, after the health check, which a fuller edition of it has. */
export const IDI_OPERATIONS: readonly IdiOperation[] = [
  other('checkHealth', 'GET', 'healthCheck'),
  search('listTransitions', 'provisionedObjectTransitions'),
  search('listDataTypes', 'dataTypes'),
  search('listGlobalInformation', 'globalInformationItem'),
  other('updateGlobalInformation', 'POST', 'globalInformationItem', 204),
  other('getGlobalInformation', 'GET', 'globalInformationItem/{name}'),
  other('retrieveGlobalInformation', 'POST', 'globalInformationItem/retrieve'),
  other('listInstallationTypes', 'GET', 'installationType'),
  other('listInstallations', 'GET', 'installationType/{installationTypeId}/installation'),
  other(
    'activateInstallation',
    'POST',
    'installationType/{installationTypeId}/installation/{installationId}/activate',
    204,
  ),
  search('listLinkTypes', 'linkType'),
  other('getLinkType', 'GET', 'linkType/{linkTypeId}'),
  search('listProfiles', 'profile'),
  other('createProfile', 'POST', 'profile', 201),
  other('getProfile', 'GET', 'profile/{profileId}'),
  other('patchProfile', 'PATCH', 'profile/{profileId}', 204),
  search('listProfileDefinitions', 'profile/{profileId}/provisionableObjectDefinition'),
  other('updateProfileDefinitions', 'POST', 'profile/{profileId}/provisionableObjectDefinition', 204),
  search('listScenarios', 'profile/{profileId}/scenario'),
  search('listScenarioParameters', 'profile/{profileId}/scenario/{scenarioId}/parameter'),
  other('updateScenarioParameters', 'POST', 'profile/{profileId}/scenario/{scenarioId}/parameter', 204),
  search('listProviders', 'provider'),
  other('getProvider', 'GET', 'provider/{providerId}'),
  search('listProviderVersions', 'provider/{providerId}/version'),
  search('listProviderActions', 'provider/{providerId}/action'),
  other('getProviderAction', 'GET', 'provider/{providerId}/action/{actionId}'),
  other('listActionDataDefinitions', 'GET', 'provider/{providerId}/action/{actionId}/dataDefinition'),
  search('searchObjectItems', 'provisionedObject/extendedInformationItem', 'POST'),
  other('updateObjectItems', 'PUT', 'provisionedObject/extendedInformationItem', 204),
  search('searchObjectItemsExpanded', 'provisionedObject/extendedInformationItemExpanded'),
  search('listDefinitions', 'provisionableObjectDefinition'),
  other('createDefinition', 'POST', 'provisionableObjectDefinition', 201),
  search('listDataDefinitionsOfCodes', 'provisionableObjectDefinition/dataDefinition', 'POST'),
  search('listDataDefinitions', 'provisionableObjectDefinition/{provisionableObjectDefinitionId}/dataDefinition'),
  other('getDefinition', 'GET', 'provisionableObjectDefinition/{provisionableObjectDefinitionId}'),
  other('patchDefinition', 'PATCH', 'provisionableObjectDefinition/{provisionableObjectDefinitionId}', 204),
  search(
    'searchDataDefinitionsWithItems',
    'provisionableObjectDefinition/dataDefinitionWithExtendedInformationItems',
    'POST',
  ),
  other('completeBatch', 'POST', 'provisioningRequestBatch/{provisioningBatchId}/complete'),
  search('listRequests', 'provisioningRequest'),
  other('createRequest', 'POST', 'provisioningRequest', 201),
  other('getRequest', 'GET', 'provisioningRequest/{provisioningRequestId}'),
  search('listCallDetails', 'provisioningRequest/{provisioningRequestId}/providerCallDetail'),
  other('createCallDetail', 'POST', 'provisioningRequest/{provisioningRequestId}/providerCallDetail', 204),
  other(
    'getCallDetail',
    'GET',
    'provisioningRequest/{provisioningRequestId}/providerCallDetail/{providerCallDetailId}',
  ),
  other('completeRequest', 'POST', 'provisioningRequest/{provisioningRequestId}/complete', 204),
  other('failRequest', 'POST', 'provisioningRequest/{provisioningRequestId}/error', 204),
  search('listComputedItems', 'provisioningRequest/{provisioningRequestId}/computedExtendedInformationItem'),
  search('listSnapshotItems', 'provisioningRequest/{provisioningRequestId}/computedExtendedInformationItem/snapshot'),
  other(
    'saveSnapshot',
    'POST',
    'provisioningRequest/{provisioningRequestId}/computedExtendedInformationItem/snapshot',
    204,
  ),
  search('listRequestItems', 'provisioningRequest/{provisioningRequestId}/extendedInformationItem'),
  other('resubmitRequest', 'POST', 'provisioningRequest/{provisioningRequestId}/resubmit', 204),
  search('listVariableOutcomesOfRequest', 'provisioningRequest/{provisioningRequestId}/variableOutcome'),
  search('listAllowedInternalIds', 'safeguard/allowedInternalID'),
  other('updateAllowedInternalIds', 'POST', 'safeguard/allowedInternalID', 204),
  other('disableSafeguard', 'POST', 'safeguard/disable', 204),
  other('enableSafeguard', 'POST', 'safeguard/enable', 204),
  other('createVariable', 'POST', 'variable', 201),
  other('listVariables', 'GET', 'variable'),
  other('getVariable', 'GET', 'variable/{variableID}'),
  other('deleteVariable', 'DELETE', 'variable/{variableID}', 204),
  other('patchVariable', 'PATCH', 'variable/{variableID}', 204),
  other('listOutcomes', 'GET', 'variable/{variableID}/outcome'),
]
