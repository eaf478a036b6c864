import * as v from 'valibot'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { startTestRecords } from '../../test/support/records.ts'
import type { TestRecords } from '../../test/support/records.ts'
import { ScriptedAdapterType } from '../../test/support/scripted-adapter.ts'
import { until } from '../../test/support/until.ts'
import { unusedPorts } from '../../test/support/unused-ports.ts'
import { systemClock } from '../core/clock.ts'
import { GatewayError } from '../core/errors.ts'
import { ShardSchema, toNetworkId, toSubscriberId } from '../core/ids.ts'
import type { NetworkId } from '../core/ids.ts'
import { silentLogger } from '../core/logger.ts'
import type { Network } from '../core/network.ts'
import { Apps } from '../records/apps.ts'
import { RecordsDirectory } from '../records/directory.ts'
import { Networks } from '../records/networks.ts'
import { Subscribers } from '../records/subscribers.ts'
import { NetworkSupervisor } from './network-supervisor.ts'

const shard = v.parse(ShardSchema, 'main')
const NODES = { nodes: ['https://xsp1.example.net'] }

let store: TestRecords
let directory: RecordsDirectory
let networks: Networks
let provider: ScriptedAdapterType
let supervisor: NetworkSupervisor

beforeAll(async () => {
  store = await startTestRecords('pglite')
  directory = new RecordsDirectory({ records: store.records, clock: systemClock, log: silentLogger })
  await directory.start()
  networks = new Networks(store.records, directory)
})
afterAll(async () => {
  await directory.stop()
  await store.stop()
})
beforeEach(() => {
  provider = new ScriptedAdapterType()
  supervisor = createSupervisor(directory)
})
afterEach(async () => {
  await supervisor.stop(AbortSignal.timeout(5_000))
  for (const { networkId } of await networks.list()) await networks.remove(networkId)
})

const unused = () => Promise.reject(new GatewayError('internal'))

function createSupervisor(followed: RecordsDirectory): NetworkSupervisor {
  return new NetworkSupervisor({
    networks,
    directory: followed,
    adapterTypes: [provider],
    portsFor: () => ({
      sink: { deliver: unused, markStale: unused, newestUpstream: unused },
      ...unusedPorts,
      applicationId: 'callhalf-tests',
      log: silentLogger,
      clock: systemClock,
      random: () => 0,
    }),
    clock: systemClock,
    // No jitter: a failed start is tried again after half a second.
    random: () => 0,
    log: silentLogger,
  })
}

let names = 0
const record = (adapter = 'scripted'): Promise<Network> => {
  names += 1
  return networks.create({ name: `lab ${names}`, shard, adapter, config: NODES, secrets: { password: `p${names}` } })
}
const adaptersOf = (networkId: NetworkId) =>
  provider.made.filter(({ context }) => context.network.networkId === networkId)

const adapterOf = (network: Network) => adaptersOf(network.networkId)[0]

describe('starting', () => {
  it('starts an adapter for each recorded network, with its own configuration and channel set', async () => {
    const [one, two] = [await record(), await record()]
    await supervisor.start()
    expect(supervisor.status(one.networkId)).toMatchObject({ state: 'running', attempts: 0 })
    expect(adaptersOf(one.networkId).map(({ context }) => context.channelSetId)).toEqual([one.channelSetId])
    expect(adaptersOf(two.networkId).map(({ context }) => context.config)).toEqual([
      { ...NODES, password: `p${names}` },
    ])
    expect(supervisor.overview().map(({ isReady }) => isReady)).toEqual([true, true])
  })

  it('a network that cannot be started is tried again and holds up nobody', async () => {
    const [bad, good] = [await record(), await record()]
    let failures = 1
    provider.script.start = ({ context }) => {
      if (context.network.networkId !== bad.networkId || failures === 0) return Promise.resolve()
      failures -= 1
      return Promise.reject(new GatewayError('provider_unavailable'))
    }
    await supervisor.start()
    expect(supervisor.status(good.networkId).state).toBe('running')
    expect(supervisor.status(bad.networkId)).toMatchObject({
      state: 'retrying',
      attempts: 1,
      reason: 'provider_unavailable: The network cannot be reached',
      retryAt: expect.any(Number),
    })
    expect(supervisor.channels(bad.networkId)).toEqual([])
    await expect(
      supervisor.execute(
        bad.networkId,
        { type: 'list', subscriberId: toSubscriberId('ann') },
        AbortSignal.timeout(1_000),
      ),
    ).rejects.toMatchObject({ code: 'provider_unavailable', fields: { sent: false } })
    await until('the second attempt', () => supervisor.status(bad.networkId).state === 'running' || undefined)
    expect(adaptersOf(bad.networkId)).toHaveLength(2)
    expect(adaptersOf(good.networkId)).toHaveLength(1)
  })

  it('a start that hangs does not keep the gateway from stopping, nor its adapter running', async () => {
    const { networkId } = await record()
    provider.script.start = () => new Promise(() => undefined)
    const starting = supervisor.start()
    await until('the start to hang', () => adaptersOf(networkId).length === 1 || undefined)
    await supervisor.stop(AbortSignal.timeout(5_000))
    await starting
    expect(adaptersOf(networkId)[0]?.state).toBe('stopped')
    expect(supervisor.status(networkId).state).toBe('stopped')
  })

  it('an adapter type that the gateway does not have is a reason, not a crash', async () => {
    const { networkId } = await record('telegraph')
    await supervisor.start()
    expect(supervisor.status(networkId)).toMatchObject({
      state: 'retrying',
      reason: 'invalid_request: adapter: must be one of: scripted',
    })
  })

  it('an internal failure shows the operator nothing of itself', async () => {
    const { networkId } = await record()
    provider.script.start = () => Promise.reject(new Error('password p1 refused'))
    await supervisor.start()
    expect(supervisor.status(networkId).reason).toBe('internal: see the log')
  })
})

describe('following the records', () => {
  it('apply restarts an adapter whose configuration or password changed, and only then', async () => {
    const { networkId } = await record()
    await supervisor.start()
    await supervisor.apply(networkId)
    expect(adaptersOf(networkId)).toHaveLength(1)
    await networks.update(networkId, { name: `renamed ${names}` })
    await supervisor.apply(networkId)
    expect(adaptersOf(networkId)).toHaveLength(1)
    await networks.update(networkId, { secrets: { password: 'new' } })
    await supervisor.apply(networkId)
    expect(adaptersOf(networkId).map(({ state }) => state)).toEqual(['stopped', 'started'])
    expect(adaptersOf(networkId)[1]?.context.config.password).toBe('new')
  })

  it('an adapter runs on while the secrets of its network cannot be read', async () => {
    const { networkId } = await record()
    await supervisor.start()
    const readable = vi.spyOn(networks, 'secretsOf').mockRejectedValue(new GatewayError('store_unavailable'))
    await networks.update(networkId, { name: `renamed ${names}` })
    await expect(supervisor.apply(networkId)).rejects.toMatchObject({ code: 'store_unavailable' })
    expect(adaptersOf(networkId).map(({ state }) => state)).toEqual(['started'])
    readable.mockRestore()
    await supervisor.apply(networkId)
    expect(adaptersOf(networkId).map(({ state }) => state)).toEqual(['started'])
  })

  it('a change that was made by another instance is followed without being told', async () => {
    await supervisor.start()
    const { networkId } = await record()
    await until('the new network', () => supervisor.status(networkId).state === 'running' || undefined)
    await networks.update(networkId, { config: { ...NODES, note: 'changed' } })
    await until('the restart', () => adaptersOf(networkId).length === 2 || undefined)
    await networks.remove(networkId)
    await until('the stop', () => adaptersOf(networkId)[1]?.state === 'stopped' || undefined)
    await until('its end', () => supervisor.overview().length === 0 || undefined)
    expect(supervisor.status(networkId).state).toBe('stopped')
  })

  it('stopped channels are restarted when an operator asks for it, at whatever instance, and once', async () => {
    const { networkId } = await record()
    await supervisor.start()
    expect(await networks.requestChannelRestart(networkId)).toBe(true)
    const [adapter] = adaptersOf(networkId)
    await until('the restart of the channels', () => adapter?.restarts === 1 || undefined)
    await networks.update(networkId, { name: `renamed ${names}` })
    await supervisor.apply(networkId)
    expect(adapter?.restarts).toBe(1)
    expect(adaptersOf(networkId).map(({ state }) => state)).toEqual(['started'])
    expect(await networks.requestChannelRestart(toNetworkId('nowhere'))).toBe(false)
  })

  it('changes that come at once end in one adapter with the last configuration', async () => {
    const { networkId } = await record()
    await supervisor.start()
    await Promise.all(
      Array.from({ length: 10 }, async (_, n) => {
        await networks.update(networkId, { config: { ...NODES, note: `change ${n}` } })
        await supervisor.apply(networkId)
      }),
    )
    const running = adaptersOf(networkId).filter(({ state }) => state === 'started')
    expect(running).toHaveLength(1)
    const { config } = (await networks.find(networkId)) ?? {}
    expect(running[0]?.context.config.note).toBe(config?.['note'])
  })

  it('an adapter hears of its own subscribers only', async () => {
    const [mine, other] = [await record(), await record()]
    const apps = new Apps(store.records, directory)
    const subscribers = new Subscribers(store.records, directory)
    const { app } = await apps.create({ name: `crm ${names}`, shard })
    await supervisor.start()
    await subscribers.put({
      appId: app.appId,
      networkId: mine.networkId,
      subscriberId: toSubscriberId('ann@example.net'),
      subscriberNumber: '+15550100100',
    })
    await until('the news', () => adapterOf(mine)?.wantedChanges === 1 || undefined)
    expect(adapterOf(mine)?.context.wanted.list()).toEqual(['ann@example.net'])
    expect(adapterOf(other)?.wantedChanges).toBe(0)
    expect(adapterOf(other)?.context.wanted.list()).toEqual([])
    await apps.remove(app.appId)
    await until('the removal', () => adapterOf(mine)?.wantedChanges === 2 || undefined)
  })

  it('stop stops every adapter, and a stopped supervisor starts nothing more', async () => {
    const [one, two] = [await record(), await record()]
    await supervisor.start()
    await supervisor.stop(AbortSignal.timeout(5_000))
    expect(provider.made.map(({ state }) => state)).toEqual(['stopped', 'stopped'])
    await supervisor.apply(one.networkId)
    await supervisor.apply(two.networkId)
    expect(provider.made).toHaveLength(2)
  })
})
