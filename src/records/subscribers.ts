import type { Selectable, Transaction } from 'kysely'
import { GatewayError } from '../core/errors.ts'
import type { AppId, Shard, SubscriberId } from '../core/ids.ts'
import type { Departure, NewSubscriber, Subscriber, SubscriberRepository } from '../core/subscriber.ts'
import { recordChange } from './change-log.ts'
import type { Records } from './connection.ts'
import type { RecordsDirectory } from './directory.ts'
import type { Schema } from './schema.ts'

type Row = Selectable<Schema['subscribers']>

/** The assignments of subscribers to apps, and those that have ended and are still to be told. */
export class Subscribers implements SubscriberRepository {
  readonly #records: Records
  readonly #directory: RecordsDirectory

  constructor(records: Records, directory: RecordsDirectory) {
    this.#records = records
    this.#directory = directory
  }

  /**
   * An assignment that moves to another network is a new one, of another subscriber that the app hears of
   * now: the old one leaves a departure. A changed number or name changes nothing of that. Rejects with
   * `app_not_found`, `network_not_found` or `shard_conflict`.
   */
  put(subscriber: NewSubscriber): Promise<{ readonly subscriber: Subscriber; readonly created: boolean }> {
    const { appId, networkId, subscriberId } = subscriber
    return this.#directory.write(async (transaction) => {
      const app = await lockApp(transaction, appId)
      const network = await transaction
        .selectFrom('networks')
        .select('shard')
        .where('network_id', '=', networkId)
        .executeTakeFirst()
      const values = {
        app_id: appId,
        subscriber_id: subscriberId,
        network_id: networkId,
        shard: sharedShard(app?.shard, network?.shard),
        subscriber_number: subscriber.subscriberNumber,
        subscriber_name: subscriber.subscriberName ?? null,
        subscriber_account_id: subscriber.subscriberAccountId ?? null,
        created_at: new Date(this.#records.clock.now()),
        announced_at: null,
      }
      const { row, created } = await insertOrReplace(transaction, values)
      await recordChange(transaction, { kind: 'subscriber', ownerId: appId, itemId: subscriberId })
      return { subscriber: toSubscriber(row), created }
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
      await lockApp(transaction, appId)
      const row = await transaction
        .deleteFrom('subscribers')
        .where('app_id', '=', appId)
        .where('subscriber_id', '=', subscriberId)
        .returningAll()
        .executeTakeFirst()
      if (row === undefined) return false
      await recordDeparture(transaction, row)
      await recordChange(transaction, { kind: 'subscriber', ownerId: appId, itemId: subscriberId })
      return true
    })
  }

  async departures(limit: number): Promise<readonly Departure[]> {
    const rows = await this.#records.query((db) =>
      db.selectFrom('subscriber_departures').selectAll().orderBy('departure_id').limit(limit).execute(),
    )
    return rows.map((row) => ({ departureId: String(row.departure_id), subscriber: toSubscriber(row) }))
  }

  async forgetDeparture(departureId: string): Promise<void> {
    await this.#records.query((db) =>
      db.deleteFrom('subscriber_departures').where('departure_id', '=', BigInt(departureId)).execute(),
    )
  }

  async unannounced(limit: number): Promise<readonly Subscriber[]> {
    const rows = await this.#records.query((db) =>
      db
        .selectFrom('subscribers')
        .selectAll()
        .where('announced_at', 'is', null)
        .where((eb) =>
          eb.not(
            eb.exists(
              eb
                .selectFrom('subscriber_departures as departure')
                .select('departure.departure_id')
                .whereRef('departure.app_id', '=', 'subscribers.app_id')
                .whereRef('departure.subscriber_id', '=', 'subscribers.subscriber_id'),
            ),
          ),
        )
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

/**
 * Inserts the assignment, or replaces the one that there is. What becomes of that depends on its network, so
 * it is read first, and locked; a row that comes or goes in between is met in the next round.
 */
async function insertOrReplace(
  transaction: Transaction<Schema>,
  values: Row,
): Promise<{ readonly row: Row; readonly created: boolean }> {
  for (;;) {
    const existing = await transaction
      .selectFrom('subscribers')
      .selectAll()
      .where('app_id', '=', values.app_id)
      .where('subscriber_id', '=', values.subscriber_id)
      .forUpdate()
      .executeTakeFirst()
    if (existing !== undefined) return { row: await replace(transaction, existing, values), created: false }
    const row = await transaction
      .insertInto('subscribers')
      .values(values)
      .onConflict((conflict) => conflict.columns(['app_id', 'subscriber_id']).doNothing())
      .returningAll()
      .executeTakeFirst()
    if (row !== undefined) return { row, created: true }
  }
}

async function replace(transaction: Transaction<Schema>, existing: Row, values: Row): Promise<Row> {
  const hasMoved = existing.network_id !== values.network_id
  if (hasMoved) await recordDeparture(transaction, existing)
  // The log tells assignments apart by their times.
  const movedAt = new Date(Math.max(values.created_at.getTime(), existing.created_at.getTime() + 1))
  return transaction
    .updateTable('subscribers')
    .set({
      network_id: values.network_id,
      subscriber_number: values.subscriber_number,
      subscriber_name: values.subscriber_name,
      subscriber_account_id: values.subscriber_account_id,
      ...(hasMoved && { created_at: movedAt, announced_at: null }),
    })
    .where('app_id', '=', existing.app_id)
    .where('subscriber_id', '=', existing.subscriber_id)
    .returningAll()
    .executeTakeFirstOrThrow()
}

/** Leaves the word that the app is still to be told, in the transaction that ends the assignment. */
async function recordDeparture(transaction: Transaction<Schema>, { shard: _shard, ...row }: Row): Promise<void> {
  await transaction.insertInto('subscriber_departures').values(row).execute()
}

/**
 * Reads the app so that it cannot be removed before the transaction ends. First of all: whoever removes an
 * app locks it and then its subscribers, and the other way round the two would wait for each other.
 */
const lockApp = (transaction: Transaction<Schema>, appId: AppId) =>
  transaction.selectFrom('apps').select('shard').where('app_id', '=', appId).forKeyShare().executeTakeFirst()

/** The shard that app and network have in common; each is undefined when there is none. */
function sharedShard(app: Shard | undefined, network: Shard | undefined): Shard {
  if (app === undefined) throw new GatewayError('app_not_found')
  if (network === undefined) throw new GatewayError('network_not_found')
  if (app !== network) throw new GatewayError('shard_conflict', { fields: { app_shard: app, network_shard: network } })
  return app
}

const toSubscriber = (row: Omit<Row, 'shard'>): Subscriber => ({
  appId: row.app_id,
  networkId: row.network_id,
  subscriberId: row.subscriber_id,
  subscriberNumber: row.subscriber_number,
  ...(row.subscriber_name === null ? {} : { subscriberName: row.subscriber_name }),
  ...(row.subscriber_account_id === null ? {} : { subscriberAccountId: row.subscriber_account_id }),
  createdAt: row.created_at.getTime(),
  ...(row.announced_at === null ? {} : { announcedAt: row.announced_at.getTime() }),
})
