import * as fc from 'fast-check'
import { ACCOUNTS, CODES, DAYS, PROFILES, STATUSES } from './requests.ts'

/** What callers ask for, by what the filter is made of. */
export type Asked = { readonly kind: string; readonly options: Readonly<Record<string, string>> }

const quoted = (text: fc.Arbitrary<string>) => text.map((value) => `'${value}'`)
const account = fc.nat(ACCOUNTS - 1).map((number) => String(1_000_000 + number))
const id = (total: number) => fc.integer({ min: 1, max: total }).map(String)
const internalId = quoted(fc.nat(399_999).map((number) => `id-${String(number).padStart(6, '0')}`))
const time = fc.nat(DAYS * 24).map((hours) => new Date(Date.now() - hours * 3_600_000).toISOString())
const compared = (field: string, value: fc.Arbitrary<string>, operators = ['eq']) =>
  fc.tuple(fc.constantFrom(...operators), value).map(([operator, text]) => `${field} ${operator} ${text}`)
const listed = (field: string, value: fc.Arbitrary<string>) =>
  fc.array(value, { minLength: 1, maxLength: 20 }).map((values) => `${field} in (${values.join(',')})`)
const RANGE = ['gt', 'ge', 'lt', 'le']

/** By an index, narrow or not. */
const byIndex = (total: number) =>
  fc.oneof(
    compared('provisioningRequestID', id(total), ['eq', ...RANGE]),
    listed('provisioningRequestID', id(total)),
    compared('accountInformation/accountNumber', account, ['eq', 'eq', ...RANGE]),
    listed('accountInformation/accountNumber', account),
    compared('provisionedObjectInternalID', internalId, ['eq', 'eq', ...RANGE]),
    compared('lastModifiedDate', time, RANGE),
    compared('statusID', fc.integer({ min: 1, max: 7 }).map(String)),
    fc.nat(99).map((begin) => `startswith(provisionedObjectInternalID,'id-${String(begin).padStart(2, '0')}')`),
  )
/** Of columns that no index begins with. */
const byColumn = fc.oneof(
  compared('profileID', fc.integer({ min: 1_001, max: 1_001 + 2 * PROFILES }).map(String), ['eq', 'ne', ...RANGE]),
  compared('provisionedObjectCode', quoted(fc.constantFrom(...CODES, 'Other')), ['eq', 'ne']),
  compared('status', quoted(fc.constantFrom(...STATUSES)), ['eq', 'ne']),
  compared('createDate', time, RANGE),
  compared('createUser', quoted(fc.nat(220).map((number) => `user-${number}`))),
  compared('completeDate', fc.oneof(time, fc.constant('null')), ['eq', 'ne']),
  compared('accountInformation/name', quoted(fc.nat(ACCOUNTS).map((number) => `Account ${number}`))),
  fc.constantFrom('isReadOnly', 'not isReadOnly'),
)
/** Of which PostgreSQL knows nothing beforehand. */
const byFunction = fc.oneof(
  fc.nat(9_999).map((digits) => `contains(statusNote,'${digits}')`),
  fc.nat(99).map((digits) => `endswith(provisionedObjectInternalID,'${digits}')`),
  fc.nat(ACCOUNTS).map((number) => `tolower(accountInformation/name) eq 'account ${number}'`),
  fc.integer({ min: 1, max: 12 }).map((month) => `month(createDate) eq ${month}`),
  fc.integer({ min: 1, max: 5 }).map((type) => `provisioningRequestLinks/any(l: l/linkTypeID eq ${type})`),
  fc.nat(1_000_000).map((ticket) => `provisioningRequestLinks/any(l: l/linkValue eq 'ticket-${ticket}')`),
)

const joined = (...parts: readonly fc.Arbitrary<string>[]) => fc.tuple(...parts).map((texts) => texts.join(' and '))
const anyOf = (part: fc.Arbitrary<string>) => fc.tuple(part, part).map(([left, right]) => `(${left} or ${right})`)

const ORDERS = [
  'provisioningRequestID desc',
  'lastModifiedDate desc',
  'lastModifiedDate',
  'accountInformation/accountNumber',
  'accountInformation/accountNumber desc',
  'provisionedObjectInternalID desc',
  'statusID,provisioningRequestID',
  'completeDate desc',
  'createUser',
]

/** `count` searches, the same in every run. */
export function drawQueries(total: number, count: number): readonly Asked[] {
  const kinds: readonly (readonly [string, fc.Arbitrary<string>])[] = [
    ['nothing', fc.constant('')],
    ['an index', byIndex(total)],
    ['an index and a column', joined(byIndex(total), byColumn)],
    ['two indexes', joined(byIndex(total), byIndex(total))],
    ['either of two indexes', anyOf(byIndex(total))],
    ['a column', byColumn],
    ['columns', joined(byColumn, byColumn)],
    ['an index and a function', joined(byIndex(total), byFunction)],
    ['a function', byFunction],
    ['not an index', byIndex(total).map((filter) => `not (${filter})`)],
  ]
  const asked = fc
    .tuple(
      fc.constantFrom(...kinds).chain(([kind, filter]) => filter.map((text) => ({ kind, text }))),
      fc.oneof({ weight: 2, arbitrary: fc.constant('') }, fc.constantFrom(...ORDERS)),
      fc.constantFrom('', '1', '10', '100', '500'),
      fc.constantFrom('', '', '', 'true'),
      fc.constantFrom('', '', '', '', '', '100', '5000', '90000'),
    )
    .map(([{ kind, text }, $orderby, $top, $count, $skip]): Asked => {
      const options = Object.entries({ $filter: text, $orderby, $top, $count, $skip }).filter(
        ([, value]) => value !== '',
      )
      return { kind, options: Object.fromEntries(options) }
    })
  return fc.sample(asked, { seed: 1, numRuns: count })
}
