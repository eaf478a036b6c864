import { sql } from 'kysely'
import { Registry } from 'prom-client'
import { systemClock } from '../../src/core/clock.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { parseInput } from '../../src/core/parse-input.ts'
import type { ProviderAction } from '../../src/provisioning/model/provider.ts'
import { RequestChanges } from '../../src/provisioning/requests/engine/request-changes.ts'
import { RequestRunner, type RequestRunnerOptions } from '../../src/provisioning/requests/engine/request-runner.ts'
import { Submission } from '../../src/provisioning/requests/engine/submission.ts'
import { GlobalInformationChanges } from '../../src/provisioning/requests/model/global-information.ts'
import type { NewRequest } from '../../src/provisioning/requests/model/new-request.ts'
import { Environments, type Environment } from '../../src/provisioning/requests/store/environments.ts'
import { GlobalInformation } from '../../src/provisioning/requests/store/global-information.ts'
import { synchroniseProviders } from '../../src/provisioning/requests/store/provider-registry.ts'
import { readRequest, type ProvisioningRequest } from '../../src/provisioning/requests/store/requests.ts'
import type { ProvisioningDatabase } from '../../src/provisioning/store/database.ts'
import { Cipher } from '../../src/records/cipher.ts'
import { createEngine, openShop, workOff, type Engine, type OrderShop } from './order-rig.ts'
import { ScriptedProvider, type Fault } from './scripted-provider.ts'

const ACCOUNT = 23_330_999

/** One scenario of a profile: an action of the office's provider, and what it is told. */
export type RigScenario = {
  readonly operation: ProviderAction
  readonly parameters?: Readonly<Record<string, string>>
}

/**
 * An environment with one customer, whose orders a scripted provider carries out, and the engine that runs its
 * provisioning requests. Nothing runs by itself.
 */
export class RequestOffice {
  readonly database: ProvisioningDatabase
  readonly environment: Environment
  readonly shop: OrderShop
  readonly provider: ScriptedProvider
  readonly engine: Engine
  readonly runner: RequestRunner
  readonly submission: Submission
  readonly changes: RequestChanges
  readonly globals: GlobalInformation
  /** The first of its 100 numbers. */
  readonly first: string
  #profiles = 0

  static async open(
    database: ProvisioningDatabase,
    { name, start, script = [] }: { readonly name: string; readonly start: string; readonly script?: readonly Fault[] },
  ): Promise<RequestOffice> {
    const provider = new ScriptedProvider(`scripted-${name}`, script)
    const shop = await openShop(database, { name, start, provider: provider.id })
    await synchroniseProviders(database, [provider])
    const environments = new Environments(database)
    const environment = await environments.put({ name, appId: shop.appId })
    await environments.putAccount({ name, accountNumber: ACCOUNT, customerId: shop.customerId })
    const office = new RequestOffice(database, { environment, shop, provider, first: start })
    await office.setSafeguarded(false)
    return office
  }

  private constructor(
    database: ProvisioningDatabase,
    parts: Pick<RequestOffice, 'environment' | 'shop' | 'provider' | 'first'>,
  ) {
    this.database = database
    this.environment = parts.environment
    this.shop = parts.shop
    this.provider = parts.provider
    this.first = parts.first
    this.engine = createEngine(database, parts.provider)
    this.globals = new GlobalInformation({ database, secret: Buffer.alloc(32) }, new Cipher([Buffer.alloc(32)]))
    this.runner = this.createRunner()
    const quiet = { database, wake: () => undefined }
    this.submission = new Submission(quiet)
    this.changes = new RequestChanges(quiet)
  }

  /** Another process, as it were. */
  createRunner(options: Partial<RequestRunnerOptions> = {}): RequestRunner {
    return new RequestRunner({
      database: this.database,
      ordering: this.engine.ordering,
      readGlobals: (queries, environmentId, names) => this.globals.valuesOf(queries, environmentId, names),
      clock: systemClock,
      log: silentLogger,
      registry: new Registry(),
      ...options,
    })
  }

  /** Switches the safeguard; resolves when it is written, and makes held requests due as `Safeguards` does. */
  async setSafeguarded(isSafeguarded: boolean): Promise<void> {
    const { environmentId } = this.environment
    await this.database.transaction(async (tx) => {
      await tx
        .updateTable('environments')
        .set({ is_safeguarded: isSafeguarded })
        .where('environment_id', '=', environmentId)
        .execute()
      await sql`update provisioning_requests set due_at = now()
        where environment_id = ${environmentId} and status_id = 6`.execute(tx)
    })
  }

  /** Puts a global information item of this environment. */
  async putGlobal(change: { readonly name: string; readonly value: string; readonly isProtected?: boolean }) {
    const changes = parseInput(GlobalInformationChanges, [change])
    await this.globals.update({ environmentId: this.environment.environmentId, actor: 'test', changes })
  }

  async addProfile(scenarios: readonly RigScenario[]): Promise<number> {
    this.#profiles += 1
    return this.database.transaction(async (tx) => {
      const { profile_id: profileId } = await tx
        .insertInto('profiles')
        .values({
          environment_id: this.environment.environmentId,
          name: `Profile ${this.#profiles}`,
          created_by: 'test',
          modified_by: 'test',
        })
        .returning('profile_id')
        .executeTakeFirstOrThrow()
      for (const [index, { operation, parameters = {} }] of scenarios.entries()) {
        const { rows } = await sql<{ id: number }>`
          insert into scenarios (profile_id, provider_action_id, sequence_number)
          select ${profileId}, provider_action_id, ${index + 1}
          from provider_actions join action_providers using (provider_id)
          where action_providers.code = ${this.provider.id} and operation = ${operation}
          returning scenario_id as id`.execute(tx)
        const named = Object.entries(parameters).map(([key, value], at) => {
          const [name = key, scope = 'Literal'] = key.split(':')
          return { scenario_id: rows[0]?.id ?? 0, name, scope, value, sequence_number: at + 1 }
        })
        if (named.length > 0) await tx.insertInto('scenario_parameters').values(named).execute()
      }
      return profileId
    })
  }

  async submit(request: Partial<NewRequest> & Pick<NewRequest, 'profileId'>): Promise<number> {
    const made = await this.submission.submit({
      environment: this.environment,
      actor: 'key:test',
      request: {
        account: { accountNumber: ACCOUNT },
        items: [],
        isReadOnly: false,
        links: [],
        outcomes: [],
        internalId: 'ID001',
        ...request,
      },
    })
    return made.request_id
  }

  find(requestId: number): Promise<ProvisioningRequest> {
    const { environmentId } = this.environment
    return this.database.query((db) => readRequest(db, { environmentId, requestId }))
  }

  /** Runs requests and orders until there is nothing left to do. */
  async settle(runner = this.runner): Promise<void> {
    for (let round = 0; round < 50; round += 1) {
      await this.database.query((db) =>
        sql`update provisioning_requests set leased_until = null,
            due_at = case when status_id = 2 or due_at is not null then now() end
          where environment_id = ${this.environment.environmentId} and status_id in (1, 2, 4, 6)`.execute(db),
      )
      const claimed = await runner.runDue()
      const open = await this.openOrders()
      for (const orderId of open) await workOff({ database: this.database, fulfiller: this.engine.fulfiller }, orderId)
      if (claimed === 0 || (open.length === 0 && (await this.#countDue()) === 0)) return
    }
    throw new Error('requests never come to rest')
  }

  async openOrders(): Promise<readonly string[]> {
    const rows = await this.database.query((db) =>
      db
        .selectFrom('orders')
        .select('order_id')
        .where('customer_id', '=', this.shop.customerId)
        .where('completed_at', 'is', null)
        .orderBy('order_id')
        .execute(),
    )
    return rows.map((row) => row.order_id)
  }

  async orders(): Promise<readonly string[]> {
    const rows = await this.database.query((db) =>
      db
        .selectFrom('orders')
        .select(['action', 'state'])
        .where('customer_id', '=', this.shop.customerId)
        .orderBy('created_at')
        .orderBy('order_id')
        .execute(),
    )
    return rows.map((row) => `${row.action} ${row.state}`)
  }

  async services(): Promise<readonly string[]> {
    const rows = await this.database.query((db) =>
      db
        .selectFrom('services')
        .select('e164')
        .where('customer_id', '=', this.shop.customerId)
        .where('state', '<>', 'ended')
        .orderBy('e164')
        .execute(),
    )
    return rows.map((row) => row.e164)
  }

  /** Contents of a request's call details that are not an adapter's. */
  async details(requestId: number): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const rows = await this.database.query((db) =>
      db
        .selectFrom('call_details')
        .select('content')
        .where('request_id', '=', requestId)
        .where('call_id', 'is', null)
        .orderBy('call_detail_id')
        .execute(),
    )
    return rows.map((row) => JSON.parse(row.content ?? '{}'))
  }

  async events(): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const rows = await this.database.query((db) =>
      db
        .selectFrom('provisioning_outbox')
        .select('payload')
        .where('app_id', '=', this.shop.appId)
        .where('type', 'like', 'provisioning%')
        .orderBy('event_id')
        .execute(),
    )
    return rows.map((row) => JSON.parse(row.payload))
  }

  async #countDue(): Promise<number> {
    const { rows } = await this.database.query((db) =>
      sql<{ count: number }>`select count(*)::integer as count from provisioning_requests
        where environment_id = ${this.environment.environmentId} and due_at <= now()`.execute(db),
    )
    return rows[0]?.count ?? 0
  }
}
