import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ApiClient } from '../../src/cli/api-client.ts'
import { readConfig } from '../../src/config.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { Gateway } from '../../src/gateway.ts'
import { Simulator, type SimulatorOptions } from '../../src/simulator/simulator.ts'
import { copyEmbeddedTemplate } from './store-templates.ts'
import { until } from './until.ts'

const CREDENTIALS = { username: 'admin@example.net', password: 'correct horse' }

/** A gateway on embedded stores beside a simulator, both in this process, over real sockets. */
export type Installation = {
  readonly gateway: Gateway
  readonly simulator: Simulator
  /** The simulator's control API. */
  readonly control: ApiClient
  readonly admin: ApiClient
  readonly dataDir: string
  stop(): Promise<void>
}

export async function startInstallation(
  options: { readonly env?: Record<string, string>; readonly simulator?: Partial<SimulatorOptions> } = {},
): Promise<Installation> {
  const dataDir = await mkdtemp(join(tmpdir(), 'callhalf-e2e-'))
  await copyEmbeddedTemplate(join(dataDir, 'records'), 'catalogue')
  const simulator = new Simulator({
    ports: [0],
    controlPort: 0,
    ...CREDENTIALS,
    log: silentLogger,
    settings: { clickToDialPickupMs: null },
    ...options.simulator,
  })
  await simulator.start()
  const gateway = await startGateway(dataDir, options.env)
  return {
    gateway,
    simulator,
    control: new ApiClient({ baseUrl: simulator.controlUrl }),
    admin: new ApiClient({ baseUrl: gateway.url, key: gateway.adminKey }),
    dataDir,
    async stop() {
      await gateway.stop()
      await simulator.stop(AbortSignal.timeout(5_000))
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

export async function startGateway(dataDir: string, env: Record<string, string> = {}): Promise<Gateway> {
  const gateway = await Gateway.create(
    readConfig({
      PATH: process.env['PATH'],
      CALLHALF_PORT: '0',
      CALLHALF_DATA_DIR: dataDir,
      CALLHALF_ALLOW_PRIVATE_TARGETS: '127.0.0.0/8',
      CALLHALF_LOG_LEVEL: 'silent',
      ...env,
    }),
  )
  await gateway.start()
  return gateway
}

/** An app with subscribers of a network that runs on the simulator, monitored and ready. */
export type Tenant = {
  readonly networkId: string
  readonly appId: string
  readonly apiKey: string
  readonly client: ApiClient
  path(suffix: string): string
}

export async function addTenant(
  installation: Pick<Installation, 'admin' | 'control' | 'simulator'> & { readonly gateway: { readonly url: string } },
  subscribers: readonly { readonly id: string; readonly number: string; readonly name?: string }[],
  networkConfig: Readonly<Record<string, unknown>> = {},
): Promise<Tenant> {
  const { admin, control, simulator } = installation
  for (const { id, number } of subscribers) await control.call('POST', '/users', { user_id: id, number })
  const { body: network } = await admin.call('POST', '/admin/networks', {
    name: 'lab',
    adapter: 'broadsoft',
    config: { xsp: simulator.xspUrls, ...CREDENTIALS, subscribe: 'user', ...networkConfig },
  })
  const { body: app } = await admin.call('POST', '/admin/apps', { name: 'crm' })
  const { network_id: networkId } = network as { network_id: string }
  const { app_id: appId, api_key: apiKey } = app as { app_id: string; api_key: string }
  for (const { id, number, name } of subscribers) {
    await admin.call('PUT', `/admin/apps/${appId}/subscribers/${encodeURIComponent(id)}`, {
      network_id: networkId,
      subscriber_number: number,
      ...(name !== undefined && { subscriber_name: name }),
    })
  }
  await until('every subscriber to be subscribed', async () => {
    const { body } = await control.call('GET', '/subscriptions')
    return (body as { subscriptions: unknown[] }).subscriptions.length >= subscribers.length ? true : undefined
  })
  return {
    networkId,
    appId,
    apiKey,
    client: new ApiClient({ baseUrl: installation.gateway.url, key: apiKey }),
    path: (suffix) => `/apps/${appId}${suffix}`,
  }
}
