import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openShop } from '../../../../test/support/order-rig.ts'
import { startTestProvisioning, type TestProvisioning } from '../../../../test/support/provisioning.ts'
import { STORES } from '../../../../test/support/records.ts'
import { Environments } from './environments.ts'

describe.each(STORES)('an environment on %s', (store) => {
  let rig: TestProvisioning
  let environments: Environments
  let shops = 0
  beforeAll(async () => {
    rig = await startTestProvisioning(store)
    environments = new Environments(rig.database)
  })
  afterAll(() => rig.stop())

  const open = () => {
    shops += 1
    const name = `shop${shops}`
    return openShop(rig.database, { name, start: `+1214556${String(shops).padStart(2, '0')}00`, provider: 'nobody' })
  }

  test('is given to another app while no customer is in it', async () => {
    const [one, other] = [await open(), await open()]
    await environments.put({ name: 'Empty', appId: one.appId })
    expect(await environments.put({ name: 'Empty', appId: other.appId })).toMatchObject({ appId: other.appId })
  })

  test('is not given to an app whose customers are not those in it', async () => {
    const [one, other] = [await open(), await open()]
    const name = 'Taken'
    await environments.put({ name, appId: one.appId })
    await environments.putAccount({ name, accountNumber: 1, customerId: one.customerId })
    await expect(environments.put({ name, appId: other.appId })).rejects.toMatchObject({ code: 'in_use' })
    expect(await environments.put({ name, appId: one.appId })).toMatchObject({ appId: one.appId })
    // Without an app it is the operator's; and can only go back to where its customers are.
    expect(await environments.put({ name })).not.toHaveProperty('appId')
    await expect(environments.put({ name, appId: other.appId })).rejects.toMatchObject({ code: 'in_use' })
    expect(await environments.put({ name, appId: one.appId })).toMatchObject({ appId: one.appId })
  })
})
