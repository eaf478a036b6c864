import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestProvisioning, type TestProvisioning } from '../../../test/support/provisioning.ts'
import { STORES } from '../../../test/support/records.ts'
import { SEARCH_LIMITS, type SearchLimits } from './budget.ts'
import { parseQuery } from './query.ts'
import type { SearchField } from './registry.ts'
import { searchRows, type SearchSource } from './search.ts'

const field = (column: string, type: SearchField['type'], isIndexed = false): SearchField => ({
  value: sql.ref(column),
  type,
  isFilterable: true,
  isSortable: true,
  isIndexed,
})
const SOURCE: SearchSource = {
  from: sql`from odata_many where tenant = 1`,
  columns: sql`id`,
  key: 'id',
  fields: {
    id: field('id', 'integer', true),
    account: field('account', 'integer', true),
    status: field('status', 'text', true),
    region: field('region', 'integer', true),
    note: field('note', 'text'),
    long: {
      ...field('long', 'text', true),
      isSortable: false,
      indexedPrefix: { value: sql`left(long, 20)`, length: 20 },
    },
    at: { ...field('at', 'time', true), isNullable: true },
  },
}
/** With the names of what the rows refer to, as most searches are. */
const WITH_LABELS: SearchSource = {
  ...SOURCE,
  from: sql`from odata_many join odata_labels using (status) where tenant = 1`,
  fields: { ...SOURCE.fields, label: field('label', 'text') },
}
const ROWS = 60_000
const ACCOUNTS = 600
/** So that reading the whole table is too much, and a tenth of it is not. */
const LIMITS: SearchLimits = { ...SEARCH_LIMITS, costMax: 1_000, rowsLookedThroughMax: 2_000, countMax: 500 }
const SECRET = Buffer.alloc(32, 7)

type Row = { readonly id: number }

describe.each(STORES)('the cost of a search on %s', (store) => {
  let rig: TestProvisioning

  beforeAll(async () => {
    rig = await startTestProvisioning(store)
    const statements = [
      sql`create table odata_many (id int8 primary key, tenant int4 not null, account int8 not null, region int4 not null,
        status text collate "C" not null, note text collate "C" not null, long text collate "C" not null, at timestamptz)`,
      sql`insert into odata_many select n, 1, n % ${ACCOUNTS}, n % 20, case when n % 10 = 0 then 'rare' else 'usual' end,
          'note ' || n, repeat('x', 15) || n, case when n % 3 = 0 then null else now() - make_interval(secs => n % 20000) end
        from generate_series(1, ${ROWS}::int4) n`,
      sql`create index on odata_many (tenant, id)`,
      sql`create index on odata_many (tenant, account, id)`,
      sql`create index on odata_many (tenant, status, id)`,
      sql`create index on odata_many (tenant, region)`,
      sql`create index on odata_many (tenant, at, id)`,
      sql`create index on odata_many (tenant, left(long, 20))`,
      sql`create table odata_labels (status text collate "C" primary key, label text collate "C" not null)`,
      sql`insert into odata_labels values ('rare', 'Rare'), ('usual', 'Usual'), ('gone', 'Gone'), ('new', 'New')`,
      sql`analyze odata_many`,
      sql`analyze odata_labels`,
    ]
    for (const statement of statements) await rig.database.query((db) => statement.execute(db))
  }, 60_000)
  afterAll(() => rig.stop())

  const search = (options: Readonly<Record<string, string>>, limits: SearchLimits = LIMITS, source = SOURCE) =>
    rig.database.query((db) => searchRows<Row>(db, { source, query: parseQuery(options), secret: SECRET, limits }))
  const idsOf = async (options: Readonly<Record<string, string>>) => (await search(options)).rows.map(({ id }) => id)

  test.each([
    [
      '$filter',
      'would read too many rows; compare one of id, account, status, region, long, at',
      { $filter: "contains(note,'zzz')" },
    ],
    ['$filter', 'would read too many rows', { $filter: "contains(note,'note 5999')", $top: '1' }],
    ['$filter', 'would read too many rows', { $filter: "note eq 'note 5'" }],
    ['$filter', 'would read too many rows', { $filter: "status eq 'usual' and note eq 'zzz'" }],
    ['$filter', 'and if that is a range, order by the same', { $filter: "account gt 100 and note eq 'zzz'" }],
    ['$count', 'would read too many rows', { $filter: "contains(note,'note')", $top: '1', $count: 'true' }],
    ['$count', 'would read too many rows', { $filter: "contains(note,'zzz')", $top: '0', $count: 'true' }],
    ['$orderby', 'would sort too many rows; order by one of id, account, status, region, at', { $orderby: 'note' }],
    ['$skip', 'would pass over too many rows; use the next link', { $skip: '59000' }],
  ])('%s is refused because it %s: %o', async (option, reason, options) => {
    await expect(search(options)).rejects.toMatchObject({
      code: 'invalid_request',
      fields: { errors: [{ field: option, message: expect.stringContaining(reason) }] },
    })
  })

  test('what a search is confined to, and is worked out beforehand, is not taken for the whole', async () => {
    const from = sql`from odata_many where tenant = (select max(tenant) from odata_many where id = 1)`
    const confined = search({ $filter: "contains(note,'zzz')" }, LIMITS, { ...SOURCE, from })
    await expect(confined).rejects.toMatchObject({ code: 'invalid_request' })
    const all = sql`from odata_many where tenant = 1 and id = any(array(select id from odata_many where note <> 'zzz'))`
    const costly = search({ $filter: 'id gt 59999' }, LIMITS, { ...SOURCE, from: all })
    await expect(costly).rejects.toMatchObject({ code: 'invalid_request' })
  })

  test('what is sorted and filtered badly is told of both', async () => {
    await expect(search({ $filter: "contains(note,'5')", $orderby: 'note' })).rejects.toMatchObject({
      fields: { errors: [{ field: '$filter' }, { field: '$orderby' }] },
    })
  })

  test('what an index finds is searched, whatever else is asked of it, and however much is wanted', async () => {
    const ofAccount = Array.from({ length: ROWS / ACCOUNTS }, (_, index) => 7 + index * ACCOUNTS)
    for (const top of ['1', '99', '500']) {
      const found = await idsOf({
        $filter: "contains(note,'7') and account eq 7 and not endswith(note,'zzz')",
        $top: top,
      })
      expect(found).toEqual(ofAccount.filter((id) => String(id).includes('7')).slice(0, Number(top)))
    }
    // Here PostgreSQL would rather look for one in the order of ids.
    expect(await idsOf({ $filter: "contains(note,'59907') and region eq 7", $top: '1' })).toEqual([59_907])
    expect(await idsOf({ $filter: "contains(note,'9') and region eq 7", $top: '2', $orderby: 'id desc' })).toEqual([
      59_987, 59_967,
    ])
    expect(await idsOf({ $filter: "note eq 'note 607' and account eq 7" })).toEqual([607])
    expect(await idsOf({ $filter: "id in (3,5) and contains(note,'5')" })).toEqual([5])
    expect(await idsOf({ $filter: `long eq '${'x'.repeat(15)}12345'` })).toEqual([12_345])
    expect(await idsOf({ $filter: `'${'x'.repeat(15)}12345' eq long` })).toEqual([12_345])
    expect(await idsOf({ $filter: `long in ('${'x'.repeat(15)}12345','${'x'.repeat(15)}123456')` })).toEqual([12_345])
  })

  test('what an index finds in order is cheap, however much it is, also with what it refers to', async () => {
    const found = await search({ $filter: "status eq 'usual'", $top: '3' }, LIMITS, WITH_LABELS)
    expect(found.rows.map(({ id }) => id)).toEqual([1, 2, 3])
    const tight = { ...LIMITS, costMax: 200 }
    const rare = await search({ $filter: "status eq 'rare'", $top: '400', $orderby: 'id desc' }, tight, WITH_LABELS)
    expect(rare.rows.map(({ id }) => id)).toEqual(Array.from({ length: 400 }, (_, index) => ROWS - 10 * index))
    // By its name it has to be looked for: there is none among the last rows.
    const named = search({ $filter: "label eq 'Gone'", $orderby: 'id desc' }, LIMITS, WITH_LABELS)
    await expect(named).rejects.toMatchObject({ code: 'invalid_request' })
  })

  test('a range is cheap in its own order, wherever it is', async () => {
    expect(await idsOf({ $filter: 'id gt 57000 and id le 57100', $top: '3' })).toEqual([57_001, 57_002, 57_003])
    expect(await idsOf({ $filter: 'not (id le 40000)', $top: '3' })).toEqual([40_001, 40_002, 40_003])
    expect(await idsOf({ $filter: 'account gt 100', $top: '2', $orderby: 'account,id' })).toEqual([101, 701])
    expect(await idsOf({ $filter: "startswith(status,'u')", $top: '2', $orderby: 'status,id' })).toEqual([1, 2])
  })

  test('what is found soon is found, though no index does', async () => {
    expect(await idsOf({ $filter: "contains(note,'77')", $top: '2' })).toEqual([77, 177])
    expect(await idsOf({ $filter: "contains(note,'80')", $top: '2', $orderby: 'account,id' })).toEqual([1_800, 4_800])
    expect(await idsOf({ $filter: "contains(note,'99')", $top: '3', $skip: '2', $orderby: 'id desc' })).toEqual([
      59_997, 59_996, 59_995,
    ])
  })

  test.each(['id desc', 'account', 'account desc', 'status,id', 'status desc,id desc', 'at', 'at desc'])(
    'every page in an order that is indexed is read: %s',
    async ($orderby) => {
      const seen: number[] = []
      const limits = { ...LIMITS, costMax: 300 }
      let token: string | undefined
      do {
        const page = await search({ $orderby, $top: '500', ...(token !== undefined && { $skiptoken: token }) }, limits)
        seen.push(...page.rows.map(({ id }) => id))
        token = page.skipToken
      } while (token !== undefined)
      expect(new Set(seen).size).toBe(ROWS)
    },
  )

  test('few are counted one by one; of many, it is said about how many there are', async () => {
    expect(await search({ $filter: 'account eq 7', $top: '3', $count: 'true' })).toMatchObject({ count: 100 })
    expect(await search({ $filter: "status eq 'gone'", $count: 'true' })).toMatchObject({ count: 0, rows: [] })
    const about = async (options: Readonly<Record<string, string>>, exact: number) => {
      const { count = 0 } = await search({ ...options, $count: 'true', $top: '0' })
      expect(count / exact).toBeGreaterThan(0.8)
      expect(count / exact).toBeLessThan(1.25)
    }
    await about({}, ROWS)
    await about({ $filter: "status eq 'rare'" }, ROWS / 10)
    // Nothing finds these but reading everything, which the statistics spare.
    await about({ $filter: 'at eq null' }, ROWS / 3)
  })

  test('an outer transaction has its own settings back, and goes on, also after a refusal', async () => {
    const settings = await rig.database.transaction(async (transaction) => {
      const read = async () => {
        const { rows } = await sql<{ timeout: string; cost: string }>`select
          current_setting('statement_timeout') as timeout, current_setting('random_page_cost') as cost`.execute(
          transaction,
        )
        return rows[0]
      }
      const before = await read()
      const given = { source: SOURCE, secret: SECRET, limits: LIMITS }
      await searchRows<Row>(transaction, { ...given, query: parseQuery({ $top: '1' }) })
      const afterwards = await read()
      const refused = searchRows<Row>(transaction, { ...given, query: parseQuery({ $orderby: 'note' }) })
      await expect(refused).rejects.toMatchObject({ code: 'invalid_request' })
      return { before, afterwards, atLast: await read() }
    })
    expect(settings.afterwards).toEqual(settings.before)
    expect(settings.atLast).toEqual(settings.before)
  })

  // PGlite runs in one thread, which no timer interrupts.
  test.skipIf(store === 'pglite')('what takes longer than was expected is ended and refused', async () => {
    const slow = { ...SOURCE, from: sql`from odata_many cross join (select pg_sleep(30)) as slow where tenant = 1` }
    const started = performance.now()
    await expect(search({ $filter: 'account eq 7' }, { ...LIMITS, timeoutMs: 50 }, slow)).rejects.toMatchObject({
      code: 'invalid_request',
      fields: { errors: [{ field: '$filter' }] },
    })
    expect(performance.now() - started).toBeLessThan(10_000)
  })
})
