import { Registry } from 'prom-client'
import { buildProvisioning } from '../../src/composition/provisioning.ts'
import type { Config } from '../../src/config.ts'
import { systemClock } from '../../src/core/clock.ts'
import type { Logger } from '../../src/core/logger.ts'
import type { Service } from '../../src/core/service.ts'
import { createHttpApp } from '../../src/http/app.ts'
import { Authenticator } from '../../src/http/authentication.ts'
import { toProvisioningDatabase, type ProvisioningDatabase } from '../../src/provisioning/store/database.ts'
import type { Cipher } from '../../src/records/cipher.ts'
import { Apps } from '../../src/records/apps.ts'
import { RecordsDirectory } from '../../src/records/directory.ts'
import { OperatorEvents } from '../../src/records/operator-events.ts'
import { absentHttpDeps } from './absent-http-deps.ts'
import { checkedRequest, textField, type ApiResponse, type RequestOptions } from './checked-request.ts'
import { startTestRecords, type StoreName, type TestRecords } from './records.ts'

const ADMIN_KEY = 'admin-key-of-the-tests'

/** A customer of an app of its own, with a key that is of this customer alone. */
export type RigOrganization = { readonly appId: string; readonly customerId: string; readonly key: string }

export type ProvisioningRigOptions = {
  readonly store: StoreName
  readonly provisioning?: Partial<Config['provisioning']>
  readonly zipwhipProviderKey?: string
}

/**
 * The provisioning part of a gateway, its APIs included, over a store of its own: orders are carried out by the
 * sandbox carrier, whose catalogue is there. Other routes are not served. Every answer is checked against what its
 * operation documents, and every log line is kept.
 */
export class ProvisioningRig {
  readonly database: ProvisioningDatabase
  readonly cipher: Cipher
  readonly registry = new Registry()
  /** As JSON, from `debug` on. */
  readonly logLines: string[] = []
  /** All routes; for the OpenAPI document. */
  readonly app: ReturnType<typeof createHttpApp>
  readonly fetch: (request: Request) => Response | Promise<Response>
  readonly request: (method: string, path: string, options?: RequestOptions) => Promise<ApiResponse>
  readonly #records: TestRecords
  readonly #services: readonly Service[]
  #organizations = 0

  static async start(options: ProvisioningRigOptions): Promise<ProvisioningRig> {
    const stock = (options.provisioning?.seedsSandbox ?? true) ? 'catalogue' : 'nothing'
    const rig = new ProvisioningRig(await startTestRecords(options.store, stock), options)
    for (const service of rig.#services) await service.start()
    return rig
  }

  private constructor(records: TestRecords, { provisioning = {}, zipwhipProviderKey }: ProvisioningRigOptions) {
    this.#records = records
    this.cipher = records.records.cipher
    this.database = toProvisioningDatabase(records.records)
    const log = keepingLogger(this.logLines)
    const directory = new RecordsDirectory({ records: records.records, clock: systemClock, log })
    const apps = new Apps(records.records, directory)
    const parts = buildProvisioning({
      config: { provisioning: { ...DEFAULTS, ...provisioning }, secrets: { zipwhipProviderKey } },
      registry: this.registry,
      log,
      records: records.records,
      apps,
      operatorEvents: new OperatorEvents(records.records),
    })
    const authenticator = new Authenticator({ apps, directory, provisioningKeys: parts.keys, adminKey: ADMIN_KEY })
    const app = createHttpApp({
      ...absentHttpDeps(),
      authenticator,
      apps,
      faces: parts.faces,
      registry: this.registry,
      log,
    })
    this.app = app
    this.fetch = (request) => app.fetch(request)
    this.request = checkedRequest(app)
    this.#services = [directory, ...parts.clients, ...parts.services]
  }

  async stop(): Promise<void> {
    const deadline = AbortSignal.timeout(5_000)
    for (const service of this.#services.toReversed()) await service.stop(deadline)
    await this.#records.stop()
  }

  admin(method: string, path: string, body?: unknown): Promise<ApiResponse> {
    return this.request(method, path, { key: ADMIN_KEY, ...(body !== undefined && { body }) })
  }

  async addOrganization(): Promise<RigOrganization> {
    this.#organizations += 1
    const app = await this.admin('POST', '/admin/apps', { name: `crm ${this.#organizations}` })
    const appId = textField(app, 'app_id')
    const customerId = await this.addCustomer(appId)
    return { appId, customerId, key: await this.issueKey(appId, [customerId]) }
  }

  async addCustomer(appId: string): Promise<string> {
    const body = { name: `Acme ${appId}`, country: 'US', currency: 'USD', appId }
    return textField(await this.admin('POST', '/customers', body), 'id')
  }

  /** Of these customers, or of all of the app. */
  async issueKey(appId: string, customerIds?: readonly string[]): Promise<string> {
    const body = customerIds === undefined ? {} : { customer_ids: customerIds }
    return textField(await this.admin('POST', `/admin/apps/${appId}/provisioning-keys`, body), 'provisioning_key')
  }
}

const DEFAULTS: Config['provisioning'] = {
  agingDays: 90,
  providerWaitDays: 30,
  seedsSandbox: true,
  sandboxDelayMs: 10,
  zipwhipAlwaysOk: false,
  zipwhipProvider: undefined,
}

function keepingLogger(lines: string[], bindings: object = {}): Logger {
  const keep = (level: string) => (fields: object, message: string) => {
    lines.push(JSON.stringify({ level, ...bindings, ...fields, message }, showErrors))
  }
  return {
    debug: keep('debug'),
    info: keep('info'),
    warn: keep('warn'),
    error: keep('error'),
    child: (more) => keepingLogger(lines, { ...bindings, ...more }),
  }
}

/** All that an error holds, as a serializer of logs might show it. */
function showErrors(_: string, value: unknown): unknown {
  if (!(value instanceof Error)) return value
  const { name, message, stack, cause } = value
  return { ...Object.fromEntries(Object.entries(value)), name, message, stack, cause }
}
