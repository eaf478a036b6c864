/**
 * The document's tables of allowed patch operations, line by line, with the nesting that its text has lost: from
 * `dataTypeID` on, lines belong to an element of the list above them, until a line that is the resource's own again.
 */
export const DOCUMENTED_PATCHES = {
  profile: {
    '/addProfileScenarios': 'add',
    '/description': 'add, remove, replace',
    '/name': 'replace',
    '/removeProfileScenarios': 'add',
  },
  definition: {
    '/code': 'replace',
    '/dataDefinitions/#': 'add, remove, replace',
    '/dataDefinitions/#/dataTypeID': 'replace',
    '/dataDefinitions/#/defaultValue': 'add, remove, replace',
    '/dataDefinitions/#/description': 'add, remove, replace',
    '/dataDefinitions/#/isRequired': 'replace',
    '/dataDefinitions/#/isVisible': 'replace',
    '/dataDefinitions/#/listID': 'add, remove, replace',
    '/dataDefinitions/#/name': 'replace',
    '/dataDefinitions/#/transitionOptions': 'replace',
    '/dataDefinitions/#/variableID': 'add, remove, replace',
    '/description': 'add, remove, replace',
    '/name': 'replace',
  },
  variable: {
    '/code': 'replace',
    '/dataTypeID': 'replace',
    '/isActive': 'replace',
    '/name': 'replace',
    '/outcomes/#': 'add, remove, replace',
    '/outcomes/#/displayValue': 'add, remove, replace',
    '/outcomes/#/outcomeCode': 'replace',
    '/outcomes/#/sequenceNumber': 'replace',
    '/outcomes/#/value': 'replace',
  },
} as const

export type PatchedResource = keyof typeof DOCUMENTED_PATCHES
