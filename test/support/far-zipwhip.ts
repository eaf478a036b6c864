import * as v from 'valibot'
import type { FarFault } from '../conformance/number-provider.ts'
import { textField, type ApiResponse, type RequestOptions } from './checked-request.ts'
import { makeGatewayPlace, type GatewayPlace } from './gateway-place.ts'
import { GatewayProgram } from './gateway-program.ts'
import type { RigOrganization } from './provisioning-rig.ts'
import { serveApp } from './serve-app.ts'
import { ZIPWHIP_BASE } from './zipwhip-calls.ts'
import { ZipwhipCallers } from './zipwhip-scene.ts'

const ADMIN_KEY = 'admin-key-of-the-far-gateway'
const MESSAGING = 'prd_text-enablement'

const Services = v.array(v.looseObject({ number: v.string(), externalId: v.optional(v.string()) }))
const Orders = v.array(v.looseObject({ id: v.string(), action: v.string(), state: v.string() }))
const Order = v.looseObject({ items: v.array(v.looseObject({ number: v.string() })) })
const FINAL: ReadonlySet<string> = new Set(['completed', 'partial', 'failed', 'cancelled'])

/** A second gateway, in a process of its own with stores of its own, as a Zipwhip server that adapters are pointed at. */
export class FarZipwhip {
  readonly scene: ZipwhipCallers
  readonly url: URL
  /** The key, and every password that was given out. */
  readonly secrets: string[]
  readonly #program: GatewayProgram
  readonly #request: ReturnType<typeof requester>
  readonly #place: GatewayPlace
  readonly #stopServing: () => void
  readonly #network: LossyNetwork

  static async start(): Promise<FarZipwhip> {
    const place = await makeGatewayPlace('pglite')
    const program = await GatewayProgram.start({
      ...place.env,
      CALLHALF_PORT: '0',
      CALLHALF_ADMIN_KEY: ADMIN_KEY,
      CALLHALF_SANDBOX_DELAY_MS: '10',
      CALLHALF_LOG_LEVEL: 'debug',
    })
    const request = requester(program.url)
    const scene = new ZipwhipCallers(request, [await addOrganization(request), await addOrganization(request)])
    const network = new LossyNetwork((sent) => forward(sent, program.url))
    const server = await serveApp((sent) => network.carry(sent))
    return new FarZipwhip({ program, request, scene, place, network, server })
  }

  private constructor(parts: {
    readonly program: GatewayProgram
    readonly request: ReturnType<typeof requester>
    readonly scene: ZipwhipCallers
    readonly place: GatewayPlace
    readonly network: LossyNetwork
    readonly server: { readonly url: string; readonly stop: () => void }
  }) {
    this.scene = parts.scene
    this.secrets = parts.network.secrets
    this.secrets.push(parts.scene.own.key)
    this.url = new URL(`${parts.server.url}${ZIPWHIP_BASE}`)
    this.#program = parts.program
    this.#request = parts.request
    this.#place = parts.place
    this.#network = parts.network
    this.#stopServing = parts.server.stop
  }

  /** All that it has printed, from `debug` on. */
  said(): string {
    return this.#program.said()
  }

  async misbehave(fault: FarFault, requests: number): Promise<void> {
    // Refused by the gateway itself, for a reason of its own.
    if (fault === 'refuse') await this.#setStatus('suspended')
    else this.#network.fail(fault, requests)
  }

  async behave(): Promise<void> {
    this.#network.recover()
    await this.#setStatus('active')
  }

  /** Of both organizations, with what is on order. */
  async countLines(e164: string): Promise<number> {
    let count = 0
    for (const organization of [this.scene.own, this.scene.other]) {
      count += (await this.#servicesOf(organization, e164)).length
      count += (await this.#ordersOf(organization, e164, { isOpen: true })).length
    }
    return count
  }

  /** The caller's own id of a line in service. */
  async externalIdOf(e164: string): Promise<string | undefined> {
    const [service] = await this.#servicesOf(this.scene.own, e164)
    return service?.externalId
  }

  /** How many orders of text enablement the number has had. */
  async countOrders(e164: string): Promise<number> {
    return (await this.#ordersOf(this.scene.own, e164, { isOpen: false })).length
  }

  /** It cannot be reached any longer. */
  disconnect(): void {
    this.#network.recover()
    this.#stopServing()
  }

  async stop(): Promise<void> {
    this.disconnect()
    await this.#program.stop()
    await this.#place[Symbol.asyncDispose]()
  }

  async #servicesOf({ customerId, key }: RigOrganization, e164: string): Promise<v.InferOutput<typeof Services>> {
    const query = new URLSearchParams({ number: e164, productId: MESSAGING })
    const { body } = await this.#request('GET', `/customers/${customerId}/products?${query.toString()}`, { key })
    return v.parse(Services, body)
  }

  /** Those about the number; with `isOpen` only those by which a line is to begin. */
  async #ordersOf(
    { customerId, key }: RigOrganization,
    e164: string,
    { isOpen }: { readonly isOpen: boolean },
  ): Promise<readonly string[]> {
    const path = `/customers/${customerId}/orders`
    const { body } = await this.#request('GET', `${path}?productId=${MESSAGING}&limit=500`, { key })
    const about: string[] = []
    for (const { id, action, state } of v.parse(Orders, body)) {
      if (isOpen && (action !== 'add' || FINAL.has(state))) continue
      const { items } = v.parse(Order, (await this.#request('GET', `${path}/${id}`, { key })).body)
      if (items.some(({ number }) => number === e164)) about.push(id)
    }
    return about
  }

  async #setStatus(status: string): Promise<void> {
    const { customerId } = this.scene.own
    const { status: answered } = await this.#request('PUT', `/admin/customers/${customerId}/status`, {
      key: ADMIN_KEY,
      body: { status },
    })
    if (answered !== 200) throw new Error(`the status could not be set: ${answered}`)
  }
}

const requester =
  (baseUrl: string) =>
  async (method: string, path: string, { key, body, headers }: RequestOptions = {}): Promise<ApiResponse> => {
    const response = await fetch(new URL(path, baseUrl), {
      method,
      headers: {
        ...(key !== undefined && { authorization: `Bearer ${key}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      signal: AbortSignal.timeout(10_000),
    })
    const text = await response.text()
    const parsed: unknown = text === '' ? undefined : JSON.parse(text)
    return { status: response.status, headers: response.headers, body: parsed }
  }

/** A customer of an app of its own, with a key that is of this customer alone. */
async function addOrganization(request: ReturnType<typeof requester>): Promise<RigOrganization> {
  const admin = (path: string, body: object) => request('POST', path, { key: ADMIN_KEY, body })
  const appId = textField(await admin('/admin/apps', { name: 'crm' }), 'app_id')
  const customer = { name: 'Acme', country: 'US', currency: 'USD', appId }
  const customerId = textField(await admin('/customers', customer), 'id')
  const issued = await admin(`/admin/apps/${appId}/provisioning-keys`, { customer_ids: [customerId] })
  return { appId, customerId, key: textField(issued, 'provisioning_key') }
}

async function forward(sent: Request, baseUrl: string): Promise<Response> {
  const { pathname, search } = new URL(sent.url)
  const type = sent.headers.get('content-type')
  return fetch(new URL(`${pathname}${search}`, baseUrl), {
    method: sent.method,
    ...(type !== null && { headers: { 'content-type': type }, body: await sent.text() }),
    signal: AbortSignal.timeout(10_000),
  })
}

const CHANGING = /\/provision\/(?:add|update|delete)\?/

/** Between the two: loses requests that change something, or the answers to them, or has too many of them. */
class LossyNetwork {
  readonly secrets: string[] = []
  readonly #fetch: (request: Request) => Promise<Response>
  #fault: { readonly kind: Exclude<FarFault, 'refuse'>; left: number } | undefined
  #recovered = Promise.withResolvers<void>()

  constructor(fetch: (request: Request) => Promise<Response>) {
    this.#fetch = fetch
  }

  fail(kind: Exclude<FarFault, 'refuse'>, requests: number): void {
    this.#fault = { kind, left: requests }
  }

  recover(): void {
    this.#fault = undefined
    this.#recovered.resolve()
    this.#recovered = Promise.withResolvers()
  }

  async carry(request: Request): Promise<Response> {
    const fault =
      CHANGING.test(request.url) && this.#fault !== undefined && this.#fault.left > 0 ? this.#fault : undefined
    if (fault !== undefined) fault.left -= 1
    const recovered = this.#recovered.promise
    if (fault?.kind === 'throttle') {
      return Response.json({ status_code: '429', error: 'true' }, { status: 429, headers: { 'retry-after': '2' } })
    }
    if (fault?.kind !== 'lose_request') {
      const response = await this.#fetch(request)
      const text = await response.text()
      const [, password] = /"password":"([^"]+)"/.exec(text) ?? []
      if (password !== undefined) this.secrets.push(password)
      if (fault === undefined) return new Response(text, response)
    }
    await recovered
    return new Response(undefined, { status: 502 })
  }
}
