import * as v from 'valibot'
import { E164 } from '../../../core/e164.ts'
import { isRealTime } from '../../model/calendar.ts'
import type { OrderTerms } from '../../model/order-terms.ts'
import type { ProviderAction } from '../../model/provider.ts'
import { isSecretParameter, type ActionParameterName } from './action-catalogue.ts'
import { ExpressionError } from './expression.ts'
import type { StepValues } from './step-parameters.ts'

/** What a step orders. */
export type StepTerms = {
  readonly productId: string
  /** Absent when any number will do. */
  readonly number?: string
  readonly terms: OrderTerms
}

/** What stands in for parameters that a scenario does not have. */
export type StepDefaults = {
  /** Of the object's definition. */
  readonly productId: string | undefined
  /** The object's internal id if it is one; before that, but not to begin service, that of an earlier step. */
  readonly number: string | undefined
}

const ENDED_BY = 'ended by a provisioning request'

const number = v.pipe(v.string(), v.trim(), v.regex(E164, 'must be a number in E.164'))
const text = v.pipe(v.string(), v.maxLength(200, 'must have up to 200 characters'))
const country = v.pipe(v.string(), v.toUpperCase(), v.regex(/^[A-Z]{2}$/, 'must be an ISO 3166-1 alpha-2 code'))
const digits = v.pipe(v.string(), v.regex(/^\d{1,15}$/, 'must be 1 to 15 digits'))
const day = v.pipe(
  v.string(),
  v.regex(/^\d{4}-\d{2}-\d{2}$/, 'must be a date such as 2026-11-30'),
  v.check((date) => isRealTime(`${date}T00:00:00Z`), 'must be a date that there is'),
  v.transform((date) => Date.parse(date)),
)
const features = v.pipe(
  v.string(),
  v.transform((list) => list.split(',').map((name) => name.trim())),
  v.array(v.pipe(v.string(), v.regex(/^[a-z][A-Za-z0-9_-]{0,39}$/, 'must be names of features, comma separated'))),
  v.maxLength(20, 'must be up to 20 names'),
)

/**
 * Makes an order of the parameters of a provider action; see `ACTION_CATALOGUE` for what each takes. Throws an
 * ExpressionError that names the parameter which is missing or not valid.
 */
export function toOrderTerms(operation: ProviderAction, values: StepValues, defaults: StepDefaults): StepTerms {
  const read = new Reader(values)
  const productId = read.optional('Product', text) ?? defaults.productId
  if (productId === undefined) throw new ExpressionError('Product is required')
  if (operation === 'begin') return { productId, ...beginTerms(read, defaults) }
  const named = read.optional('Number', number) ?? defaults.number
  if (named === undefined) throw new ExpressionError('Number is required')
  return { productId, number: named, terms: termsOf(operation, named, read) }
}

function beginTerms(read: Reader, defaults: StepDefaults): { readonly number?: string; readonly terms: OrderTerms } {
  const place = placeOf(read)
  const filter = defined({
    countryCode: read.optional('CountryCode', country),
    areaCode: read.optional('AreaCode', digits),
    cityId: read.optional('CityID', text),
    features: read.optional('Features', features),
  })
  const isAnyWanted = Object.keys(filter).length > 0
  const named = read.optional('Number', number) ?? (isAnyWanted ? undefined : defaults.number)
  if (named !== undefined) return { number: named, terms: { action: 'range', start: named, size: 1, ...place } }
  return { terms: { action: 'any', quantity: 1, filter, ...place } }
}

function termsOf(operation: Exclude<ProviderAction, 'begin'>, named: string, read: Reader): OrderTerms {
  const numbers = [named]
  switch (operation) {
    case 'port':
      return { action: 'port', numbers, ...portTerms(read), ...placeOf(read) }
    case 'enable':
      return { action: 'add', numbers, ...defined({ externalId: read.optional('ExternalID', text) }) }
    case 'change':
      return { action: 'change', numbers, changes: changesOf(read) }
    case 'move':
      return {
        action: 'move',
        numbers,
        toLocationId: read.required('ToLocation', text),
        ...defined({ toConnectionId: read.optional('ToConnection', text) }),
      }
    case 'end':
      return { action: 'delete', numbers, reason: read.optional('Reason', text) ?? ENDED_BY }
    default:
      return operation satisfies never
  }
}

const placeOf = (read: Reader) =>
  defined({ locationId: read.optional('LocationID', text), connectionId: read.optional('ConnectionID', text) })

const changesOf = (read: Reader) =>
  defined({
    features: read.optional('Features', features),
    callerName: read.optional('CallerName', text),
    directoryListing: read.optional('DirectoryListing', text),
    connectionId: read.optional('ConnectionID', text),
    externalId: read.optional('ExternalID', text),
  })

const portTerms = (read: Reader) => ({
  losingCarrier: {
    name: read.required('LosingCarrier', text),
    ...defined({
      accountNumber: read.optional('AccountNumber', text),
      pin: read.optional('PIN', text),
      billingNumber: read.optional('BillingNumber', number),
    }),
  },
  authorizedBy: { name: read.required('AuthorizedBy', text) },
  address: {
    line1: read.required('AddressLine1', text),
    city: read.required('City', text),
    postalCode: read.required('PostalCode', text),
    country: read.required('Country', country),
    ...defined({ line2: read.optional('AddressLine2', text), region: read.optional('Region', text) }),
  },
  ...defined({
    requestedFocDate: read.optional('RequestedFOCDate', day),
    loaDocumentId: read.optional('LOADocumentID', text),
  }),
})

class Reader {
  readonly #values: StepValues

  constructor(values: StepValues) {
    this.#values = values
  }

  optional<Output>(name: ActionParameterName, schema: v.GenericSchema<unknown, Output>): Output | undefined {
    const found = this.#values.get(name)
    if (found === undefined) return undefined
    if (found.isSecret && !isSecretParameter(name)) {
      throw new ExpressionError(`${name} must not be a protected value: orders show it`)
    }
    const result = v.safeParse(schema, found.value)
    // The value is not repeated: it may be a secret.
    if (!result.success) throw new ExpressionError(`${name} ${result.issues[0].message}`)
    return result.output
  }

  required<Output>(name: ActionParameterName, schema: v.GenericSchema<unknown, Output>): Output {
    const value = this.optional(name, schema)
    if (value === undefined) throw new ExpressionError(`${name} is required`)
    return value
  }
}

type Defined<Value> = { readonly [Key in keyof Value]?: Exclude<Value[Key], undefined> }
const defined = <Value extends object>(value: Value): Defined<Value> =>
  // Object.entries knows no keys of its own type.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as Defined<Value>
