import { ProvisioningRig, type ProvisioningRigOptions, type RigOrganization } from './provisioning-rig.ts'
import { until } from './until.ts'
import { callZipwhip, type ZipwhipAnswer, type ZipwhipForm, type ZipwhipPath } from './zipwhip-calls.ts'

/** Areas of which the sandbox has the numbers 555-0100 to 555-0199; from 0187 on something is odd with them. */
const AREAS = ['206', '303', '617', '305', '404', '202', '503', '702', '612', '214'] as const
const PLAIN_PER_AREA = 80

export type CallOptions = {
  readonly form?: ZipwhipForm
  readonly headers?: Record<string, string>
  readonly by?: RigOrganization
}

/** Two organizations at one gateway, wherever it is, and numbers that nobody has. */
export class ZipwhipCallers {
  /** Who calls unless said otherwise. */
  readonly own: RigOrganization
  readonly other: RigOrganization
  /** Of every answer so far. */
  readonly codes = new Set<string>()
  readonly #request: ProvisioningRig['request']
  #numbers = 0

  constructor(request: ProvisioningRig['request'], [own, other]: readonly [RigOrganization, RigOrganization]) {
    this.#request = request
    this.own = own
    this.other = other
  }

  /** A landline that is nobody's, and another one each time. */
  freshNumber(): string {
    const area = AREAS[Math.floor(this.#numbers / PLAIN_PER_AREA)]
    if (area === undefined) throw new Error('there are no more numbers')
    const number = `+1${area}5550${String(100 + (this.#numbers % PLAIN_PER_AREA))}`
    this.#numbers += 1
    return number
  }

  /** One that the sandbox does something odd with, such as `0196`; each area has one of them. */
  oddNumber(ending: string, area: (typeof AREAS)[number] = '206'): string {
    return `+1${area}555${ending}`
  }

  async call(
    path: ZipwhipPath,
    parameters: Readonly<Record<string, string>>,
    { form = 'GET', headers = {}, by = this.own }: CallOptions = {},
  ): Promise<ZipwhipAnswer> {
    const withKey = { api_key: by.key, ...parameters }
    const answer = await callZipwhip(this.#request, path, { form, headers, parameters: withKey })
    if (answer.headers.get('cache-control') !== 'no-store') throw new Error(`an answer to ${path} may be kept`)
    if ('status_code' in answer.body) this.codes.add(String(answer.body['status_code']))
    return answer
  }

  /** Only the code of the answer, as text. */
  async codeOf(...call: Parameters<ZipwhipScene['call']>): Promise<string> {
    const { body } = await this.call(...call)
    return String(body['status_code'])
  }

  /** The id of the transaction of a call that must succeed. */
  async transactionOf(...call: Parameters<ZipwhipScene['call']>): Promise<string> {
    const { body } = await this.call(...call)
    if (body['status_code'] !== '100' || body['error'] !== 'false') {
      throw new Error(`${call[0]} answered ${JSON.stringify(body)}`)
    }
    return String(body['transaction_id'])
  }

  /** Waits until the line stands like this. */
  async reach(number: string, accountStatus: string, by = this.own): Promise<void> {
    await until(`${number} is ${accountStatus}`, async () => {
      const { body } = await this.call('provision/status', { phone_number: number }, { by })
      return body['account_status'] === accountStatus || undefined
    })
  }

  /** A line in service. */
  async beginLine(number = this.freshNumber(), parameters: Readonly<Record<string, string>> = {}): Promise<string> {
    await this.transactionOf('provision/add', { phone_number: number, ...parameters })
    await this.reach(number, 'provisioned')
    return number
  }

  /** Ends a line and waits for it. */
  async endLine(number: string): Promise<void> {
    await this.transactionOf('provision/delete', { phone_number: number })
    await until(`${number} has ended`, async () => {
      const code = await this.codeOf('provision/status', { phone_number: number })
      return code === '404' || undefined
    })
  }
}

/** The same at a gateway in this process, with its store. */
export class ZipwhipScene extends ZipwhipCallers {
  readonly rig: ProvisioningRig

  static async start(options: ProvisioningRigOptions): Promise<ZipwhipScene> {
    const rig = await ProvisioningRig.start(options)
    return new ZipwhipScene(rig, [await rig.addOrganization(), await rig.addOrganization()])
  }

  private constructor(rig: ProvisioningRig, organizations: readonly [RigOrganization, RigOrganization]) {
    super(rig.request, organizations)
    this.rig = rig
  }

  stop(): Promise<void> {
    return this.rig.stop()
  }

  /** The caller's own id of a line in service. */
  async vendorIdOf(number: string): Promise<string | undefined> {
    const row = await this.rig.database.query((db) =>
      db
        .selectFrom('services')
        .select('external_id')
        .where('e164', '=', number)
        .where('state', '<>', 'ended')
        .executeTakeFirst(),
    )
    return row?.external_id ?? undefined
  }

  /** How many orders of its messaging product a number has had. */
  async countOrders(number: string): Promise<number> {
    const rows = await this.rig.database.query((db) =>
      db
        .selectFrom('order_items')
        .innerJoin('products', 'products.product_id', 'order_items.product_id')
        .select('item_id')
        .where('e164', '=', number)
        .where('kind', '=', 'messaging')
        .execute(),
    )
    return rows.length
  }
}

/** In the form of the document's samples, `ms` from now. */
export const dateIn = (ms: number): string => new Date(Date.now() + ms).toISOString().replace(/\.\d{3}Z$/, '+00:00')
