import { sql } from 'kysely'
import type { ProvisioningDatabase } from './database.ts'

/** Somebody who asked a line to stop, or to go on, sending text messages. */
export type OptOut = {
  /** The wireless number that asked. */
  readonly number: string
  /** The customer's line that it asked. */
  readonly line: string
  readonly state: 'stop' | 'unstop'
  /** In milliseconds since 1970. */
  readonly updatedAt: number
}

const REPORT_MAX = 10_000

/** What recipients asked for, as the messaging platform reports it. */
export class OptOuts {
  readonly #database: ProvisioningDatabase

  constructor(database: ProvisioningDatabase) {
    this.#database = database
  }

  /** Keeps the newest word of each recipient to each line; an older one changes nothing. */
  async put(optOuts: readonly OptOut[]): Promise<void> {
    if (optOuts.length === 0) return
    await this.#database.query((db) =>
      sql`
        insert into messaging_opt_outs as known (line, number, state, updated_at)
        select distinct on (line, number) line, number, state, to_timestamp(at / 1000.0)
        from jsonb_to_recordset(${JSON.stringify(optOuts.map(({ updatedAt, ...optOut }) => ({ ...optOut, at: updatedAt })))}::jsonb)
          as given (line text, number text, state text, at bigint)
        order by line, number, at desc
        on conflict (line, number) do update set state = excluded.state, updated_at = excluded.updated_at
        where excluded.updated_at >= known.updated_at`.execute(db),
    )
  }

  /** Those of a customer's present lines in this state, newest first; at most 10,000. */
  async report(query: {
    readonly customerId: string
    readonly state: OptOut['state']
    readonly line?: string | undefined
    readonly from?: number | undefined
    readonly to?: number | undefined
  }): Promise<readonly OptOut[]> {
    const { customerId, state, line, from, to } = query
    const { rows } = await this.#database.query((db) =>
      sql<{ number: string; line: string; state: OptOut['state']; updated_at: Date }>`
        select number, line, state, updated_at from messaging_opt_outs
        where state = ${state}
          and line in (select e164 from services where customer_id = ${customerId} and state <> 'ended')
          and ${line === undefined ? sql`true` : sql`line = ${line}`}
          and ${from === undefined ? sql`true` : sql`updated_at >= ${new Date(from)}`}
          and ${to === undefined ? sql`true` : sql`updated_at <= ${new Date(to)}`}
        order by updated_at desc, line, number limit ${REPORT_MAX}`.execute(db),
    )
    return rows.map((row) => ({ ...row, updatedAt: row.updated_at.getTime() }))
  }
}
