import { sql, type Kysely, type Selectable } from 'kysely'
import type { VersionedChange } from './change-log.ts'
import type { DirectoryIndex } from './directory-index.ts'
import { DELIVERY_COLUMNS, toDeliveryPart, type DeliveryRow } from './endpoint-rows.ts'
import type { Schema } from './schema.ts'

/** Rows per query, so that reading 100,000 never holds up the event loop or the only connection for long. */
const PAGE = 5_000

/** Fills an empty index with everything there is. */
export async function loadAll(db: Kysely<Schema>, index: DirectoryIndex): Promise<void> {
  for (const row of await db.selectFrom('apps').select(['app_id', 'shard']).execute()) applyApp(index, row)
  for (const row of await db.selectFrom('networks').select(['network_id', 'shard']).execute()) applyNetwork(index, row)
  for (const row of await selectKeys(db).execute()) applyKey(index, row)
  for (const row of await selectEndpoints(db).execute()) applyEndpoint(index, row)
  let last: SubscriberRow | undefined
  for (;;) {
    const page = selectSubscribers(db).orderBy('app_id').orderBy('subscriber_id').limit(PAGE)
    const rows: readonly SubscriberRow[] =
      last === undefined
        ? await page.execute()
        : await page.where(sql<boolean>`(app_id, subscriber_id) > (${last.app_id}, ${last.subscriber_id})`).execute()
    for (const row of rows) applySubscriber(index, row)
    if (rows.length < PAGE) return
    last = rows.at(-1)
  }
}

/**
 * Brings the entries that `changes` name up to date: what stands in their tables now, which may be newer
 * than the change. Everything is read before anything is applied, so a failed read changes nothing.
 */
export async function applyChanges(
  db: Kysely<Schema>,
  index: DirectoryIndex,
  changes: readonly VersionedChange[],
): Promise<void> {
  const named = (kind: VersionedChange['kind']) => changes.filter((change) => change.kind === kind)
  const owners = (kind: VersionedChange['kind']) => named(kind).map((change) => change.ownerId)
  const items = (kind: VersionedChange['kind']) => named(kind).map((change) => change.itemId)
  const whenNamed = async <Row>(kind: VersionedChange['kind'], read: () => Promise<readonly Row[]>) =>
    named(kind).length === 0 ? [] : await read()

  const apps = await whenNamed('app', () =>
    db
      .selectFrom('apps')
      .select(['app_id', 'shard'])
      .where(isIn('app_id', owners('app')))
      .execute(),
  )
  const networks = await whenNamed('network', () =>
    db
      .selectFrom('networks')
      .select(['network_id', 'shard'])
      .where(isIn('network_id', owners('network')))
      .execute(),
  )
  const keys = await whenNamed('key', () =>
    selectKeys(db)
      .where(isIn('key_id', items('key')))
      .execute(),
  )
  const endpoints = await whenNamed('endpoint', () =>
    selectEndpoints(db)
      .where(isIn('endpoint_id', items('endpoint')))
      .execute(),
  )
  const subscribers = await whenNamed('subscriber', () =>
    selectSubscribers(db)
      .where(
        sql<boolean>`(subscribers.app_id, subscribers.subscriber_id) in
          (select * from unnest(${owners('subscriber')}::text[], ${items('subscriber')}::text[]))`,
      )
      .execute(),
  )

  const byId = new Map(apps.map((row) => [String(row.app_id), row]))
  for (const id of owners('app')) if (!byId.has(id)) index.setApp(id, undefined)
  for (const row of apps) applyApp(index, row)
  for (const id of owners('network')) index.setNetwork(id, undefined)
  for (const row of networks) applyNetwork(index, row)
  for (const id of items('key')) index.setKey(id, undefined)
  for (const row of keys) applyKey(index, row)
  for (const change of named('endpoint')) index.setEndpoint(change.ownerId, change.itemId, undefined)
  for (const row of endpoints) applyEndpoint(index, row)
  for (const change of named('subscriber')) index.setAssignment(change.ownerId, change.itemId, undefined)
  for (const row of subscribers) applySubscriber(index, row)
}

const isIn = (column: string, values: readonly string[]) => sql<boolean>`${sql.ref(column)} = any(${values}::text[])`

const selectKeys = (db: Kysely<Schema>) => db.selectFrom('api_keys').select(['key_id', 'app_id', 'hash'])

const selectEndpoints = (db: Kysely<Schema>) =>
  db
    .selectFrom('endpoints')
    .innerJoin('apps', 'apps.app_id', 'endpoints.app_id')
    .select(['endpoints.endpoint_id', 'endpoints.app_id', 'apps.shard', 'endpoints.enabled', 'endpoints.verified'])
    .select(DELIVERY_COLUMNS)
    .orderBy('endpoints.created_at')
    .orderBy('endpoints.endpoint_id')

type SubscriberRow = Omit<Selectable<Schema['subscribers']>, 'created_at' | 'announced_at'>
const selectSubscribers = (db: Kysely<Schema>) =>
  db
    .selectFrom('subscribers')
    .select([
      'app_id',
      'subscriber_id',
      'network_id',
      'shard',
      'subscriber_number',
      'subscriber_name',
      'subscriber_account_id',
    ])

const applyApp = (index: DirectoryIndex, row: Pick<Selectable<Schema['apps']>, 'app_id' | 'shard'>): void =>
  index.setApp(row.app_id, { appId: row.app_id, shard: row.shard })

const applyNetwork = (index: DirectoryIndex, row: Pick<Selectable<Schema['networks']>, 'network_id' | 'shard'>): void =>
  index.setNetwork(row.network_id, { networkId: row.network_id, shard: row.shard })

const applyKey = (
  index: DirectoryIndex,
  row: Pick<Selectable<Schema['api_keys']>, 'key_id' | 'app_id' | 'hash'>,
): void => index.setKey(row.key_id, { keyId: row.key_id, appId: row.app_id, hash: Buffer.from(row.hash, 'hex') })

type EndpointRow = DeliveryRow &
  Pick<Selectable<Schema['endpoints']>, 'endpoint_id' | 'app_id' | 'enabled' | 'verified'> &
  Pick<Selectable<Schema['apps']>, 'shard'>
const applyEndpoint = (index: DirectoryIndex, row: EndpointRow): void =>
  index.setEndpoint(row.app_id, row.endpoint_id, {
    endpointId: row.endpoint_id,
    app: index.app(row.app_id) ?? { appId: row.app_id, shard: row.shard },
    ...toDeliveryPart(row),
    enabled: row.enabled && row.verified,
    verified: row.verified,
  })

const applySubscriber = (index: DirectoryIndex, row: SubscriberRow): void =>
  index.setAssignment(row.app_id, row.subscriber_id, {
    // The index's own objects where it has them: 100,000 assignments share a few.
    app: index.app(row.app_id) ?? { appId: row.app_id, shard: row.shard },
    network: index.network(row.network_id) ?? { networkId: row.network_id, shard: row.shard },
    subscriberId: row.subscriber_id,
    subscriberNumber: row.subscriber_number,
    ...(row.subscriber_name === null ? {} : { subscriberName: row.subscriber_name }),
    ...(row.subscriber_account_id === null ? {} : { subscriberAccountId: row.subscriber_account_id }),
  })
