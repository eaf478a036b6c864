import type { ApiResponse } from './checked-request.ts'
import { textField } from './checked-request.ts'
import { ProvisioningRig, type ProvisioningRigOptions } from './provisioning-rig.ts'

/** An environment of an app of its own, with a key that sees it. */
export type RigEnvironment = { readonly name: string; readonly appId: string; readonly key: string }

/** The IDI API over a store of its own, with whatever environments a test makes. */
export class IdiRig {
  readonly provisioning: ProvisioningRig
  #environments = 0

  static async start(options: ProvisioningRigOptions): Promise<IdiRig> {
    return new IdiRig(await ProvisioningRig.start(options))
  }

  private constructor(provisioning: ProvisioningRig) {
    this.provisioning = provisioning
  }

  async addEnvironment(): Promise<RigEnvironment> {
    this.#environments += 1
    const name = `Test-${this.#environments}`
    const { provisioning } = this
    const appId = textField(await provisioning.admin('POST', '/admin/apps', { name: `billing ${name}` }), 'app_id')
    const issued = await provisioning.admin('POST', `/admin/apps/${appId}/provisioning-keys`, {})
    await provisioning.admin('PUT', `/admin/provisioning/environments/${name}`, { appId })
    return { name, appId, key: textField(issued, 'provisioning_key') }
  }

  /** Sends a request to the API of an environment; `path` is what follows `api/`. */
  send(environment: RigEnvironment, method: string, path: string, body?: unknown): Promise<ApiResponse> {
    return this.provisioning.request(method, `/ProvisioningManagement/2X/${environment.name}/api/${path}`, {
      key: environment.key,
      ...(body !== undefined && { body }),
    })
  }

  stop(): Promise<void> {
    return this.provisioning.stop()
  }
}
