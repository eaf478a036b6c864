import type { FarFault } from '../conformance/number-provider.ts'
import { serveApp } from './serve-app.ts'
import { ZIPWHIP_BASE } from './zipwhip-calls.ts'
import { ZipwhipScene } from './zipwhip-scene.ts'
import type { StoreName } from './records.ts'

/** A second gateway behind a socket, as a Zipwhip server that adapters are pointed at. */
export class FarZipwhip {
  readonly scene: ZipwhipScene
  readonly url: URL
  /** The key, and every password that was given out. */
  readonly secrets: string[]
  readonly #stopServing: () => void
  readonly #network: LossyNetwork

  static async start(store: StoreName): Promise<FarZipwhip> {
    const scene = await ZipwhipScene.start({ store })
    const network = new LossyNetwork(scene.rig.fetch)
    const server = await serveApp((request) => network.carry(request))
    return new FarZipwhip(scene, network, server)
  }

  private constructor(
    scene: ZipwhipScene,
    network: LossyNetwork,
    server: { readonly url: string; readonly stop: () => void },
  ) {
    this.scene = scene
    this.secrets = network.secrets
    this.secrets.push(scene.own.key)
    this.url = new URL(`${server.url}${ZIPWHIP_BASE}`)
    this.#network = network
    this.#stopServing = server.stop
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

  /** At the far gateway's carrier. */
  async countLines(e164: string): Promise<number> {
    const rows = await this.scene.rig.database.query((db) =>
      db.selectFrom('sandbox_lines').select('line_id').where('e164', '=', e164).where('ended_at', 'is', null).execute(),
    )
    return rows.length
  }

  /** It cannot be reached any longer. */
  disconnect(): void {
    this.#network.recover()
    this.#stopServing()
  }

  async stop(): Promise<void> {
    this.disconnect()
    await this.scene.stop()
  }

  async #setStatus(status: string): Promise<void> {
    const { rig, own } = this.scene
    await rig.admin('PUT', `/admin/customers/${own.customerId}/status`, { status })
  }
}

const CHANGING = /\/provision\/(?:add|update|delete)\?/

/** Between the two: loses requests that change something, or the answers to them, or has too many of them. */
class LossyNetwork {
  readonly secrets: string[] = []
  readonly #fetch: (request: Request) => Response | Promise<Response>
  #fault: { readonly kind: Exclude<FarFault, 'refuse'>; left: number } | undefined
  #recovered = Promise.withResolvers<void>()

  constructor(fetch: (request: Request) => Response | Promise<Response>) {
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
