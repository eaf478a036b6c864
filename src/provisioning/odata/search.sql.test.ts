import * as fc from 'fast-check'
import { sql, type RawBuilder } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { filters, printFilter, sampleRows, type SampleRow } from '../../../test/support/odata-filters.ts'
import { isWanted } from '../../../test/support/odata-interpreter.ts'
import { startTestProvisioning, type TestProvisioning } from '../../../test/support/provisioning.ts'
import { STORES } from '../../../test/support/records.ts'
import { compileFilter } from './compile.ts'
import { parseFilter } from './parser.ts'
import { parseQuery } from './query.ts'
import type { SearchField } from './registry.ts'
import { searchRows, type SearchSource } from './search.ts'
import { sortKeys } from './sort-keys.ts'
import { findAmong, findAndSort, findPlainly } from './statements.ts'

const field = (column: string, type: SearchField['type'], isNullable = true): SearchField => ({
  value: sql.ref(column),
  type,
  isFilterable: true,
  isSortable: true,
  isNullable,
})
const SOURCE: SearchSource = {
  from: sql`from odata_sample where true`,
  columns: sql`id`,
  key: 'id',
  fields: {
    id: field('id', 'integer', false),
    name: field('name', 'text', false),
    note: field('note', 'text'),
    size: field('size', 'integer'),
    price: field('price', 'decimal'),
    at: field('at', 'time'),
    isOpen: field('is_open', 'boolean'),
    hidden: { value: sql.ref('name'), type: 'text', isFilterable: false, isSortable: false },
  },
  collections: {
    links: {
      source: sql`from odata_sample as inner_rows where inner_rows.size = odata_sample.id`,
      fields: { name: { ...field('name', 'text'), value: sql.ref('inner_rows.name') } },
    },
  },
}
const SECRET = Buffer.alloc(32, 7)
const ROWS = 200

describe.each(STORES)('a search on %s', (store) => {
  let rig: TestProvisioning
  let rows: readonly SampleRow[]

  beforeAll(async () => {
    rig = await startTestProvisioning(store)
    await rig.database.query((db) =>
      sql`create table odata_sample (id int8 primary key, name text collate "C" not null, note text collate "C", size int4,
        price numeric(19,6), at timestamptz, is_open boolean)`.execute(db),
    )
    rows = fc.sample(sampleRows(ROWS), { seed: 20_260_101, numRuns: 1 })[0] ?? []
    await rig.database.query((db) =>
      sql`insert into odata_sample
        select id, name, note, size, price, at::timestamptz, "isOpen" from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
          as given (id int8, name text, note text, size int4, price numeric, at text, "isOpen" boolean)`.execute(db),
    )
  })
  afterAll(() => rig.stop())

  let search: (options: Readonly<Record<string, string>>) => ReturnType<typeof searchRows<{ readonly id: number }>>
  beforeEach(() => {
    search = (options) =>
      rig.database.query((db) => searchRows(db, { source: SOURCE, query: parseQuery(options), secret: SECRET }))
  })
  const keysOf = async (finding: RawBuilder<unknown>) => {
    const { rows: found } = await rig.database.query((db) =>
      sql<{ readonly found_key: number }>`${finding}`.execute(db),
    )
    return found.map((row) => row.found_key)
  }
  const idsOf = async (filter: string) => (await search({ $filter: filter, $top: '500' })).rows.map(({ id }) => id)

  test('finds what a plain reading of the filter finds, for 1,000 filters', { timeout: 120_000 }, async () => {
    let found = 0
    await fc.assert(
      fc.asyncProperty(filters({ depth: 3 }), async (tree) => {
        const expected = rows.filter((row) => isWanted(tree, row)).map(({ id }) => id)
        expect(await idsOf(printFilter(tree))).toEqual(expected)
        found += expected.length
      }),
      { numRuns: 1_000 },
    )
    // Filters that nothing satisfies would prove nothing.
    expect(found).toBeGreaterThan(10 * ROWS)
  })

  const inner = (row: SampleRow) => rows.filter(({ size }) => size === row.id)
  const ids = (isWantedRow: (row: SampleRow) => boolean) => rows.filter(isWantedRow).map(({ id }) => id)
  test('any and all look at what belongs to each row', async () => {
    expect(await idsOf("links/any(l: l/name eq 'a')")).toEqual(
      ids((row) => inner(row).some(({ name }) => name === 'a')),
    )
    expect(await idsOf("links/all(l: l/name ne 'a')")).toEqual(
      ids((row) => inner(row).every(({ name }) => name !== 'a')),
    )
    expect(await idsOf("not links/any(l: l/name eq 'a')")).toEqual(
      ids((row) => inner(row).every(({ name }) => name !== 'a')),
    )
    expect(await idsOf('links/any()')).toEqual(ids((row) => inner(row).length > 0))
  })

  test('its pages have every row once, in whatever order, also while rows are added', async () => {
    const order = fc
      .subarray(['name', 'note', 'size', 'price', 'at'], { minLength: 1 })
      .chain((names) =>
        fc.tuple(...names.map((name) => fc.constantFrom(name, `${name} desc`))).map((terms) => terms.join(',')),
      )
    await fc.assert(
      fc.asyncProperty(order, fc.integer({ min: 7, max: 90 }), async ($orderby, top) => {
        const seen: number[] = []
        const whole = (await search({ $orderby, $top: '500' })).rows.map(({ id }) => id)
        for (let token: string | undefined = ''; token !== undefined;) {
          const page = await search({ $orderby, $top: String(top), ...(token !== '' && { $skiptoken: token }) })
          seen.push(...page.rows.map(({ id }) => id))
          token = page.skipToken
        }
        expect(seen).toEqual(whole)
        expect(seen).toHaveLength(ROWS)
      }),
      { numRuns: 25 },
    )
  })

  test('every way of finding a page finds the same', async () => {
    const links = fc.constantFrom("links/any(l: l/name eq 'a')", "links/all(l: l/name ne 'a')", 'links/any()', 'true')
    const filter = fc.tuple(filters({ depth: 2 }), links).map(([tree, link]) => `${printFilter(tree)} and ${link}`)
    const page = fc.record({ limit: fc.integer({ min: 1, max: ROWS }), offset: fc.integer({ min: 0, max: 20 }) })
    const order = fc.constantFrom('name', 'note desc', 'size,name desc', 'price desc,at', 'isOpen')
    let found = 0
    await fc.assert(
      fc.asyncProperty(filter, order, page, async ($filter, $orderby, { limit, offset }) => {
        const parts = {
          from: SOURCE.from,
          key: sql.ref('id'),
          order: sortKeys(SOURCE, parseQuery({ $orderby }).orderBy),
          wanted: compileFilter(parseFilter($filter), SOURCE),
          wantedByRow: compileFilter(parseFilter($filter), SOURCE, { isLookedUpByRow: true }),
          isAfter: sql`id > 3`,
          limit,
          offset,
        }
        const plain = await keysOf(findPlainly(parts))
        expect(await keysOf(findAndSort(parts))).toEqual(plain)
        expect(await keysOf(findAmong(parts, ROWS))).toEqual(plain)
        found += plain.length
      }),
      { numRuns: 200 },
    )
    expect(found).toBeGreaterThan(5 * ROWS)
  })

  test('counts all that it finds, whatever the page', async () => {
    expect(await search({ $count: 'true', $top: '0' })).toEqual({ rows: [], count: ROWS })
    expect((await search({ $count: 'true', $top: '3', $filter: 'id gt 100' })).count).toBe(ROWS - 100)
    expect((await search({ $top: '100000' })).rows).toHaveLength(ROWS)
    expect((await search({ $skip: '195' })).rows.map(({ id }) => id)).toEqual([196, 197, 198, 199, 200])
  })

  test.each([
    ['$filter', { $filter: "hidden eq 'a'" }],
    ['$filter', { $filter: "nothing eq 'a'" }],
    ['$filter', { $filter: "constructor eq 'a'" }],
    ['$filter', { $filter: "size eq 'a'" }],
    ['$filter', { $filter: 'name' }],
    ['$filter', { $filter: 'sleep(5)' }],
    ['$filter', { $filter: "contains(size,'1')" }],
    ['$filter', { $filter: 'nothing/any(x: x/a eq 1)' }],
    ['$orderby', { $orderby: 'hidden' }],
    ['$orderby', { $orderby: 'name sideways' }],
    ['$orderby', { $orderby: 'name,name desc' }],
    ['$top', { $top: '-1' }],
    ['$skip', { $skip: '1.5' }],
    ['$count', { $count: 'yes' }],
    ['$select', { $select: 'a;b' }],
    ['$skiptoken', { $skiptoken: 'AAAA' }],
    ['$expand', { $expand: 'name' }],
  ])('refuses %s: %o', async (option, given) => {
    await expect(Promise.resolve().then(() => search(given))).rejects.toMatchObject({
      code: 'invalid_request',
      fields: { errors: [{ field: option }] },
    })
  })

  test.each([
    ['$filter', "nam eq 'a'", 'nam that can be filtered by, only id, name, note, size, price, at, isOpen'],
    ['$filter', "links/any(l: l/nam eq 'a')", 'l/nam that can be filtered by, only l/name'],
    ['$orderby', 'nam', 'nam that can be sorted by, only id, name, note, size, price, at, isOpen'],
  ])('%s with %s is told which fields there are', async (option, text, message) => {
    await expect(Promise.resolve().then(() => search({ [option]: text }))).rejects.toMatchObject({
      fields: { errors: [{ field: option, message: `has no field ${message}` }] },
    })
  })

  test.each([
    ["size eq '1'", 'compares number with text: only text is in quotes'],
    ["at gt '2026-01-01'", 'compares time with text: only text is in quotes'],
    ['name in (1)', 'compares text with number: only text is in quotes'],
    ['isOpen eq 1', 'compares boolean with number'],
    ["name = 'a'", 'cannot be read at character 6: ='],
  ])('the filter %s is refused: %s', async (filter, message) => {
    await expect(Promise.resolve().then(() => search({ $filter: filter }))).rejects.toMatchObject({
      fields: { errors: [{ message }] },
    })
  })

  test('rows are found again by a field that no caller can name', async () => {
    const { id, ...fields } = SOURCE.fields
    const key: SearchField = { ...id, value: sql.ref('id'), type: 'integer', isFilterable: false, isSortable: false }
    const searchHidden = (options: Readonly<Record<string, string>>) =>
      rig.database.query((db) =>
        searchRows<{ readonly id: number }>(db, {
          source: { ...SOURCE, key: '#position', fields: { ...fields, '#position': key } },
          query: parseQuery(options),
          secret: SECRET,
        }),
      )
    const first = await searchHidden({ $top: '2' })
    const second = await searchHidden({ $top: '2', $skiptoken: first.skipToken ?? '' })
    expect([...first.rows, ...second.rows].map((row) => row.id)).toEqual([1, 2, 3, 4])
    await expect(searchHidden({ $orderby: 'nam' })).rejects.toMatchObject({
      fields: { errors: [{ message: expect.not.stringContaining('#position') }] },
    })
  })
})
