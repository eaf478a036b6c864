import { sql } from 'kysely'
import { invalidRequest } from '../../../core/parse-input.ts'
import type { ODataQuery } from '../../odata/query.ts'
import type { SearchPage } from '../../odata/search.ts'
import {
  dataDefinitionsWhere,
  dataDefinitionsWithItems,
  definitionsOf,
  type AskedObject,
  type DataDefinitionWithItem,
  type DefinitionRow,
  type FoundDataDefinition,
} from './definition-sources.ts'
import { runSearch, type SearchParts } from './run-search.ts'
import { textColumn } from './search-fields.ts'

/** What a search is in the order of, unless it says. */
const inOrderOf = (query: ODataQuery, ...fields: readonly string[]): ODataQuery =>
  query.orderBy.length > 0 ? query : { ...query, orderBy: fields.map((name) => ({ field: name, isDescending: false })) }

/** Data definitions of objects that are looked at in one search. */
const SHOWN_MAX = 100_000

/** Searches provisionable object definitions and their data definitions, each in one environment. */
export class DefinitionSearch {
  readonly #parts: SearchParts

  constructor(parts: SearchParts) {
    this.#parts = parts
  }

  definitions(environmentId: number, query: ODataQuery): Promise<SearchPage<DefinitionRow>> {
    return runSearch(this.#parts, { source: definitionsOf(environmentId), query })
  }

  /** In their order, unless another is asked for; of a definition that is not there, none. */
  dataDefinitions(
    environmentId: number,
    definitionId: number,
    query: ODataQuery,
  ): Promise<SearchPage<FoundDataDefinition>> {
    const wanted = sql`p.environment_id = ${environmentId} and p.definition_id = ${definitionId}`
    return runSearch(this.#parts, { source: dataDefinitionsWhere(wanted), query: inOrderOf(query, 'sequenceNumber') })
  }

  /** Those of several definitions, by code; of a code that there is not, none. */
  dataDefinitionsOfCodes(
    environmentId: number,
    codes: readonly string[],
    query: ODataQuery,
  ): Promise<SearchPage<FoundDataDefinition>> {
    const wanted = sql`p.environment_id = ${environmentId}
      and p.code in (select jsonb_array_elements_text(${JSON.stringify(codes)}::jsonb))`
    const source = dataDefinitionsWhere(wanted)
    const fields = { ...source.fields, code: textColumn(sql`p.code`) }
    return runSearch(this.#parts, { source: { ...source, fields }, query: inOrderOf(query, 'code', 'sequenceNumber') })
  }

  /**
   * The data definitions of objects for a transition of theirs, with what the objects have. Of a code that there is
   * not, none; an object that there is not has the default values. Rejects with `invalid_request` for a transition that
   * there is not, and for too many data definitions at once.
   */
  async dataDefinitionsWithItems(
    environmentId: number,
    asked: readonly AskedObject[],
    query: ODataQuery,
  ): Promise<SearchPage<DataDefinitionWithItem>> {
    const transitions = await this.#parts.database.query((db) =>
      db.selectFrom('object_transitions').select('transition_id').execute(),
    )
    const unknown = asked.flatMap(({ transitionID }, index) =>
      transitions.some((transition) => transition.transition_id === transitionID)
        ? []
        : [{ field: `${index}.transitionID`, message: 'there is no such transition' }],
    )
    if (unknown.length > 0) throw invalidRequest(unknown)
    await this.#refuseTooMany(environmentId, asked)
    return runSearch(this.#parts, { source: dataDefinitionsWithItems(environmentId, asked), query })
  }

  /** No plan tells how many there are: what is asked for is in no table. */
  async #refuseTooMany(environmentId: number, asked: readonly AskedObject[]): Promise<void> {
    const codes = [...new Set(asked.map(({ code }) => code))]
    const { rows } = await this.#parts.database.query((db) =>
      sql<{ code: string; count: number }>`
        select p.code, count(*)::integer as count
        from object_definitions p join data_definitions d using (definition_id)
        where p.environment_id = ${environmentId} and p.code = any(${codes}::text[]) group by p.code`.execute(db),
    )
    const counts = new Map(rows.map(({ code, count }) => [code, count]))
    const total = asked.reduce((sum, { code }) => sum + (counts.get(code) ?? 0), 0)
    if (total <= SHOWN_MAX) return
    throw invalidRequest([{ field: '', message: `must be about up to ${SHOWN_MAX} data definitions, not ${total}` }])
  }
}
