import { sql } from 'kysely'
import type { Queries } from '../../store/database.ts'

/**
 * What may go wrong at the sandbox carrier:
 *
 * - `timeout_before_commit`: the request is lost and not answered;
 * - `timeout_after_commit`: it is carried out and not answered;
 * - `late_arrival`: it is not answered, is unknown for `delayMs`, and is carried out then;
 * - `late_success`: every line is reported as rejected, and is there after all `delayMs` later;
 * - `duplicate_callback`: what became of it is told three times;
 * - `partial_batch`: half of the lines, and at least one, are rejected;
 * - `throttle`: not carried out; to be repeated after `delayMs`;
 * - `refuse`: not carried out, and never will be;
 * - `foc_rejection`: the losing carrier rejects a port on the day that was agreed;
 * - `slow`: it takes `delayMs`.
 */
export const SANDBOX_FAULTS = [
  'timeout_before_commit',
  'timeout_after_commit',
  'late_arrival',
  'late_success',
  'duplicate_callback',
  'partial_batch',
  'throttle',
  'refuse',
  'foc_rejection',
  'slow',
] as const
export type SandboxFaultKind = (typeof SANDBOX_FAULTS)[number]

export const SANDBOX_OPERATIONS = ['execute', 'poll', 'find', 'cancel'] as const
export type SandboxOperation = (typeof SANDBOX_OPERATIONS)[number]

/** Faults that can befall what is not a new request, too. */
export const FAULTS_OF_ANY_OPERATION: ReadonlySet<SandboxFaultKind> = new Set([
  'timeout_before_commit',
  'timeout_after_commit',
  'throttle',
])

export type SandboxFault = {
  readonly fault: SandboxFaultKind
  /** What it befalls; `execute` unless given. Only timeouts and `throttle` befall the others. */
  readonly operation?: SandboxOperation
  /** Only requests with this number (E.164). Of its lines, only this one is rejected. */
  readonly number?: string
  readonly productId?: string
  /** How many requests it is for, from now on; all of them unless given. */
  readonly requests?: number
  /** 1,000 unless given. For a timeout: how long it takes until the connection is lost. */
  readonly delayMs?: number
}

/** A fault as it is kept; `requests` counts down to 0. */
export type ScriptedFault = SandboxFault & Required<Pick<SandboxFault, 'operation' | 'delayMs'>>

export const FAULT_DELAY_MS = 1_000
export const FAULTS_MAX = 1_000

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
