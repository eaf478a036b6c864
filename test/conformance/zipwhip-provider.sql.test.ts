import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { ZIPWHIP_CAPABILITIES, ZipwhipProvider } from '../../src/provisioning/adapters/zipwhip/provider.ts'
import { FarZipwhip } from '../support/far-zipwhip.ts'
import { STORES } from '../support/records.ts'
import { ZipwhipScene } from '../support/zipwhip-scene.ts'
import { describeNumberProvider, type ProviderUnderTest } from './number-provider.ts'

const POLL_MS = 50

async function startProvider(): Promise<ProviderUnderTest> {
  const far = await FarZipwhip.start()
  const { key } = far.scene.own
  const provider = new ZipwhipProvider({ baseUrl: far.url, apiKey: key, pollMs: POLL_MS, clock: systemClock })
  await provider.start()
  return {
    provider,
    productId: 'prd_text-enablement',
    beginning: 'enable',
    secrets: far.secrets,
    freshNumber: () => far.scene.freshNumber(),
    misbehave: (fault, requests) => far.misbehave(fault, requests),
    behave: () => far.behave(),
    countLines: (e164) => far.countLines(e164),
    externalIdOf: (e164) => far.externalIdOf(e164),
    stop: async () => {
      await provider.stop()
      await far.stop()
    },
  }
}

describeNumberProvider({
  name: 'zipwhip before a second gateway, which is another process',
  capabilities: ZIPWHIP_CAPABILITIES,
  start: startProvider,
})

describe.each(STORES)('a gateway whose lines another gateway delivers, on %s', (store) => {
  let far: FarZipwhip
  let near: ZipwhipScene
  beforeAll(async () => {
    far = await FarZipwhip.start()
    near = await ZipwhipScene.start({
      store,
      provisioning: { zipwhipProvider: { url: far.url, pollMs: POLL_MS } },
      zipwhipProviderKey: far.scene.own.key,
    })
    await near.rig.database.query((db) =>
      db.updateTable('products').set({ provider: 'zipwhip' }).where('kind', '=', 'messaging').execute(),
    )
  })
  afterAll(async () => {
    await near.stop()
    await far.stop()
  })

  it('begins, changes and ends them there', async () => {
    const number = await near.beginLine(near.freshNumber(), { vendor_customer_id: 'Acme_1' })
    await far.scene.reach(number, 'provisioned')
    expect(await far.externalIdOf(number)).toBe('Acme_1')
    await near.transactionOf('provision/update', { phone_number: number, vendor_customer_id: 'Acme_2' })
    await expect.poll(() => far.externalIdOf(number), { timeout: 10_000 }).toBe('Acme_2')
    await expect.poll(() => near.vendorIdOf(number), { timeout: 10_000 }).toBe('Acme_2')
    await near.endLine(number)
    expect(await far.scene.codeOf('provision/status', { phone_number: number })).toBe('404')
    expect(await far.countLines(number)).toBe(0)
  })

  it('knows what is provisioned there', async () => {
    const number = far.scene.freshNumber()
    await far.scene.transactionOf('provision/add', { phone_number: number }, { by: far.scene.other })
    expect(await near.codeOf('provision/eligible', { phone_number: number })).toBe('112')
    expect(await near.codeOf('provision/add', { phone_number: number })).toBe('112')
  })

  it('places no second line when the answer to the first request is lost', async () => {
    await far.misbehave('lose_answer', 1)
    const number = near.freshNumber()
    await near.transactionOf('provision/add', { phone_number: number })
    await expect.poll(() => far.countLines(number), { timeout: 10_000 }).toBe(1)
    await far.behave()
    await near.reach(number, 'provisioned')
    expect(await far.countOrders(number)).toBe(1)
  })

  it('says that it is not available while the other one is not there, and keeps the key to itself', async () => {
    far.disconnect()
    expect(await near.codeOf('provision/eligible', { phone_number: near.freshNumber() })).toBe('503')
    const rows = await near.rig.database.query((db) => db.selectFrom('provider_calls').selectAll().execute())
    expect(rows.length).toBeGreaterThan(10)
    expect(far.said()).toContain('/api/20140925/provision/add')
    for (const secret of far.secrets) {
      expect(JSON.stringify(rows)).not.toContain(secret)
      for (const logged of [...near.rig.logLines, far.said()]) expect(logged).not.toContain(secret)
    }
  })
})
