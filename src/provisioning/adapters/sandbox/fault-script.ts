import { sql } from 'kysely'
import type { Queries } from '../../store/database.ts'
import { FAULT_DELAY_MS } from './fault.ts'
import type { SandboxFault, SandboxFaultKind, SandboxOperation, ScriptedFault } from './fault.ts'

/** Replaces the script of an account. Of several faults that match a request, the first of the list befalls it. */
export async function writeFaults(tx: Queries, account: string, faults: readonly SandboxFault[]): Promise<void> {
  await tx.deleteFrom('sandbox_faults').where('account', '=', account).execute()
  if (faults.length === 0) return
  await tx
    .insertInto('sandbox_faults')
    .values(
      faults.map(({ fault, operation = 'execute', number, productId, requests, delayMs = FAULT_DELAY_MS }) => ({
        account,
        fault,
        operation,
        e164: number ?? null,
        product: productId ?? null,
        remaining: requests ?? null,
        delay_ms: delayMs,
      })),
    )
    .execute()
}

/** The script as it stands, with what has run out. */
export async function readFaults(queries: Queries, account: string): Promise<readonly ScriptedFault[]> {
  const rows = await queries
    .selectFrom('sandbox_faults')
    .selectAll()
    .where('account', '=', account)
    .orderBy('fault_id')
    .execute()
  return rows.map(toFault)
}

/** The fault that befalls a request, which is one fewer from then on. */
export async function takeFault(
  tx: Queries,
  about: {
    readonly account: string
    readonly operation: SandboxOperation
    readonly productId: string
    readonly numbers: readonly string[]
  },
): Promise<ScriptedFault | undefined> {
  const { rows } = await sql<FaultRow>`
    update sandbox_faults set remaining = remaining - 1
    where fault_id = (
      select fault_id from sandbox_faults
      where account = ${about.account} and operation = ${about.operation}
        and (e164 is null or e164 = any(${[...about.numbers]}::text[]))
        and (product is null or product = ${about.productId})
        and (remaining is null or remaining > 0)
      order by fault_id limit 1
      for update
    )
    returning fault, operation, e164, product, remaining, delay_ms`.execute(tx)
  const [row] = rows
  return row && toFault(row)
}

type FaultRow = {
  readonly fault: SandboxFaultKind
  readonly operation: SandboxOperation
  readonly e164: string | null
  readonly product: string | null
  readonly remaining: number | null
  readonly delay_ms: number
}

const toFault = ({ fault, operation, e164, product, remaining, delay_ms }: FaultRow): ScriptedFault => ({
  fault,
  operation,
  ...(e164 !== null && { number: e164 }),
  ...(product !== null && { productId: product }),
  ...(remaining !== null && { requests: remaining }),
  delayMs: delay_ms,
})
