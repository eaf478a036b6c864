import type { ProviderAction } from '../../model/provider.ts'
import { DATA_TYPE, type DataTypeId } from './data-type.ts'

/** What an action can be told, by the names that scenarios use. */
const PARAMETERS = {
  Number: parameter(DATA_TYPE.phoneNumber, 'The number it is about'),
  Product: parameter(DATA_TYPE.text, 'Id of the product in the catalogue'),
  CountryCode: parameter(DATA_TYPE.text, 'Country of the number, as ISO 3166-1 alpha-2'),
  AreaCode: parameter(DATA_TYPE.text, 'Digits that the national number begins with'),
  CityID: parameter(DATA_TYPE.text, 'Id of the city of the number'),
  Features: parameter(DATA_TYPE.text, 'Names of features, comma separated'),
  LocationID: parameter(DATA_TYPE.text, 'Id of the location where the service begins'),
  ConnectionID: parameter(DATA_TYPE.text, 'Id of the connection that calls go to'),
  ExternalID: parameter(DATA_TYPE.text, 'Your own id of the service'),
  CallerName: parameter(DATA_TYPE.text, 'Name that is shown to those who are called'),
  DirectoryListing: parameter(DATA_TYPE.text, 'Entry in the directory'),
  ToLocation: parameter(DATA_TYPE.text, 'Id of the location where the service moves to'),
  ToConnection: parameter(DATA_TYPE.text, 'Id of the connection that calls go to from then on'),
  Reason: parameter(DATA_TYPE.text, 'Why the service ends'),
  LosingCarrier: parameter(DATA_TYPE.text, 'Name of the carrier that has the number'),
  AccountNumber: parameter(DATA_TYPE.text, 'Of the account at the losing carrier'),
  PIN: { ...parameter(DATA_TYPE.text, 'Of the account at the losing carrier'), isSecret: true },
  BillingNumber: parameter(DATA_TYPE.phoneNumber, 'Main number of the account at the losing carrier'),
  AuthorizedBy: parameter(DATA_TYPE.text, 'Name of the person who authorized the port'),
  AddressLine1: parameter(DATA_TYPE.text, 'Street, as the losing carrier knows it'),
  AddressLine2: parameter(DATA_TYPE.text, 'Suite or floor'),
  City: parameter(DATA_TYPE.text, 'City of the address'),
  Region: parameter(DATA_TYPE.text, 'State or province of the address'),
  PostalCode: parameter(DATA_TYPE.text, 'Postal code of the address'),
  Country: parameter(DATA_TYPE.text, 'Country of the address, as ISO 3166-1 alpha-2'),
  RequestedFOCDate: parameter(DATA_TYPE.date, 'Day on which the number should come over'),
  LOADocumentID: parameter(DATA_TYPE.text, 'Id of the letter of authorization'),
} as const satisfies Readonly<Record<string, Parameter>>

type Parameter = {
  readonly dataTypeId: DataTypeId
  readonly description: string
  /** Of whom nothing but the provider is told what it is. */
  readonly isSecret?: true
}
export type ActionParameterName = keyof typeof PARAMETERS

/** One parameter of an action. */
export type ActionParameter = Parameter & { readonly name: ActionParameterName; readonly isRequired: boolean }

/** What a scenario can have done by a provider: an operation of its adapter, as a provider action. */
export type ActionEntry = {
  readonly code: string
  readonly name: string
  readonly description: string
  /** In the order in which they are listed. */
  readonly parameters: readonly ActionParameter[]
}

/**
 * The provider actions, one for each operation of adapters, and what each of them takes. A step of a request makes an
 * order of them (`OrderTerms`), hence the parameters.
 */
export const ACTION_CATALOGUE: Readonly<Record<ProviderAction, ActionEntry>> = {
  begin: {
    code: 'Begin_Service',
    name: 'BeginService',
    description: "Begins service on one of the provider's numbers: on the one that is named, or on any that will do.",
    parameters: [
      ...required('Product'),
      ...optional('Number', 'CountryCode', 'AreaCode', 'CityID', 'Features', 'LocationID', 'ConnectionID'),
    ],
  },
  port: {
    code: 'Port_Number',
    name: 'PortNumber',
    description: 'Ports a number from another carrier.',
    parameters: [
      ...required('Number', 'Product', 'LosingCarrier'),
      ...optional('AccountNumber', 'PIN', 'BillingNumber'),
      ...required('AuthorizedBy', 'AddressLine1'),
      ...optional('AddressLine2'),
      ...required('City'),
      ...optional('Region'),
      ...required('PostalCode', 'Country'),
      ...optional('RequestedFOCDate', 'LOADocumentID', 'LocationID', 'ConnectionID'),
    ],
  },
  enable: {
    code: 'Enable_Service',
    name: 'EnableService',
    description: 'Begins a service, such as messaging, on a number that is yours.',
    parameters: [...required('Number', 'Product'), ...optional('ExternalID')],
  },
  change: {
    code: 'Change_Service',
    name: 'ChangeService',
    description: 'Changes a service; what is not named stays as it is.',
    parameters: [
      ...required('Number', 'Product'),
      ...optional('Features', 'ExternalID', 'CallerName', 'DirectoryListing', 'ConnectionID'),
    ],
  },
  move: {
    code: 'Move_Service',
    name: 'MoveService',
    description: 'Moves a service to another location.',
    parameters: [...required('Number', 'Product', 'ToLocation'), ...optional('ToConnection')],
  },
  end: {
    code: 'End_Service',
    name: 'EndService',
    description: 'Ends a service.',
    parameters: required('Number', 'Product', 'Reason'),
  },
}

function parameter(dataTypeId: DataTypeId, description: string) {
  return { dataTypeId, description }
}

function required(...names: readonly ActionParameterName[]): readonly ActionParameter[] {
  return names.map((name) => ({ ...PARAMETERS[name], name, isRequired: true }))
}

function optional(...names: readonly ActionParameterName[]): readonly ActionParameter[] {
  return names.map((name) => ({ ...PARAMETERS[name], name, isRequired: false }))
}

/** Whether nothing but the provider may be told what a parameter is. */
export const isSecretParameter = (name: string): boolean =>
  Object.entries<Parameter>(PARAMETERS).some(([known, { isSecret }]) => known === name && isSecret === true)
