/** What may be done to a property, in the words of RFC 6902. */
export const PATCH_OPS = ['add', 'remove', 'replace'] as const
export type PatchOp = (typeof PATCH_OPS)[number]

/**
 * What may be done to which property of a resource: the allowed operations by path, `#` being an element of a list.
 * Everything else is refused. These are the tables of the document, whose nesting follows the fields of the resources.
 */
export type PatchTable = Readonly<Record<string, readonly PatchOp[]>>

/** Of a profile. Two properties are not of the profile itself: what is added to them is done to its scenarios. */
export const PROFILE_PATCHES = {
  '/addProfileScenarios': ['add'],
  '/description': ['add', 'remove', 'replace'],
  '/name': ['replace'],
  '/removeProfileScenarios': ['add'],
} as const satisfies PatchTable

/** Of a provisionable object definition. */
export const DEFINITION_PATCHES = {
  '/code': ['replace'],
  '/dataDefinitions/#': ['add', 'remove', 'replace'],
  '/dataDefinitions/#/dataTypeID': ['replace'],
  '/dataDefinitions/#/defaultValue': ['add', 'remove', 'replace'],
  '/dataDefinitions/#/description': ['add', 'remove', 'replace'],
  '/dataDefinitions/#/isRequired': ['replace'],
  '/dataDefinitions/#/isVisible': ['replace'],
  '/dataDefinitions/#/listID': ['add', 'remove', 'replace'],
  '/dataDefinitions/#/name': ['replace'],
  '/dataDefinitions/#/transitionOptions': ['replace'],
  '/dataDefinitions/#/variableID': ['add', 'remove', 'replace'],
  '/description': ['add', 'remove', 'replace'],
  '/name': ['replace'],
} as const satisfies PatchTable

/** Of a variable. */
export const VARIABLE_PATCHES = {
  '/code': ['replace'],
  '/dataTypeID': ['replace'],
  '/isActive': ['replace'],
  '/name': ['replace'],
  '/outcomes/#': ['add', 'remove', 'replace'],
  '/outcomes/#/displayValue': ['add', 'remove', 'replace'],
  '/outcomes/#/outcomeCode': ['replace'],
  '/outcomes/#/sequenceNumber': ['replace'],
  '/outcomes/#/value': ['replace'],
} as const satisfies PatchTable
