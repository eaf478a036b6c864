import { sql } from 'kysely'
import type { Queries } from '../../store/database.ts'
import { ExpressionError } from '../model/expression.ts'
import { REQUEST_STATUS } from '../model/status.ts'
import type { RequestRow } from '../store/request-rows.ts'
import type { RequestStep } from '../store/request-steps.ts'
import { ENGINE, enterStatus } from './request-state.ts'
import { readStepValues, type ReadGlobals } from './step-values.ts'
import { appendUnsentCall } from './unsent-call.ts'

const NOTE = 'Held by the safeguard: the internal id is not allowed.'

/** Whether requests about the object may reach providers. Without an internal id they may only when all may. */
export async function isAllowed(tx: Queries, request: RequestRow): Promise<boolean> {
  const { rows } = await sql<{ is_allowed: boolean }>`
    select not is_safeguarded or exists (select from allowed_internal_ids a
      where a.environment_id = e.environment_id and a.internal_id = ${request.internal_id}) as is_allowed
    from environments e where environment_id = ${request.environment_id}`.execute(tx)
  return rows[0]?.is_allowed === true
}

/**
 * Holds a request whose lock the caller has, and writes down for each step that is not done what would have been sent,
 * and that it was not. Call it last in the transaction.
 */
export async function holdRequest(
  tx: Queries,
  held: { readonly request: RequestRow; readonly steps: readonly RequestStep[]; readonly readGlobals: ReadGlobals },
): Promise<void> {
  const { request } = held
  const left = held.steps.filter(({ state }) => state !== 'done')
  const requestId = request.request_id
  for (const step of left) {
    await appendUnsentCall(tx, { requestId, step, reason: NOTE, more: await describe(tx, held, step) })
  }
  if (left.length === 0) await appendUnsentCall(tx, { requestId, reason: NOTE })
  await enterStatus(tx, request, { to: REQUEST_STATUS.held, actor: ENGINE, note: NOTE })
}

async function describe(
  tx: Queries,
  { request, readGlobals }: { readonly request: RequestRow; readonly readGlobals: ReadGlobals },
  step: RequestStep,
): Promise<{ readonly parameters: Readonly<Record<string, string>> } | { readonly problem: string }> {
  try {
    const { shown } = await readStepValues(tx, { request, step, readGlobals })
    return { parameters: shown }
  } catch (error) {
    if (error instanceof ExpressionError) return { problem: error.message }
    throw error
  }
}
