import { sql, type Kysely, type Transaction } from 'kysely'
import type { Schema } from './schema.ts'

/** How many changes are kept; a follower further behind reads everything anew. */
const CHANGES_KEPT = 10_000
const PRUNE_EVERY = 500

/** That an entry of the directory was made, changed or removed; what it is now is read from its table. */
export type DirectoryChange =
  | { readonly kind: 'network' | 'app'; readonly ownerId: string }
  | { readonly kind: 'key' | 'subscriber' | 'endpoint'; readonly ownerId: string; readonly itemId: string }

/** A change and the version it made: versions are gapless and in the order of commits. */
export type VersionedChange = {
  readonly version: number
  readonly kind: Schema['directory_changes']['kind']
  readonly ownerId: string
  readonly itemId: string
}

/**
 * Writes a change into the transaction that makes it. The one row of the version is locked until the
 * commit, so a version is seen only after all versions before it.
 */
export async function recordChange(transaction: Transaction<Schema>, change: DirectoryChange): Promise<void> {
  const itemId = 'itemId' in change ? change.itemId : ''
  const { version } = await transaction
    .with('bumped', (db) =>
      db
        .updateTable('directory_version')
        .set({ version: sql<number>`version + 1` })
        .returning('version'),
    )
    .insertInto('directory_changes')
    .columns(['version', 'kind', 'owner_id', 'item_id'])
    .expression((db) =>
      db
        .selectFrom('bumped')
        .select((eb) => [
          'bumped.version',
          eb.val(change.kind).as('kind'),
          eb.val(change.ownerId).as('owner_id'),
          eb.val(itemId).as('item_id'),
        ]),
    )
    .returning('version')
    .executeTakeFirstOrThrow()
  if (version % PRUNE_EVERY === 0) {
    await transaction
      .deleteFrom('directory_changes')
      .where('version', '<=', version - CHANGES_KEPT)
      .execute()
  }
}

/** The newest version; every change up to it is committed. */
export async function readVersion(db: Kysely<Schema>): Promise<number> {
  const { version } = await db.selectFrom('directory_version').select('version').executeTakeFirstOrThrow()
  return version
}

/** The changes after `version`, oldest first, `limit` at most. */
export async function readChanges(
  db: Kysely<Schema>,
  { after, limit }: { readonly after: number; readonly limit: number },
): Promise<readonly VersionedChange[]> {
  return db
    .selectFrom('directory_changes')
    .select(['version', 'kind', 'owner_id as ownerId', 'item_id as itemId'])
    .where('version', '>', after)
    .orderBy('version')
    .limit(limit)
    .execute()
}
