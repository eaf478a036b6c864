import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { STORES } from '../../../../test/support/records.ts'
import { startTestProvisioning, type TestProvisioning } from '../../../../test/support/provisioning.ts'
import type { ProviderAction } from '../../model/provider.ts'
import { synchroniseProviders, type InstalledAdapter } from './provider-registry.ts'

const adapter = (id: string, version: string, actions: readonly ProviderAction[]): InstalledAdapter => ({
  id,
  about: { name: `Carrier ${id}`, description: `Is ${id}.`, version },
  capabilities: { actions: new Set(actions) },
})

describe.each(STORES)('the registry of providers on %s', (store) => {
  let rig: TestProvisioning
  beforeAll(async () => {
    rig = await startTestProvisioning(store)
  })
  afterAll(() => rig.stop())

  const read = async (statement: ReturnType<typeof sql<object>>) => {
    const { rows } = await rig.database.query((db) => statement.execute(db))
    return rows
  }
  const actions = () =>
    read(sql`select p.code as provider, a.provider_action_id, a.code from provider_actions a
      join action_providers p using (provider_id) order by p.code, a.code`)
  const installations = (id: string) =>
    read(sql`select i.name, i.major_version, i.minor_version, i.service_pack, i.build_number, i.is_active
      from installations i join installation_types t using (installation_type_id) where t.name = ${id}
      order by installation_id`)

  test('instances that start at once write each provider, action and parameter once', async () => {
    const adapters = [adapter('north', '0.1.0', ['begin', 'end']), adapter('south', '2.3.4+5', ['enable'])]
    await Promise.all([1, 2, 3, 4].map(() => synchroniseProviders(rig.database, adapters)))
    expect(await actions()).toMatchObject([
      { provider: 'north', code: 'Begin_Service' },
      { provider: 'north', code: 'End_Service' },
      { provider: 'south', code: 'Enable_Service' },
    ])
    expect(
      await read(sql`select d.name, d.data_type_id, d.is_required, d.sequence_number from action_data_definitions d
        join provider_actions a using (provider_action_id) where a.code = 'End_Service' order by sequence_number`),
    ).toEqual([
      { name: 'Number', data_type_id: 7, is_required: true, sequence_number: 0 },
      { name: 'Product', data_type_id: 3, is_required: true, sequence_number: 1 },
      { name: 'Reason', data_type_id: 3, is_required: true, sequence_number: 2 },
    ])
    expect(await installations('south')).toEqual([
      {
        name: 'Carrier south 2.3.4+5',
        major_version: 2,
        minor_version: 3,
        service_pack: 4,
        build_number: 5,
        is_active: true,
      },
    ])
  })

  test('what is written keeps its id when it is written again, with its new names', async () => {
    await synchroniseProviders(rig.database, [adapter('east', '1.0.0', ['begin', 'move'])])
    const before = await actions()
    await read(sql`update action_data_definitions set name = 'Gone' where name = 'ToConnection'`)
    await synchroniseProviders(rig.database, [adapter('east', '1.0.0', ['begin'])])
    expect(await actions()).toEqual(before)
    await synchroniseProviders(rig.database, [adapter('east', '1.0.0', ['begin', 'move'])])
    expect(
      await read(sql`select d.name from action_data_definitions d join provider_actions a using (provider_action_id)
        join action_providers p using (provider_id) where a.code = 'Move_Service' and p.code = 'east'
        order by d.sequence_number`),
    ).toEqual(['Number', 'Product', 'ToLocation', 'ToConnection'].map((name) => ({ name })))
  })

  test('the version that starts is the active one, and one that is gone is not', async () => {
    await synchroniseProviders(rig.database, [adapter('west', '1.0.0', ['begin'])])
    await synchroniseProviders(rig.database, [adapter('west', '1.1.0', ['begin'])])
    expect(await installations('west')).toMatchObject([
      { name: 'Carrier west 1.0.0', is_active: false },
      { name: 'Carrier west 1.1.0', is_active: true },
    ])
    await synchroniseProviders(rig.database, [])
    expect(await installations('west')).toMatchObject([{ is_active: false }, { is_active: false }])
  })

  test('an adapter whose version cannot be read does not start', async () => {
    const started = synchroniseProviders(rig.database, [adapter('odd', 'one', ['begin'])])
    await expect(started).rejects.toMatchObject({ code: 'internal' })
    expect(await installations('odd')).toEqual([])
  })
})
