import { describe, expect, test } from 'vitest'
import { failureOf } from '../../../../test/support/failure-of.ts'
import type { ProviderAction } from '../../model/provider.ts'
import { ACTION_CATALOGUE } from './action-catalogue.ts'
import { toOrderTerms } from './step-terms.ts'

const NOTHING = { productId: undefined, number: undefined }
const valuesOf = (values: Readonly<Record<string, string>>, isSecret = false) =>
  new Map(Object.entries(values).map(([name, value]) => [name, { value, isSecret }]))
const termsOf = (operation: ProviderAction, values: Readonly<Record<string, string>>, defaults = {}) =>
  toOrderTerms(operation, valuesOf({ Product: 'prd_1', ...values }), { ...NOTHING, ...defaults })

const NUMBER = '+12065550142'
const PORT = {
  Number: NUMBER,
  LosingCarrier: 'Other',
  AuthorizedBy: 'Ann',
  AddressLine1: '1 Main St',
  City: 'Seattle',
  PostalCode: '98101',
  Country: 'us',
}

describe('each action makes an order', () => {
  test.each<readonly [string, ProviderAction, Readonly<Record<string, string>>, unknown]>([
    [
      'a number that is named is a range of one',
      'begin',
      { Number: NUMBER, LocationID: 'loc_1' },
      { number: NUMBER, terms: { action: 'range', start: NUMBER, size: 1, locationId: 'loc_1' } },
    ],
    [
      'any number, by what it must be like',
      'begin',
      { CountryCode: 'us', AreaCode: '206', CityID: 'cty_1', Features: 'voice, sms', ConnectionID: 'cnx_1' },
      {
        terms: {
          action: 'any',
          quantity: 1,
          filter: { countryCode: 'US', areaCode: '206', cityId: 'cty_1', features: ['voice', 'sms'] },
          connectionId: 'cnx_1',
        },
      },
    ],
    [
      'a port',
      'port',
      { ...PORT, PIN: '1234', BillingNumber: '+12065550100', Region: 'WA', RequestedFOCDate: '2026-12-01' },
      {
        number: NUMBER,
        terms: {
          action: 'port',
          numbers: [NUMBER],
          losingCarrier: { name: 'Other', pin: '1234', billingNumber: '+12065550100' },
          authorizedBy: { name: 'Ann' },
          address: { line1: '1 Main St', city: 'Seattle', postalCode: '98101', country: 'US', region: 'WA' },
          requestedFocDate: Date.UTC(2026, 11, 1),
        },
      },
    ],
    [
      'a service on a number',
      'enable',
      { Number: ` ${NUMBER} `, ExternalID: 'site-7' },
      { number: NUMBER, terms: { action: 'add', numbers: [NUMBER], externalId: 'site-7' } },
    ],
    [
      'a change of what is named',
      'change',
      { Number: NUMBER, CallerName: 'ACME', Features: 'voice' },
      {
        number: NUMBER,
        terms: { action: 'change', numbers: [NUMBER], changes: { callerName: 'ACME', features: ['voice'] } },
      },
    ],
    [
      'a move',
      'move',
      { Number: NUMBER, ToLocation: 'loc_2', ToConnection: 'cnx_2' },
      { number: NUMBER, terms: { action: 'move', numbers: [NUMBER], toLocationId: 'loc_2', toConnectionId: 'cnx_2' } },
    ],
    [
      'an end',
      'end',
      { Number: NUMBER, Reason: 'moved away' },
      { number: NUMBER, terms: { action: 'delete', numbers: [NUMBER], reason: 'moved away' } },
    ],
  ])('%s', (_, operation, values, expected) => {
    expect(termsOf(operation, values)).toEqual({ productId: 'prd_1', ...Object(expected) })
  })
})

describe('what a scenario does not say', () => {
  test('the product is that of the definition, and the number that of the object', () => {
    const defaults = { productId: 'prd_2', number: NUMBER }
    expect(toOrderTerms('begin', valuesOf({}), defaults)).toEqual({
      productId: 'prd_2',
      number: NUMBER,
      terms: { action: 'range', start: NUMBER, size: 1 },
    })
    expect(toOrderTerms('end', valuesOf({ Number: '+12065550100' }), defaults).number).toBe('+12065550100')
    expect(toOrderTerms('begin', valuesOf({ AreaCode: '206' }), defaults).number).toBeUndefined()
  })

  test.each<readonly [ProviderAction, Readonly<Record<string, string>>, string]>([
    ['end', {}, 'Number is required'],
    ['move', { Number: NUMBER }, 'ToLocation is required'],
    ['begin', { Number: '206 555 0142' }, 'Number must be a number in E.164'],
    ['begin', { CountryCode: 'USA' }, 'CountryCode must be an ISO 3166-1 alpha-2 code'],
    ['begin', { AreaCode: '2x' }, 'AreaCode must be 1 to 15 digits'],
    ['begin', { Features: 'Voice!' }, 'Features must be names of features, comma separated'],
    ['port', { ...PORT, RequestedFOCDate: '2026-13-45' }, 'RequestedFOCDate must be a date that there is'],
    ['port', { ...PORT, RequestedFOCDate: '2026-02-30' }, 'RequestedFOCDate must be a date that there is'],
    ['change', { Number: NUMBER, CallerName: 'x'.repeat(201) }, 'CallerName must have up to 200 characters'],
  ])('%s with %j is refused: %s', (operation, values, message) => {
    expect(() => termsOf(operation, values)).toThrow(message)
  })

  test('a protected value is for what nobody but the provider is told', () => {
    const change = new Map([
      ...valuesOf({ Product: 'prd_1', Number: NUMBER }),
      ...valuesOf({ CallerName: 'hunter2' }, true),
    ])
    const refused = failureOf(() => toOrderTerms('change', change, NOTHING))
    expect(refused).toMatchObject({
      name: 'ExpressionError',
      message: 'CallerName must not be a protected value: orders show it',
    })
    const port = new Map([
      ...valuesOf({ Product: 'prd_1', ...PORT }),
      ...valuesOf({ PIN: 'hunter2', Other: 'x' }, true),
    ])
    expect(toOrderTerms('port', port, NOTHING).terms).toMatchObject({ losingCarrier: { pin: 'hunter2' } })
  })

  test('without a product nothing can be ordered', () => {
    expect(() => toOrderTerms('end', valuesOf({ Number: NUMBER }), NOTHING)).toThrow('Product is required')
  })
})

test('what is required of each action is what is asked for', () => {
  for (const [operation, { parameters }] of Object.entries(ACTION_CATALOGUE)) {
    const values: Record<string, string> = { ...PORT, Product: 'prd_1', ToLocation: 'loc_1', Reason: 'x' }
    const required = parameters.filter(({ isRequired }) => isRequired).map(({ name }) => name)
    const given = Object.fromEntries(required.map((name) => [name, values[name] ?? '']))
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    expect(() => toOrderTerms(operation as ProviderAction, valuesOf(given), NOTHING)).not.toThrow()
  }
})
