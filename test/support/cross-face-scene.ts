import * as v from 'valibot'
import { disagreements, type ComparedScene } from './compared-faces.ts'
import { IdiRig, type RigEnvironment } from './idi-rig.ts'
import type { StoreName } from './records.ts'

const NUMBER_PRODUCT = 'prd_us-local'
const TEXT_PRODUCT = 'prd_text-enablement'
export const NUMBERS = 4
const SETTLE_TIMEOUT_MS = 30_000

/** Blocks of ten numbers that the sandbox has and does nothing odd with. */
const AREAS = ['206', '303', '617', '305', '404', '202', '503', '702', '612', '214'] as const
const BLOCKS_OF_AREA = 8

/** What somebody asks one of the APIs for; `by` and `number` are places in the scene. */
export type Operation =
  | { readonly kind: 'any'; readonly by: number; readonly quantity: number; readonly partialAllowed: boolean }
  | { readonly kind: 'range'; readonly by: number; readonly number: number; readonly size: number }
  | { readonly kind: 'change' | 'delete'; readonly by: number; readonly number: number; readonly isText: boolean }
  | { readonly kind: 'cancel'; readonly by: number; readonly pick: number }
  | { readonly kind: 'add' | 'add later' | 'update' | 'remove'; readonly by: number; readonly number: number }
  | { readonly kind: 'idi'; readonly by: number; readonly number: number; readonly action: 'begin' | 'enable' | 'end' }
  | { readonly kind: 'fault'; readonly number: number; readonly fault: string }
  | { readonly kind: 'settle' }

const OrderList = v.array(v.looseObject({ id: v.string(), state: v.string(), requestedDate: v.optional(v.string()) }))
const FINAL = new Set(['completed', 'partial', 'failed', 'cancelled'])

/** One gateway with all three APIs, on which any number of scenes play. */
export class CrossFaceStage {
  readonly rig: IdiRig
  #scenes = 0

  static async start(store: StoreName): Promise<CrossFaceStage> {
    return new CrossFaceStage(await IdiRig.start({ store }))
  }

  private constructor(rig: IdiRig) {
    this.rig = rig
  }

  stop(): Promise<void> {
    return this.rig.stop()
  }

  /** Two customers in an environment of their own, and numbers that nobody has. */
  async open(): Promise<CrossFaceScene> {
    const block = this.#scenes
    this.#scenes += 1
    const area = AREAS[Math.floor(block / BLOCKS_OF_AREA)]
    if (area === undefined) throw new Error('there are no more numbers')
    const { rig } = this
    const environment = await rig.addEnvironment()
    const customers = []
    for (const accountNumber of [1, 2]) {
      const customerId = await rig.provisioning.addCustomer(environment.appId)
      const path = `/admin/provisioning/environments/${environment.name}/accounts/${accountNumber}`
      const linked = await rig.provisioning.admin('PUT', path, { customerId })
      if (linked.status !== 204) throw new Error(`the account was answered with ${linked.status}`)
      customers.push({ customerId, key: await rig.provisioning.issueKey(environment.appId, [customerId]) })
    }
    const prefix = `${area}55501${block % BLOCKS_OF_AREA}`
    const row = await rig.provisioning.database.query((db) =>
      db
        .selectFrom('environments')
        .select('environment_id')
        .where('name', '=', environment.name)
        .executeTakeFirstOrThrow(),
    )
    const profiles = await makeProfiles(rig, environment)
    return new CrossFaceScene(rig, { environment, environmentId: row.environment_id, customers, profiles, prefix })
  }
}

const ACTIONS = { begin: 'BeginService', enable: 'EnableService', end: 'EndService' } as const
type Profiles = Readonly<Record<keyof typeof ACTIONS, number>>
const ActionPage = v.object({ value: v.array(v.looseObject({ name: v.string(), providerActionID: v.number() })) })
const ProviderPage = v.object({ value: v.tuple([v.looseObject({ providerID: v.number() })]) })

/** A profile for each of these actions of the sandbox; with nothing in its way. */
async function makeProfiles(rig: IdiRig, environment: RigEnvironment): Promise<Profiles> {
  const send = async (method: string, path: string, body?: unknown) => {
    const answer = await rig.send(environment, method, path, body)
    if (answer.status >= 300) throw new Error(`${path} was answered with ${answer.status}`)
    return answer.body
  }
  await send('POST', 'safeguard/disable')
  const providers = v.parse(ProviderPage, await send('GET', "provider?$filter=name eq 'Sandbox carrier'"))
  const actions = v.parse(ActionPage, await send('GET', `provider/${providers.value[0].providerID}/action`))
  const make = async (action: keyof typeof ACTIONS): Promise<number> => {
    const known = actions.value.find(({ name }) => name === ACTIONS[action])
    const scenarios = [{ providerActionID: known?.providerActionID }]
    const made = await send('POST', 'profile', { name: action, scenarios })
    return v.parse(v.looseObject({ profileID: v.number() }), made).profileID
  }
  return { begin: await make('begin'), enable: await make('enable'), end: await make('end') }
}

type Customer = { readonly customerId: string; readonly key: string }

/** What two customers do with a handful of numbers, through whichever API. */
export class CrossFaceScene {
  readonly compared: ComparedScene
  readonly #rig: IdiRig
  readonly #environment: RigEnvironment
  readonly #customers: readonly Customer[]
  readonly #prefix: string
  readonly #profiles: Profiles

  constructor(
    rig: IdiRig,
    scene: {
      readonly environment: RigEnvironment
      readonly environmentId: number
      readonly customers: readonly Customer[]
      readonly profiles: Profiles
      readonly prefix: string
    },
  ) {
    this.#rig = rig
    this.#environment = scene.environment
    this.#customers = scene.customers
    this.#prefix = scene.prefix
    this.#profiles = scene.profiles
    this.compared = {
      environmentId: scene.environmentId,
      customerIds: scene.customers.map(({ customerId }) => customerId),
      numbers: Array.from({ length: NUMBERS }, (_, index) => `+1${scene.prefix}${index}`),
      numberProduct: NUMBER_PRODUCT,
      textProduct: TEXT_PRODUCT,
    }
  }

  /** In what the APIs disagree now. */
  disagreements(): Promise<readonly string[]> {
    return disagreements(this.#rig.provisioning.database, this.compared)
  }

  /** Does it, or is refused; fails for what is nobody's fault but ours. Resolves with what was answered. */
  async do(operation: Operation): Promise<string> {
    const status = await this.#send(operation)
    if (status.startsWith('5')) throw new Error(`${JSON.stringify(operation)} was answered with ${status}`)
    return status
  }

  /**
   * Waits until no order is open but those for later. It compares all the time, without a pause: what disagrees for a
   * moment only is to be seen, too.
   */
  async settle(): Promise<readonly string[]> {
    const deadline = performance.now() + SETTLE_TIMEOUT_MS
    for (;;) {
      const found = await this.disagreements()
      if (found.length > 0) return found
      const orders = (await this.#openOrders()).filter(({ requestedDate }) => requestedDate === undefined)
      const running = (await this.statuses()).filter((status) => status === 'Submitted' || status === 'In Progress')
      if (orders.length === 0 && running.length === 0) return []
      if (performance.now() > deadline) {
        const open = orders.map(({ id, state, customerId }) => `${id} of ${customerId} is ${state}`)
        const told = this.#rig.provisioning.logLines.filter((line) => /"level":"(warn|error)"/.test(line)).slice(-20)
        throw new Error(`waited in vain for all orders to be final: ${[...open, ...running, ...told].join('\n')}`)
      }
    }
  }

  /** Brings everything to its end, also what is for later. */
  async conclude(): Promise<readonly string[]> {
    const found = [...(await this.settle())]
    for (const { customerId, key, id } of await this.#openOrders()) {
      await this.#rig.provisioning.request('DELETE', `/customers/${customerId}/orders/${id}`, { key })
    }
    found.push(...(await this.settle()))
    if (found.length === 0 && (await this.#openOrders()).length > 0) return ['an order never ends']
    return found
  }

  /** By the APIs themselves: what each of them says is in service, as `customer product number`. */
  async inService(): Promise<{
    readonly zilkr: readonly string[]
    readonly zipwhip: readonly string[]
    readonly idi: readonly string[]
  }> {
    const zilkr: string[] = []
    const zipwhip: string[] = []
    for (const { customerId, key } of this.#customers) {
      const products = await this.#rig.provisioning.request('GET', `/customers/${customerId}/products`, { key })
      for (const product of v.parse(Products, products.body)) {
        zilkr.push(`${customerId} ${product.catalogProductId} ${product.number}`)
      }
      for (const number of this.compared.numbers) {
        const answer = await this.#zipwhip(key, 'provision/status', { phone_number: number })
        if (answer.account_status === 'provisioned') zipwhip.push(`${customerId} ${TEXT_PRODUCT} ${number}`)
      }
    }
    const filter = encodeURIComponent("name in ('State','Customer')")
    const path = `provisionedObject/extendedInformationItemExpanded?$top=500&$filter=${filter}`
    const answer = await this.#rig.send(this.#environment, 'GET', path)
    const { value } = v.parse(IdiItems, answer.body)
    const isActive = new Set(
      value.filter((item) => item.name === 'State' && item.value === 'active').map((item) => idOf(item)),
    )
    const idi = value.filter((item) => item.name === 'Customer' && isActive.has(idOf(item)))
    return {
      zilkr: zilkr.toSorted(),
      zipwhip: zipwhip.toSorted(),
      idi: idi.map((item) => `${item.value} ${idOf(item)}`).toSorted(),
    }
  }

  /** Those of requests that were made by the IDI API. */
  async statuses(): Promise<readonly string[]> {
    const path = `provisioningRequest?$top=500&$filter=${encodeURIComponent('isReadOnly eq false')}`
    const { body } = await this.#rig.send(this.#environment, 'GET', path)
    const { value } = v.parse(v.object({ value: v.array(v.looseObject({ status: v.string() })) }), body)
    return value.map(({ status }) => status)
  }

  async #send(operation: Operation): Promise<string> {
    switch (operation.kind) {
      case 'any':
        return this.#order(operation.by, 'any', {
          quantity: operation.quantity,
          partialAllowed: operation.partialAllowed,
          filter: { countryCode: 'US', startsWith: this.#prefix },
        })
      case 'range':
        return this.#order(operation.by, 'range', { start: this.#number(operation), size: operation.size })
      case 'change': {
        const changes = { callerName: `Caller ${operation.number}` }
        return this.#order(operation.by, 'change', { numbers: [await this.#served(operation)], changes }, operation)
      }
      case 'delete': {
        const numbers = [await this.#served(operation)]
        return this.#order(operation.by, 'delete', { numbers, reason: 'moved' }, operation)
      }
      case 'cancel':
        return this.#cancel(operation)
      case 'add':
      case 'add later':
      case 'update':
      case 'remove':
        return this.#line(operation)
      case 'idi':
        return this.#idi(operation)
      case 'fault': {
        const faults = [{ fault: operation.fault, number: this.#number(operation), requests: 1, delayMs: 30 }]
        const { status } = await this.#rig.provisioning.admin('PUT', '/admin/provisioning/sandbox/faults', { faults })
        return String(status)
      }
      case 'settle':
        return (await this.settle()).join('; ')
      default:
        return operation satisfies never
    }
  }

  #number({ number }: { readonly number: number }): string {
    return `+1${this.#prefix}${number % NUMBERS}`
  }

  /** One that the customer has a service on, if it has any: little is refused, and much happens. */
  async #served(asked: { readonly by: number; readonly number: number; readonly isText?: boolean }): Promise<string> {
    const { customerId, key } = this.#customer(asked.by)
    const product = asked.isText === true ? TEXT_PRODUCT : NUMBER_PRODUCT
    const { body } = await this.#rig.provisioning.request('GET', `/customers/${customerId}/products`, { key })
    const served = v.parse(Products, body).filter((service) => service.catalogProductId === product)
    return served[asked.number % Math.max(1, served.length)]?.number ?? this.#number(asked)
  }

  #customer(by: number): Customer {
    const customer = this.#customers[by % this.#customers.length]
    if (customer === undefined) throw new Error('there are no customers')
    return customer
  }

  async #order(
    by: number,
    action: string,
    body: object,
    { isText = false }: { readonly isText?: boolean } = {},
  ): Promise<string> {
    const { customerId, key } = this.#customer(by)
    const product = isText ? TEXT_PRODUCT : NUMBER_PRODUCT
    const path = `/customers/${customerId}/orders/${product}/numbers/${action}`
    return String((await this.#rig.provisioning.request('POST', path, { key, body })).status)
  }

  async #cancel({ by, pick }: Extract<Operation, { kind: 'cancel' }>): Promise<string> {
    const { customerId, key } = this.#customer(by)
    const open = (await this.#openOrders()).filter((order) => order.customerId === customerId)
    const chosen = open[pick % Math.max(1, open.length)]
    if (chosen === undefined) return 'nothing'
    const path = `/customers/${customerId}/orders/${chosen.id}`
    return String((await this.#rig.provisioning.request('DELETE', path, { key })).status)
  }

  async #line({ kind, by, number }: Extract<Operation, { kind: 'add' | 'add later' | 'update' | 'remove' }>) {
    const call = { add: 'add', 'add later': 'add', update: 'update', remove: 'delete' }[kind]
    const isOfLine = kind === 'update' || kind === 'remove'
    const { key } = this.#customer(by)
    const later = new Date(Date.now() + 3_600_000).toISOString()
    const answer = await this.#zipwhip(key, `provision/${call}`, {
      phone_number: isOfLine ? await this.#served({ by, number, isText: true }) : this.#number({ number }),
      ...(kind === 'add later' && { effective_date: later }),
      ...(kind === 'update' && { vendor_customer_id: `v-${number}` }),
    })
    return answer.status_code
  }

  /** A request about the number itself, whose profile does the one thing. */
  async #idi({ by, number, action }: Extract<Operation, { kind: 'idi' }>): Promise<string> {
    const answer = await this.#rig.send(this.#environment, 'POST', 'provisioningRequest', {
      accountInformation: { accountNumber: (by % this.#customers.length) + 1 },
      profileID: this.#profiles[action],
      provisionedObjectCode: action === 'enable' ? TEXT_PRODUCT : NUMBER_PRODUCT,
      provisionedObjectInternalID: action === 'end' ? await this.#served({ by, number }) : this.#number({ number }),
      provisionedObjectTransitionID: action === 'end' ? 3 : 1,
    })
    return String(answer.status)
  }

  async #zipwhip(key: string, path: string, parameters: Readonly<Record<string, string>>) {
    const query = new URLSearchParams({ api_key: key, ...parameters })
    const { body } = await this.#rig.provisioning.request('GET', `/api/20140925/${path}?${query.toString()}`)
    return v.parse(ZipwhipBody, body)
  }

  async #openOrders() {
    const open = []
    for (const { customerId, key } of this.#customers) {
      const { body } = await this.#rig.provisioning.request('GET', `/customers/${customerId}/orders?limit=500`, { key })
      for (const order of v.parse(OrderList, body)) {
        if (!FINAL.has(order.state)) open.push({ ...order, customerId, key })
      }
    }
    return open
  }
}

const Products = v.array(v.looseObject({ catalogProductId: v.string(), number: v.string() }))
const IdiItems = v.object({
  value: v.array(v.looseObject({ code: v.string(), internalID: v.string(), name: v.string(), value: v.string() })),
})
const ZipwhipBody = v.looseObject({
  status_code: v.pipe(v.union([v.string(), v.number()]), v.transform(String)),
  account_status: v.optional(v.string()),
})
const idOf = ({ code, internalID }: { readonly code: string; readonly internalID: string }) => `${code} ${internalID}`
