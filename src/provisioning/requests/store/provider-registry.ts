import { sql } from 'kysely'
import { GatewayError } from '../../../core/errors.ts'
import { PROVIDER_ACTIONS, type NumberProvider } from '../../model/provider.ts'
import type { ProvisioningDatabase, Queries } from '../../store/database.ts'
import { ACTION_CATALOGUE, type ActionEntry, type ActionParameter } from '../model/action-catalogue.ts'
import { parseVersion } from '../model/installed-version.ts'

/** What is known of an adapter in this process. */
export type InstalledAdapter = Pick<NumberProvider, 'id' | 'about'> & {
  readonly capabilities: Pick<NumberProvider['capabilities'], 'actions'>
}

/**
 * Writes down which providers there are, what they can do and which versions of them run here, so that scenarios can
 * refer to it. What is written already keeps its id; what an adapter can do no longer stays, since scenarios name it.
 * The version that starts becomes the active one; one whose adapter is gone is active no longer. Instances that start
 * at once follow one another.
 */
export function synchroniseProviders(
  database: ProvisioningDatabase,
  adapters: readonly InstalledAdapter[],
): Promise<void> {
  return database.transaction(async (tx) => {
    await sql`lock table action_providers in share row exclusive mode`.execute(tx)
    const present: number[] = []
    for (const adapter of adapters) {
      const providerId = await putProvider(tx, adapter)
      for (const operation of PROVIDER_ACTIONS) {
        if (!adapter.capabilities.actions.has(operation)) continue
        const actionId = await putAction(tx, { provider_id: providerId, operation }, ACTION_CATALOGUE[operation])
        await putParameters(tx, actionId, ACTION_CATALOGUE[operation].parameters)
      }
      present.push(await putInstallation(tx, providerId, adapter))
    }
    await sql`update installations set is_active = false
      where is_active and not (installation_id = any(${present}::integer[]))`.execute(tx)
    await sql`update installations set is_active = true
      where not is_active and installation_id = any(${present}::integer[])`.execute(tx)
  })
}

async function putProvider(tx: Queries, { id, about }: InstalledAdapter): Promise<number> {
  const names = { name: about.name, description: about.description }
  const row = await tx
    .insertInto('action_providers')
    .values({ code: id, ...names })
    .onConflict((conflict) => conflict.column('code').doUpdateSet(names))
    .returning('provider_id')
    .executeTakeFirstOrThrow()
  return row.provider_id
}

async function putAction(
  tx: Queries,
  key: { readonly provider_id: number; readonly operation: string },
  { code, name, description }: ActionEntry,
): Promise<number> {
  const names = { code, name, description }
  const row = await tx
    .insertInto('provider_actions')
    .values({ ...key, ...names })
    .onConflict((conflict) => conflict.columns(['provider_id', 'operation']).doUpdateSet(names))
    .returning('provider_action_id')
    .executeTakeFirstOrThrow()
  return row.provider_action_id
}

async function putParameters(tx: Queries, actionId: number, parameters: readonly ActionParameter[]): Promise<void> {
  const rows = parameters.map(({ name, dataTypeId, description, isRequired }, sequence_number) => ({
    name,
    data_type_id: dataTypeId,
    description,
    is_required: isRequired,
    sequence_number,
  }))
  const wanted = sql`jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
    as wanted (name text, data_type_id integer, description text, is_required boolean, sequence_number integer)`
  await sql`delete from action_data_definitions d where d.provider_action_id = ${actionId}
    and not exists (select from ${wanted} where wanted.name = d.name)`.execute(tx)
  await sql`update action_data_definitions d set data_type_id = wanted.data_type_id, default_value = null,
      description = wanted.description, is_required = wanted.is_required, sequence_number = wanted.sequence_number
    from ${wanted} where d.provider_action_id = ${actionId} and d.name = wanted.name`.execute(tx)
  await sql`insert into action_data_definitions
      (provider_action_id, name, data_type_id, description, is_required, sequence_number)
    select ${actionId}, name, data_type_id, description, is_required, sequence_number from ${wanted}
    where not exists (select from action_data_definitions d
      where d.provider_action_id = ${actionId} and d.name = wanted.name)
    order by sequence_number`.execute(tx)
}

async function putInstallation(tx: Queries, providerId: number, { id, about }: InstalledAdapter): Promise<number> {
  const version = parseVersion(about.version)
  if (version === undefined) {
    throw new GatewayError('internal', { cause: new Error(`adapter ${id} has the version ${about.version}`) })
  }
  const type = await tx
    .insertInto('installation_types')
    .values({ provider_id: providerId, name: id, display_name: about.name })
    .onConflict((conflict) => conflict.column('provider_id').doUpdateSet({ name: id, display_name: about.name }))
    .returning('installation_type_id')
    .executeTakeFirstOrThrow()
  const key = {
    installation_type_id: type.installation_type_id,
    major_version: version.majorVersion,
    minor_version: version.minorVersion,
    service_pack: version.servicePack,
    build_number: version.buildNumber,
  }
  const names = { name: `${about.name} ${about.version}`, description: about.description }
  const installation = await tx
    .insertInto('installations')
    .values({ ...key, ...names, is_active: false })
    .onConflict((conflict) =>
      conflict
        .columns(['installation_type_id', 'major_version', 'minor_version', 'service_pack', 'build_number'])
        .doUpdateSet(names),
    )
    .returning('installation_id')
    .executeTakeFirstOrThrow()
  return installation.installation_id
}
