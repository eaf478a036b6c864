import { sql, type Selectable } from 'kysely'
import { GatewayError } from '../../../core/errors.ts'
import type { Scope } from '../../../core/provisioning-scope.ts'
import { appendAudit } from '../../store/audit.ts'
import type { ProvisioningDatabase, Queries } from '../../store/database.ts'
import { noAccess } from '../model/refusal.ts'
import { mirrorPast } from './past-mirror.ts'
import type { RequestTables } from './schema.ts'

/** A tenant of provisioning requests: nothing of one is seen in another. */
export type Environment = {
  readonly environmentId: number
  /** As in the path; in which case it is written there does not matter. */
  readonly name: string
  /** The app whose keys see it and whose webhooks hear of it; absent: the admin key's alone. */
  readonly appId?: string
  /** Whether only the requests of allowed internal ids reach providers. */
  readonly isSafeguarded: boolean
  readonly createdAt: number
}

/** Which customer an account number of an environment stands for. */
export type EnvironmentAccount = { readonly accountNumber: number; readonly customerId: string }

/** Who changes something, and in which environment. */
export type EnvironmentChange = { readonly environmentId: number; readonly actor: string }

type Row = Selectable<RequestTables['environments']>

/** The chain of the audit trail that an environment's changes are in. */
export const auditChainOf = (environmentId: number): string => `environment:${environmentId}`

/** Environments, and the customers in them; the operator makes them. */
export class Environments {
  readonly #database: ProvisioningDatabase

  constructor(database: ProvisioningDatabase) {
    this.#database = database
  }

  /**
   * The environment of this name, if the caller may see it: with the admin key, or a key of its app that is not
   * limited to some customers. Rejects with `resource_not_found`.
   */
  async find(scope: Scope, name: string): Promise<Environment> {
    const row = await this.#database.query((db) => findRow(db, name))
    if (row === undefined || !maySee(scope, row)) throw noAccess('environment', name, 'environment')
    return toEnvironment(row)
  }

  async list(): Promise<readonly Environment[]> {
    const rows = await this.#database.query((db) => db.selectFrom('environments').selectAll().orderBy('name').execute())
    return rows.map(toEnvironment)
  }

  /**
   * Makes the environment, or gives it to another app, or to none. Rejects with `app_not_found`, and with `in_use` while
   * customers of another app are in it.
   */
  async put({ name, appId }: { readonly name: string; readonly appId?: string | undefined }): Promise<Environment> {
    return this.#database.transaction(async (tx) => {
      const known = await findRow(tx, name, 'update')
      if (known !== undefined && appId !== undefined) await refuseForeign(tx, known, appId)
      const row = await (
        known === undefined
          ? tx.insertInto('environments').values({ name, app_id: appId ?? null })
          : tx
              .updateTable('environments')
              .set({ app_id: appId ?? null })
              .where('environment_id', '=', known.environment_id)
      )
        .returningAll()
        .executeTakeFirstOrThrow()
      const environment = toEnvironment(row)
      if (known === undefined) await furnish(tx, environment)
      await appendAudit(tx, [
        {
          ...auditOf(environment),
          action: known === undefined ? 'create' : 'update',
          ...(known !== undefined && { before: toEnvironment(known) }),
          after: environment,
        },
      ])
      return environment
    })
  }

  /** Rejects with `resource_not_found`. */
  async accounts(name: string): Promise<readonly EnvironmentAccount[]> {
    return this.#database.query(async (db) => {
      const environment = await existing(db, name)
      const rows = await db
        .selectFrom('environment_accounts')
        .select(['account_number', 'customer_id'])
        .where('environment_id', '=', environment.environment_id)
        .orderBy('account_number')
        .execute()
      return rows.map((row) => ({ accountNumber: row.account_number, customerId: row.customer_id }))
    })
  }

  /**
   * Says which customer an account number stands for; it can be said once, since requests refer to it. The
   * customer must belong to the environment's app. What the customer has already is seen in the environment when
   * this resolves; said again, it goes on with what an interruption left out. Rejects with `resource_not_found`,
   * `customer_not_found`, or `already_exists` when the number is another customer's or the customer has another
   * account.
   */
  async putAccount(account: EnvironmentAccount & { readonly name: string }): Promise<void> {
    await this.#link(account)
    await mirrorPast(this.#database, account.customerId)
  }

  async #link({ name, accountNumber, customerId }: EnvironmentAccount & { readonly name: string }): Promise<void> {
    await this.#database.transaction(async (tx) => {
      const environment = await existing(tx, name, 'update')
      const customer = await tx
        .selectFrom('customers')
        .select('app_id')
        .where('customer_id', '=', customerId)
        .where('removed_at', 'is', null)
        .executeTakeFirst()
      if (customer === undefined || customer.app_id !== environment.app_id) throw new GatewayError('customer_not_found')
      const known = await tx
        .selectFrom('environment_accounts')
        .selectAll()
        .where((where) =>
          where.or([
            where('customer_id', '=', customerId),
            where.and([
              where('environment_id', '=', environment.environment_id),
              where('account_number', '=', accountNumber),
            ]),
          ]),
        )
        .execute()
      const same = known.some(
        (row) =>
          row.customer_id === customerId &&
          row.environment_id === environment.environment_id &&
          row.account_number === accountNumber,
      )
      if (same) return
      if (known.length > 0) throw new GatewayError('already_exists')
      await tx
        .insertInto('environment_accounts')
        .values({
          environment_id: environment.environment_id,
          account_number: accountNumber,
          customer_id: customerId,
        })
        .execute()
      await appendAudit(tx, [
        { ...auditOf(toEnvironment(environment)), action: 'add_account', after: { accountNumber, customerId } },
      ])
    })
  }
}

/**
 * What every environment has from its beginning: the document's link type, a profile for orders of other APIs, and a
 * definition for each product, since its services are provisioned objects.
 */
async function furnish(tx: Queries, { environmentId }: Environment): Promise<void> {
  await tx.insertInto('link_types').values({ environment_id: environmentId, link_type_id: 1, name: 'Orders' }).execute()
  await tx
    .insertInto('profiles')
    .values({
      environment_id: environmentId,
      name: 'Orders',
      description: 'Orders that came through other APIs',
      is_of_orders: true,
      created_by: 'admin',
      modified_by: 'admin',
    })
    .execute()
  await sql`select ensure_definitions(array[${environmentId}::integer],
    array(select product_id from products order by product_id))`.execute(tx)
}

/** Customers stay in their environment, and are their app's. */
async function refuseForeign(tx: Queries, { environment_id: environmentId }: Row, appId: string): Promise<void> {
  const { rows } = await sql`
    select from environment_accounts join customers using (customer_id)
    where environment_id = ${environmentId} and app_id is distinct from ${appId} limit 1`.execute(tx)
  if (rows.length === 0) return
  throw new GatewayError('in_use', { detail: 'Customers of another app are in the environment.' })
}

/** With a lock, its app stays as it is until the transaction ends. */
function findRow(queries: Queries, name: string, lock?: 'update'): Promise<Row | undefined> {
  const query = queries
    .selectFrom('environments')
    .selectAll()
    .where(sql<boolean>`lower(name) = lower(${name})`)
  return (lock === undefined ? query : query.forNoKeyUpdate()).executeTakeFirst()
}

/** The customer that an account number stands for, if it is the environment's app's. */
export async function findAccountCustomer(
  queries: Queries,
  { environmentId, accountNumber }: { readonly environmentId: number; readonly accountNumber: number | undefined },
): Promise<{ readonly customerId: string; readonly name: string } | undefined> {
  if (accountNumber === undefined) return undefined
  const { rows } = await sql<{ customerId: string; name: string }>`
    select c.customer_id as "customerId", c.name
    from environment_accounts a join environments e using (environment_id) join customers c using (customer_id)
    where a.environment_id = ${environmentId} and a.account_number = ${accountNumber}
      and c.app_id is not distinct from e.app_id`.execute(queries)
  return rows[0]
}

async function existing(queries: Queries, name: string, lock?: 'update'): Promise<Row> {
  const row = await findRow(queries, name, lock)
  if (row === undefined) throw new GatewayError('resource_not_found')
  return row
}

/** A key that was issued for some customers must not see what others have in the environment. */
const maySee = (scope: Scope, row: Row): boolean =>
  scope.kind === 'admin' || (scope.appId === row.app_id && scope.customerIds === undefined)

const auditOf = ({ environmentId, name }: Environment) => ({
  chain: auditChainOf(environmentId),
  actor: 'admin',
  entity: 'environment',
  entityId: name,
})

const toEnvironment = (row: Row): Environment => ({
  environmentId: row.environment_id,
  name: row.name,
  ...(row.app_id !== null && { appId: row.app_id }),
  isSafeguarded: row.is_safeguarded,
  createdAt: row.created_at.getTime(),
})
