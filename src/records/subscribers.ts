import { sql, type Selectable } from 'kysely'
import { GatewayError } from '../core/errors.ts'
import type { AppId, Shard, SubscriberId } from '../core/ids.ts'
import type { NewSubscriber, Subscriber, SubscriberRepository } from '../core/subscriber.ts'
import { recordChange } from './change-log.ts'
import type { Records } from './connection.ts'
import type { RecordsDirectory } from './directory.ts'
import type { Schema } from './schema.ts'

/** The assignments of subscribers to apps. */
export class Subscribers implements SubscriberRepository {
  readonly #records: Records
  readonly #directory: RecordsDirectory

  constructor(records: Records, directory: RecordsDirectory) {
    this.#records = records
    this.#directory = directory
  }

  /**
   * An assignment that moves to another network is announced again, as it is another subscriber that the
   * app hears of now; a changed number or name is not. Rejects with `app_not_found`, `network_not_found`
   * or `shard_conflict`.
   */
  put(subscriber: NewSubscriber): Promise<{ readonly subscriber: Subscriber; readonly created: boolean }> {
    const { appId, networkId, subscriberId } = subscriber
    return this.#directory.write(async (transaction) => {
      const shards = await transaction
        .selectNoFrom((eb) => [
          eb.selectFrom('apps').select('shard').where('app_id', '=', appId).as('app'),
          eb.selectFrom('networks').select('shard').where('network_id', '=', networkId).as('network'),
        ])
        .executeTakeFirstOrThrow()
      const row = await transaction
        .insertInto('subscribers')
        .values({
          app_id: appId,
          subscriber_id: subscriberId,
          network_id: networkId,
          shard: sharedShard(shards),
          subscriber_number: subscriber.subscriberNumber,
          subscriber_name: subscriber.subscriberName ?? null,
          subscriber_account_id: subscriber.subscriberAccountId ?? null,
          created_at: new Date(this.#records.clock.now()),
          announced_at: null,
        })
        .onConflict((conflict) =>
          conflict.columns(['app_id', 'subscriber_id']).doUpdateSet((eb) => ({
            network_id: eb.ref('excluded.network_id'),
            subscriber_number: eb.ref('excluded.subscriber_number'),
            subscriber_name: eb.ref('excluded.subscriber_name'),
            subscriber_account_id: eb.ref('excluded.subscriber_account_id'),
            announced_at: sql<Date | null>`case when subscribers.network_id = excluded.network_id
              then subscribers.announced_at end`,
          })),
        )
        .returningAll()
        // A row that was only inserted has no deleting transaction; an updated one was locked by ours.
        .returning(sql<boolean>`(xmax = 0)`.as('created'))
        .executeTakeFirstOrThrow()
      await recordChange(transaction, { kind: 'subscriber', ownerId: appId, itemId: subscriberId })
      return { subscriber: toSubscriber(row), created: row.created }
    })
  }

  async find(appId: AppId, subscriberId: SubscriberId): Promise<Subscriber | undefined> {
    const row = await this.#records.query((db) =>
      db
        .selectFrom('subscribers')
        .selectAll()
        .where('app_id', '=', appId)
        .where('subscriber_id', '=', subscriberId)
        .executeTakeFirst(),
    )
    return row === undefined ? undefined : toSubscriber(row)
  }

  async list(
    appId: AppId,
    { after, limit }: { readonly after?: SubscriberId; readonly limit: number },
  ): Promise<readonly Subscriber[]> {
    const rows = await this.#records.query((db) =>
      db
        .selectFrom('subscribers')
        .selectAll()
        .where('app_id', '=', appId)
        .$if(after !== undefined, (query) => query.where('subscriber_id', '>', after ?? null))
        .orderBy('subscriber_id')
        .limit(limit)
        .execute(),
    )
    return rows.map(toSubscriber)
  }

  remove(appId: AppId, subscriberId: SubscriberId): Promise<boolean> {
    return this.#directory.write(async (transaction) => {
      const { numDeletedRows } = await transaction
        .deleteFrom('subscribers')
        .where('app_id', '=', appId)
        .where('subscriber_id', '=', subscriberId)
        .executeTakeFirstOrThrow()
      if (numDeletedRows === 0n) return false
      await recordChange(transaction, { kind: 'subscriber', ownerId: appId, itemId: subscriberId })
      return true
    })
  }

  async unannounced(limit: number): Promise<readonly Subscriber[]> {
    const rows = await this.#records.query((db) =>
      db
        .selectFrom('subscribers')
        .selectAll()
        .where('announced_at', 'is', null)
        .orderBy('created_at')
        .orderBy('app_id')
        .orderBy('subscriber_id')
        .limit(limit)
        .execute(),
    )
    return rows.map(toSubscriber)
  }

  /** Marks the assignment that was read: one made or moved since then is left to be announced itself. */
  async markAnnounced(subscriber: Subscriber): Promise<void> {
    await this.#records.query((db) =>
      db
        .updateTable('subscribers')
        .set({ announced_at: new Date(this.#records.clock.now()) })
        .where('app_id', '=', subscriber.appId)
        .where('subscriber_id', '=', subscriber.subscriberId)
        .where('network_id', '=', subscriber.networkId)
        .where('created_at', '=', new Date(subscriber.createdAt))
        .where('announced_at', 'is', null)
        .execute(),
    )
  }
}

/** The shard that app and network have in common; each is null when there is none. */
function sharedShard({ app, network }: { readonly app: Shard | null; readonly network: Shard | null }): Shard {
  if (app === null) throw new GatewayError('app_not_found')
  if (network === null) throw new GatewayError('network_not_found')
  if (app !== network) throw new GatewayError('shard_conflict', { fields: { app_shard: app, network_shard: network } })
  return app
}

const toSubscriber = (row: Selectable<Schema['subscribers']>): Subscriber => ({
  appId: row.app_id,
  networkId: row.network_id,
  subscriberId: row.subscriber_id,
  subscriberNumber: row.subscriber_number,
  ...(row.subscriber_name === null ? {} : { subscriberName: row.subscriber_name }),
  ...(row.subscriber_account_id === null ? {} : { subscriberAccountId: row.subscriber_account_id }),
  createdAt: row.created_at.getTime(),
  ...(row.announced_at === null ? {} : { announcedAt: row.announced_at.getTime() }),
})
