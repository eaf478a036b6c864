import { isDeepStrictEqual } from 'node:util'
import * as fc from 'fast-check'
import { sql } from 'kysely'
import * as v from 'valibot'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { IdiRig } from '../support/idi-rig.ts'
import { BODY_NAMES, openIdiTenant, SECRET, type IdiTenant } from '../support/idi-tenant.ts'
import { STORES } from '../support/records.ts'
import { IDI_OPERATIONS, type IdiOperation } from './idi-operations.ts'

const SEARCHES = IDI_OPERATIONS.filter(({ isSearch }) => isSearch === true)
const WITH_BODY = IDI_OPERATIONS.filter(({ name }) => BODY_NAMES.has(name))

/** What no field has, or what something on the way may stumble over. */
const hostile = fc.constantFrom<unknown>(
  null,
  true,
  0,
  -1,
  1.5,
  1e308,
  2 ** 31,
  2 ** 53,
  '',
  ' ',
  'NULL',
  '{}',
  '{"a"}',
  '"',
  '\\',
  "'; --",
  '@[',
  '@[Nobody]',
  '@[Key]',
  '#[',
  '#[1/0]',
  '%_\\%',
  '/',
  '..',
  'constructor',
  '😀'.repeat(100),
  'あ'.repeat(200),
  'x'.repeat(5_000),
  '2026-02-30',
  '0000-01-01T00:00:00Z',
  '9999-12-31T23:59:59-15:00',
  [],
  {},
  [[]],
  [null],
  { surprise: 1 },
)

type Place = readonly (string | number)[]
/** Every place in a body, itself included. */
function placesIn(value: unknown, at: Place = []): readonly Place[] {
  if (typeof value !== 'object' || value === null) return [at]
  const entries: readonly (readonly [string | number, unknown])[] = Array.isArray(value)
    ? value.map((entry: unknown, index) => [index, entry] as const)
    : Object.entries(value)
  return [at, ...entries.flatMap(([key, entry]) => placesIn(entry, [...at, key]))]
}
function withAt(value: unknown, [key, ...rest]: Place, other: unknown): unknown {
  if (key === undefined) return other
  if (Array.isArray(value)) {
    return value.map((entry: unknown, index) => (index === key ? withAt(entry, rest, other) : entry))
  }
  const object = v.parse(v.looseObject({}), value)
  return { ...object, [key]: withAt(object[key], rest, other) }
}

/** Filters and options that are odd, or wrong, for the fields of any search. */
const FIELDS = ['name', 'value', 'provisioningRequestID', 'timeStamp', 'isRequired', 'listID', 'status', 'nobody']
const QUERIES = [
  ...FIELDS.flatMap((field) =>
    [
      'eq null',
      'eq 1e400',
      'gt 99999999999999999999',
      'in (null)',
      "in ('1',null)",
      'eq true',
      'ge 0001-01-01',
      'lt 9999-12-31T23:59:59.999999999999Z',
      'gt 2026-01-01T00:00:00+16:00',
      `ge ${field}`,
      '/any(l: true)',
    ].map((rest) => `$filter=${field} ${rest}`),
  ),
  ...FIELDS.flatMap((field) => [`$orderby=${field} desc`, `$select=${field},${field}`, `$filter=not ${field}`]),
  ...['0', '-1', '1e3', '999999999999999', '9999999999999999'].map((top) => `$top=${top}&$count=true`),
  ...['', 'x', 'A'.repeat(44)].map((token) => `$skiptoken=${token}`),
  ...['%00', 'null', 'true', 'not null', 'not true', '1 in (1,2)', 'null in (1)', '1e999 gt 1e-999'].map(
    (filter) => `$filter=${filter}`,
  ),
  `$filter=${'true or '.repeat(540)}true`,
  `$filter=${'not ('.repeat(15)}true${')'.repeat(15)}`,
  `$filter=1 in (${Array.from({ length: 500 }, (_, at) => at).join(',')})`,
  "$filter=contains(trim(null),'x') or year(null) eq 1",
  '$orderby=%23position',
  '$orderby=%24position',
  '$expand=x',
].map((query) => query.replaceAll('+', '%2B').replaceAll(' ', '%20'))

/** What operations have in common in all environments. */
const SHARED = new Set(['providerId', 'actionId', 'installationTypeId', 'installationId', 'linkTypeId'])

describe.each(STORES)('bad input to the IDI API on %s', (store) => {
  let rig: IdiRig
  let own: IdiTenant
  let foreign: IdiTenant
  beforeAll(async () => {
    rig = await IdiRig.start({ store })
    own = await openIdiTenant(rig, 'Own')
    foreign = await openIdiTenant(rig, 'Foreign')
  })
  afterAll(() => rig.stop())

  const send = ({ method, path, name }: IdiOperation, ids: IdiTenant['ids'], body: unknown = own.bodies[name]) =>
    rig.send(own.environment, method, fill(path, ids), body)
  const written = async () => {
    const { rows } = await rig.provisioning.database.query((db) =>
      sql<{ name: string; digest: string }>`${sql.join(DIGESTS, sql` union all `)}`.execute(db),
    )
    return rows
  }

  test.each(WITH_BODY.map((operation) => [operation.name, operation] as const))(
    '%s: whatever stands somewhere in the body is taken or refused, and what is refused changes nothing',
    async (name, operation) => {
      const body = own.bodies[name]
      await fc.assert(
        fc.asyncProperty(fc.constantFrom(...placesIn(body)), hostile, async (place, value) => {
          const before = await written()
          const { status } = await send(operation, own.ids, withAt(body, place, value) ?? 'null')
          const isChanged = status >= 400 && !isDeepStrictEqual(await written(), before)
          expect({ isFailure: status >= 500, isChanged }).toEqual({ isFailure: false, isChanged: false })
        }),
        { numRuns: 40 },
      )
    },
  )

  test.each(SEARCHES.map((operation) => [operation.name, operation] as const))(
    '%s: every query is answered or refused',
    async (name, operation) => {
      for (const query of QUERIES) {
        const path = `${operation.path}?${query}`
        const { status } = await send({ ...operation, path }, own.ids)
        const isAnswered = [200, 400].includes(status) || (name === 'listSnapshotItems' && status === 404)
        expect([query, isAnswered]).toEqual([query, true])
      }
    },
  )

  test("another environment's things do not exist here, and its key sees nothing", async () => {
    const before = await written()
    const statuses: string[] = []
    for (const operation of IDI_OPERATIONS) {
      for (const [, id = ''] of operation.path.matchAll(/\{(\w+)\}/g)) {
        if (SHARED.has(id)) continue
        const { status } = await send(operation, { ...own.ids, [id]: foreign.ids[id] ?? '' })
        statuses.push(`${operation.name} ${id} ${status}`)
      }
      const { method, path, name } = operation
      const theirs = { ...own.environment, key: foreign.environment.key }
      const { status } = await rig.send(theirs, method, fill(path, own.ids), own.bodies[name])
      statuses.push(`${name} key ${status}`)
    }
    expect(statuses.length).toBeGreaterThan(90)
    expect(statuses.filter((told) => !told.endsWith(' 404'))).toEqual([])
    expect(await written()).toEqual(before)
  })

  test('no protected value is in the log', () => {
    expect(rig.provisioning.logLines.filter((line) => line.includes(SECRET))).toEqual([])
  })
})

const DIGESTS = [
  'environments',
  'allowed_internal_ids',
  'global_information_items',
  'variables',
  'variable_outcomes',
  'object_definitions',
  'data_definitions',
  'transition_options',
  'profiles',
  'profile_definitions',
  'scenarios',
  'scenario_parameters',
  'provisioned_objects',
  'provisioned_object_items',
].map(
  (table) => sql`select ${table}::text as name,
    count(*) || ' ' || md5(coalesce(string_agg(r::text, chr(10) order by r::text collate "C"), '')) as digest
    from ${sql.table(table)} as r`,
)

const fill = (path: string, ids: IdiTenant['ids']) =>
  path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(ids[name] ?? '')))
