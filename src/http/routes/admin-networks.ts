import type { Hono } from 'hono'
import * as v from 'valibot'
import { GatewayError } from '../../core/errors.ts'
import type { NetworkId, Shard } from '../../core/ids.ts'
import type { NetworkControl, NetworkLifecycle } from '../../core/network-control.ts'
import type { Network, NetworkRepository } from '../../core/network.ts'
import type { HttpEnv } from '../context.ts'
import type { DefineOperation } from '../operation.ts'
import {
  NetworkChangeSchema,
  NetworkChannelsSchema,
  NetworkResourceSchema,
  NewNetworkSchema,
  toNetworkChannels,
  toNetworkResource,
} from '../schemas/network.ts'
import { NetworkParams } from '../schemas/parameters.ts'

const TAG = 'Networks'
const NetworkListSchema = v.array(NetworkResourceSchema)

export type NetworkRouteDeps = {
  readonly networks: NetworkRepository
  readonly networkControl: NetworkControl & NetworkLifecycle
  readonly defaultShard: Shard
}

/** Connecting provider deployments, and their health. */
export function addNetworkRoutes(app: Hono<HttpEnv>, define: DefineOperation, deps: NetworkRouteDeps): void {
  addReadRoutes(app, define, deps)
  addRestartRoute(app, define, deps)
  addWriteRoutes(app, define, deps)
  addDeleteRoute(app, define, deps)
}

function addWriteRoutes(app: Hono<HttpEnv>, define: DefineOperation, deps: NetworkRouteDeps): void {
  const { networks, networkControl } = deps
  app.post(
    '/admin/networks',
    define(
      {
        operationId: 'createNetwork',
        tag: TAG,
        summary: 'Connect a network',
        access: 'admin',
        body: NewNetworkSchema,
        responses: { 201: { description: 'Recorded; it is being connected', schema: NetworkResourceSchema } },
      },
      async ({ body }) => {
        const split = networkControl.parseConfig(body.adapter, body.config)
        const { name, adapter, shard = deps.defaultShard } = body
        const network = await networks.create({ name, adapter, shard, ...split })
        await networkControl.apply(network.networkId)
        return { status: 201, json: toResource(networkControl, network) }
      },
    ),
  )
  app.patch(
    '/admin/networks/:network_id',
    define(
      {
        operationId: 'changeNetwork',
        tag: TAG,
        summary: 'Change a network',
        description: 'A changed configuration restarts the connection before this answers.',
        access: 'admin',
        params: NetworkParams,
        body: NetworkChangeSchema,
        responses: { 200: { description: 'The changed network', schema: NetworkResourceSchema } },
        errors: ['network_not_found'],
      },
      async ({ params, body }) => {
        const { network_id: networkId } = params
        const { adapter, config } = await existingNetwork(networks, networkId)
        const secrets = body.config === undefined ? {} : await networks.secretsOf(networkId)
        const network = await networks.update(networkId, {
          ...(body.name !== undefined && { name: body.name }),
          ...(body.config !== undefined && networkControl.parseConfig(adapter, body.config, { config, secrets })),
        })
        if (network === undefined) throw new GatewayError('network_not_found')
        await networkControl.apply(networkId)
        return { status: 200, json: toResource(networkControl, network) }
      },
    ),
  )
}

function addReadRoutes(
  app: Hono<HttpEnv>,
  define: DefineOperation,
  { networks, networkControl }: NetworkRouteDeps,
): void {
  app.get(
    '/admin/networks',
    define(
      {
        operationId: 'listNetworks',
        tag: TAG,
        summary: 'List the networks',
        access: 'admin',
        responses: { 200: { description: 'The networks', schema: NetworkListSchema } },
      },
      async () => ({
        status: 200,
        json: (await networks.list()).map((network) => toResource(networkControl, network)),
      }),
    ),
  )
  app.get(
    '/admin/networks/:network_id',
    define(
      {
        operationId: 'getNetwork',
        tag: TAG,
        summary: 'Get a network',
        access: 'admin',
        params: NetworkParams,
        responses: { 200: { description: 'The network', schema: NetworkResourceSchema } },
        errors: ['network_not_found'],
      },
      async ({ params }) => ({
        status: 200,
        json: toResource(networkControl, await existingNetwork(networks, params.network_id)),
      }),
    ),
  )
  app.get(
    '/admin/networks/:network_id/channels',
    define(
      {
        operationId: 'getNetworkChannels',
        tag: TAG,
        summary: "Get the health of a network's channels and subscriptions",
        description: 'As seen by the instance that answers.',
        access: 'admin',
        params: NetworkParams,
        responses: { 200: { description: 'The channels', schema: NetworkChannelsSchema } },
        errors: ['network_not_found'],
      },
      async ({ params }) => {
        const { networkId } = await existingNetwork(networks, params.network_id)
        const status = networkControl.status(networkId)
        const channels = networkControl.channels(networkId)
        const subscriptions = networkControl.subscriptions(networkId)
        return { status: 200, json: toNetworkChannels({ networkId, status, channels, subscriptions }) }
      },
    ),
  )
}

function addRestartRoute(
  app: Hono<HttpEnv>,
  define: DefineOperation,
  { networks, networkControl }: NetworkRouteDeps,
): void {
  app.post(
    '/admin/networks/:network_id/channels/restart',
    define(
      {
        operationId: 'restartNetworkChannels',
        tag: TAG,
        summary: 'Start stopped channels again',
        description:
          'For channels that stopped for good (a refused login, a duplicate channel set), once the cause is mended. Every instance does it within about a second.',
        access: 'admin',
        params: NetworkParams,
        responses: { 204: { description: 'They are being started' } },
        errors: ['network_not_found'],
      },
      async ({ params }) => {
        if (!(await networks.requestChannelRestart(params.network_id))) throw new GatewayError('network_not_found')
        await networkControl.apply(params.network_id)
        return { status: 204 }
      },
    ),
  )
}

function addDeleteRoute(
  app: Hono<HttpEnv>,
  define: DefineOperation,
  { networks, networkControl }: NetworkRouteDeps,
): void {
  app.delete(
    '/admin/networks/:network_id',
    define(
      {
        operationId: 'deleteNetwork',
        tag: TAG,
        summary: 'Disconnect a network and forget it',
        access: 'admin',
        params: NetworkParams,
        responses: { 204: { description: 'Deleted' } },
        errors: ['network_not_found', 'in_use'],
      },
      async ({ params }) => {
        if (!(await networks.remove(params.network_id))) throw new GatewayError('network_not_found')
        await networkControl.apply(params.network_id)
        return { status: 204 }
      },
    ),
  )
}

const toResource = (control: NetworkControl & NetworkLifecycle, network: Network) =>
  toNetworkResource(network, control.status(network.networkId), control.channels(network.networkId))

async function existingNetwork(networks: NetworkRepository, networkId: NetworkId): Promise<Network> {
  const network = await networks.find(networkId)
  if (network === undefined) throw new GatewayError('network_not_found')
  return network
}
