/** What the main thread asks of the PGlite worker. Requests are answered in order, one at a time. */
export type PgliteRequest =
  | { readonly type: 'query'; readonly id: number; readonly sql: string; readonly parameters: readonly unknown[] }
  | { readonly type: 'close'; readonly id: number }

/** The worker's answers; `ready` comes once, before any other. */
export type PgliteResponse =
  | { readonly type: 'ready' }
  | {
      readonly type: 'result'
      readonly id: number
      /** Of whatever type Kysely derives from the query: only the asker knows. */
      readonly rows: never[]
      readonly affectedRows: number | undefined
    }
  | { readonly type: 'failure'; readonly id: number; readonly error: PgliteFailure }
  | { readonly type: 'closed'; readonly id: number }

/** A database error with the fields that structured cloning of an Error would lose. */
export type PgliteFailure = {
  readonly message: string
  readonly code: string | undefined
  readonly constraint: string | undefined
}

export type PgliteWorkerData = { readonly dataDir: string }
