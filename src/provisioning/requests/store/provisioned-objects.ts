import { sql } from 'kysely'
import { invalidRequest, type FieldError } from '../../../core/parse-input.ts'
import type { ODataQuery } from '../../odata/query.ts'
import type { SearchPage, SearchSource } from '../../odata/search.ts'
import { appendAudit } from '../../store/audit.ts'
import type { Queries } from '../../store/database.ts'
import { noAccess } from '../model/refusal.ts'
import { OBJECT_STATUS } from '../model/status.ts'
import type { DataTypeRules } from '../model/data-type-rules.ts'
import { readDataTypeRules } from './data-type-rules.ts'
import { auditChainOf } from './environments.ts'
import { runSearch, type SearchParts } from './run-search.ts'
import { booleanColumn, hiddenColumn, indexed, integerColumn, nullable, textColumn } from './search-fields.ts'

/** Which object, within an environment: the code of its definition, and the caller's own id of it. */
export type ObjectKey = { readonly code: string; readonly internalId: string }
export type ObjectItem = ObjectKey & { readonly keyName: string; readonly value: string }

export type ObjectItemRow = {
  readonly code: string
  readonly internal_id: string
  readonly key_name: string
  readonly value: string
}
/** With what its definition says of it; null where the definition says no more of it. */
export type ExpandedItemRow = ObjectItemRow & {
  readonly data_type_id: number | null
  readonly data_type: string | null
  readonly default_value: string | null
  readonly is_required: boolean | null
  readonly is_visible: boolean | null
  readonly list_id: number | null
  readonly sequence_number: number | null
}

const ITEM_KEY = '#item'

const ITEM_FIELDS = {
  [ITEM_KEY]: hiddenColumn(sql`i.item_id`),
  code: textColumn(sql`i.code`),
  internalID: indexed(textColumn(sql`i.internal_id`)),
  value: { ...textColumn(sql`i.value`), indexedPrefix: { value: sql`left(i.value, 200)`, length: 200 } },
} as const satisfies SearchSource['fields']

const EXPANDED_FIELDS = {
  ...ITEM_FIELDS,
  name: indexed(textColumn(sql`i.key_name`)),
  dataType: nullable(textColumn(sql`t.name`)),
  dataTypeID: nullable(integerColumn(sql`d.data_type_id`)),
  defaultValue: nullable(textColumn(sql`d.default_value`)),
  isRequired: nullable(booleanColumn(sql`d.is_required`)),
  isVisible: nullable(booleanColumn(sql`d.is_visible`)),
  listID: nullable(integerColumn(sql`d.list_id`)),
  sequenceNumber: nullable(integerColumn(sql`d.sequence_number`)),
} as const satisfies SearchSource['fields']

/** What is provisioned in environments, and what is known of it: services of customers, and what callers add. */
export class ProvisionedObjects {
  readonly #parts: SearchParts

  constructor(parts: SearchParts) {
    this.#parts = parts
  }

  /** Items of these objects. */
  search(
    environmentId: number,
    { objects, query }: { readonly objects: readonly ObjectKey[]; readonly query: ODataQuery },
  ): Promise<SearchPage<ObjectItemRow>> {
    const codes = objects.map(({ code }) => code)
    const internalIds = objects.map(({ internalId }) => internalId)
    // Found first, and then searched: in whatever order they are asked for, no other items are looked at.
    const source = {
      from: sql`from provisioned_object_items i where i.item_id = any(array(
        select found.item_id from unnest(${codes}::text[], ${internalIds}::text[]) as named (code, internal_id),
          lateral (select item_id from provisioned_object_items as item where item.environment_id = ${environmentId}
            and item.internal_id = named.internal_id and item.code = named.code) as found))`,
      columns: sql`i.code, i.internal_id, i.key_name, i.value`,
      fields: { ...ITEM_FIELDS, keyName: textColumn(sql`i.key_name`) },
      key: ITEM_KEY,
    }
    return runSearch(this.#parts, { source, query })
  }

  /** Items of all objects, with what their definitions say of them. */
  searchExpanded(environmentId: number, query: ODataQuery): Promise<SearchPage<ExpandedItemRow>> {
    const source = {
      from: sql`from provisioned_object_items i
        left join object_definitions o on o.environment_id = i.environment_id and o.code = i.code
        left join data_definitions d on d.definition_id = o.definition_id and d.name = i.key_name
        left join data_types t on t.data_type_id = d.data_type_id
        where i.environment_id = ${environmentId}`,
      columns: sql`i.code, i.internal_id, i.key_name, i.value, d.data_type_id, t.name as data_type, d.default_value,
        d.is_required, d.is_visible, d.list_id, d.sequence_number`,
      fields: EXPANDED_FIELDS,
      key: ITEM_KEY,
    }
    return runSearch(this.#parts, { source, query })
  }

  /**
   * Sets items of objects, all or none. An object that there is not is made, and is `Pending` until something
   * provisions it. Rejects with `resource_not_found` for a code without a definition, and with `invalid_request` for
   * keys that the definition does not have, for those that are kept from a service, for values that are not of the
   * key's type, and for what is named twice.
   */
  put(
    environmentId: number,
    { items, actor }: { readonly items: readonly ObjectItem[]; readonly actor: string },
  ): Promise<void> {
    return this.#parts.database.transaction(async (tx) => {
      await checkItems(tx, environmentId, items)
      await writeItems(tx, environmentId, items)
      await appendAudit(tx, [
        {
          chain: auditChainOf(environmentId),
          actor,
          entity: 'provisioned_object_items',
          entityId: String(environmentId),
          action: 'put',
          after: items,
        },
      ])
    })
  }
}

type Known = {
  readonly code: string
  readonly name: string | null
  readonly is_built_in: boolean | null
  readonly data_type_id: number | null
}

async function checkItems(tx: Queries, environmentId: number, items: readonly ObjectItem[]): Promise<void> {
  const codes = [...new Set(items.map(({ code }) => code))]
  const { rows } = await sql<Known>`
    select o.code, d.name, d.is_built_in, d.data_type_id
    from object_definitions o left join data_definitions d using (definition_id)
    where o.environment_id = ${environmentId} and o.code = any(${codes}::text[])`.execute(tx)
  const keysOf = Map.groupBy(rows, ({ code }) => code)
  const unknown = items.findIndex(({ code }) => !keysOf.has(code))
  if (unknown >= 0) {
    throw noAccess('provisionable object definition', items[unknown]?.code ?? '', `${unknown}.code`)
  }
  const rules = await readDataTypeRules(tx)
  const seen = new Set<string>()
  const errors = items.flatMap((item, index): FieldError[] => {
    const wrong = problemOf(item, { rules, known: keysOf.get(item.code)?.find(({ name }) => name === item.keyName) })
    const place = JSON.stringify([item.code, item.internalId, item.keyName])
    const isRepeated = seen.has(place)
    seen.add(place)
    if (wrong !== undefined) return [{ field: `${index}.${wrong.field}`, message: wrong.message }]
    return isRepeated ? [{ field: `${index}.keyName`, message: 'must be named once for an object' }] : []
  })
  if (errors.length > 0) throw invalidRequest(errors)
}

function problemOf(
  { value }: ObjectItem,
  { rules, known }: { readonly rules: DataTypeRules; readonly known: Known | undefined },
): FieldError | undefined {
  if (known === undefined) return { field: 'keyName', message: "must be one of the definition's data definitions" }
  if (known.is_built_in === true) return { field: 'keyName', message: 'is kept from the service' }
  const problem = rules.problemOf(known.data_type_id ?? 0, value)
  return problem === undefined ? undefined : { field: 'value', message: problem }
}

async function writeItems(tx: Queries, environmentId: number, items: readonly ObjectItem[]): Promise<void> {
  const given = sql`jsonb_to_recordset(${JSON.stringify(items)}::jsonb)
    as given (code text, "internalId" text, "keyName" text, value text)`
  // In one order whoever writes, so that two who write the same never wait for each other.
  await sql`
    insert into provisioned_objects (environment_id, code, internal_id, status_id)
    select distinct ${environmentId}::integer, code, "internalId", ${OBJECT_STATUS.pending}::integer from ${given}
    order by code, "internalId"
    on conflict (environment_id, code, internal_id) do nothing`.execute(tx)
  await sql`
    insert into provisioned_object_items (object_id, environment_id, code, internal_id, key_name, value)
    select objects.object_id, objects.environment_id, objects.code, objects.internal_id, given."keyName", given.value
    from ${given} join provisioned_objects as objects
      on objects.environment_id = ${environmentId} and objects.code = given.code
        and objects.internal_id = given."internalId"
    order by objects.object_id, given."keyName"
    on conflict (object_id, key_name) do update set value = excluded.value`.execute(tx)
}
