import { sql, type Selectable } from 'kysely'
import type { ODataQuery } from '../../odata/query.ts'
import type { SearchPage, SearchSource } from '../../odata/search.ts'
import { appendAudit, type AuditEntry } from '../../store/audit.ts'
import type { Queries } from '../../store/database.ts'
import {
  changeItem,
  maskItem,
  type GlobalInformationChange,
  type GlobalInformationItem,
} from '../model/global-information.ts'
import { MASK } from '../model/mask.ts'
import { noAccess } from '../model/refusal.ts'
import type { StepValue } from '../model/step-parameters.ts'
import { readDataTypeRules } from './data-type-rules.ts'
import { lockEnvironment } from './environment-lock.ts'
import { auditChainOf, type EnvironmentChange } from './environments.ts'
import { runSearch, type SearchParts } from './run-search.ts'
import type { RequestTables } from './schema.ts'
import { booleanColumn, integerColumn, nullable, textColumn } from './search-fields.ts'

/** Encrypts protected values; what one place has cannot be read at another. */
export type ItemCipher = {
  readonly encrypt: (plaintext: string, place: Place) => string
  readonly decrypt: (envelope: string, place: Place) => string
}
type Row = Selectable<RequestTables['global_information_items']>
type Place = { readonly table: string; readonly row: string; readonly field: string }

/** As it is shown: of a protected item, the mask. */
export type ShownItem = {
  readonly name: string
  readonly data_type_id: number
  readonly data_type: string
  readonly is_protected: boolean
  readonly list_id: number | null
  readonly value: string | null
}

const SHOWN_VALUE = sql`case when i.is_protected and i.value is not null then ${sql.lit(MASK)} else i.value end`
const SHOWN = sql`i.name, i.data_type_id, t.name as data_type, i.is_protected, i.list_id, ${SHOWN_VALUE} as value`

/** A protected value can neither be shown nor be found out by searching for it. */
const sourceOf = (environmentId: number): SearchSource => ({
  from: sql`from global_information_items i join data_types t using (data_type_id)
    where i.environment_id = ${environmentId}`,
  columns: SHOWN,
  key: 'name',
  fields: {
    name: textColumn(sql`i.name`),
    dataTypeID: integerColumn(sql`i.data_type_id`),
    dataType: textColumn(sql`t.name`),
    isProtected: booleanColumn(sql`i.is_protected`),
    listID: nullable(integerColumn(sql`i.list_id`)),
    value: nullable(textColumn(sql`(${SHOWN_VALUE})`)),
  },
})

/** Values that all requests of an environment can refer to. */
export class GlobalInformation {
  readonly #parts: SearchParts
  readonly #cipher: ItemCipher

  constructor(parts: SearchParts, cipher: ItemCipher) {
    this.#parts = parts
    this.#cipher = cipher
  }

  search(environmentId: number, query: ODataQuery): Promise<SearchPage<ShownItem>> {
    return runSearch(this.#parts, { source: sourceOf(environmentId), query })
  }

  /** Rejects with `resource_not_found`. */
  async find(environmentId: number, name: string): Promise<ShownItem> {
    const [item] = await this.findAll(environmentId, [name])
    if (item === undefined) throw noAccess('global information item', name, 'name')
    return item
  }

  /** Those of these names that there are, in the order of the names. */
  async findAll(environmentId: number, names: readonly string[]): Promise<readonly ShownItem[]> {
    const { rows } = await this.#parts.database.query((db) =>
      sql<ShownItem>`select ${SHOWN} from global_information_items i join data_types t using (data_type_id)
        where i.environment_id = ${environmentId} and i.name = any(${[...new Set(names)]}::text[])
        order by array_position(${[...new Set(names)]}::text[], i.name::text)`.execute(db),
    )
    return rows
  }

  /** The values of those of these names that there are and that have one; protected ones as they are, as secrets. */
  async valuesOf(
    queries: Queries,
    environmentId: number,
    names: readonly string[],
  ): Promise<ReadonlyMap<string, StepValue>> {
    const rows = await readRows(queries, environmentId, names)
    return new Map(
      rows.flatMap((row) => {
        const { name, value, isProtected } = this.#toItem(row, { isReadable: true })
        return value === undefined ? [] : [[name, { value, isSecret: isProtected }] as const]
      }),
    )
  }

  /**
   * Puts and removes items, all of them or none; the others stay as they are. Rejects with `invalid_request`, see
   * `changeItem`.
   */
  update({
    environmentId,
    actor,
    changes,
  }: EnvironmentChange & { readonly changes: readonly GlobalInformationChange[] }): Promise<void> {
    return this.#parts.database.transaction(async (tx) => {
      await lockEnvironment(tx, environmentId)
      const rules = await readDataTypeRules(tx)
      const known = await this.#before(tx, environmentId, changes)
      const items = changes.map((change, index) => {
        const before = known.get(change.name)
        const after = change.remove === true ? undefined : changeItem(before, change, { rules, place: String(index) })
        return { name: change.name, before, after }
      })
      const audited: AuditEntry[] = []
      for (const { name, before, after } of items) {
        if (JSON.stringify(before) === JSON.stringify(after)) continue
        await (after === undefined ? removeItem(tx, environmentId, name) : this.#put(tx, environmentId, after))
        audited.push({
          chain: auditChainOf(environmentId),
          actor,
          entity: 'global_information_item',
          entityId: name,
          action: after === undefined ? 'remove' : before === undefined ? 'create' : 'update',
          ...(before !== undefined && { before: maskItem(before) }),
          ...(after !== undefined && { after: maskItem(after) }),
        })
      }
      await appendAudit(tx, audited)
    })
  }

  /** The items that are to change. Values that others take the place of are not read: they may be unreadable. */
  async #before(tx: Queries, environmentId: number, changes: readonly GlobalInformationChange[]) {
    const names = changes.map(({ name }) => name)
    const kept = new Set(
      changes
        .filter(({ remove, value }) => remove !== true && (value === undefined || value === MASK))
        .map(({ name }) => name),
    )
    const rows = await readRows(tx, environmentId, names)
    return new Map(rows.map((row) => [row.name, this.#toItem(row, { isReadable: kept.has(row.name) })]))
  }

  /** Its fields are in the order of `changeItem`. Unless `isReadable`, a protected value is the mask. */
  #toItem(row: Row, { isReadable }: { readonly isReadable: boolean }): GlobalInformationItem {
    const value = row.value === null ? undefined : row.is_protected ? this.#open(row, row.value, isReadable) : row.value
    return {
      name: row.name,
      dataTypeId: row.data_type_id,
      isProtected: row.is_protected,
      ...(row.list_id !== null && { listId: row.list_id }),
      ...(value !== undefined && { value }),
    }
  }

  #open({ environment_id, name }: Row, envelope: string, isReadable: boolean): string {
    return isReadable ? this.#cipher.decrypt(envelope, placeOf(environment_id, name)) : MASK
  }

  async #put(tx: Queries, environmentId: number, item: GlobalInformationItem): Promise<void> {
    const { name, value } = item
    const kept =
      value !== undefined && item.isProtected ? this.#cipher.encrypt(value, placeOf(environmentId, name)) : value
    const columns = {
      data_type_id: item.dataTypeId,
      is_protected: item.isProtected,
      list_id: item.listId ?? null,
      value: kept ?? null,
    }
    await tx
      .insertInto('global_information_items')
      .values({ environment_id: environmentId, name, ...columns })
      .onConflict((conflict) => conflict.columns(['environment_id', 'name']).doUpdateSet(columns))
      .execute()
  }
}

async function readRows(queries: Queries, environmentId: number, names: readonly string[]): Promise<readonly Row[]> {
  return queries
    .selectFrom('global_information_items')
    .selectAll()
    .where('environment_id', '=', environmentId)
    .where(sql<boolean>`name = any(${[...names]}::text[])`)
    .execute()
}

const removeItem = (tx: Queries, environmentId: number, name: string) =>
  tx
    .deleteFrom('global_information_items')
    .where('environment_id', '=', environmentId)
    .where('name', '=', name)
    .execute()

/** What the encryption is bound to: in another environment, or under another name, the value cannot be read. */
const placeOf = (environmentId: number, name: string): Place => ({
  table: 'global_information_items',
  row: `${environmentId}/${name}`,
  field: 'value',
})
