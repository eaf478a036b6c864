import type { ColumnType, Generated } from 'kysely'
import type { LineOutcome } from '../../model/provider.ts'
import type { BigSerial, DefaultNow, Json } from '../../store/column-types.ts'
import type { SandboxFaultKind, SandboxOperation } from './fault.ts'
import type { LinePlan, SandboxOrderState, SandboxRequest } from './plan.ts'

/** What the sandbox keeps as a carrier would: its lines, its orders, and the faults that it was told to have. */
export type SandboxTables = {
  readonly sandbox_lines: {
    line_id: string
    account: string
    e164: string
    product: string
    state: 'active' | 'ended'
    attributes: ColumnType<Readonly<Record<string, unknown>>, string | undefined, string>
    started_at: DefaultNow
    ended_at: Date | null
  }
  readonly sandbox_orders: {
    ref: string
    account: string
    idempotency_key: string
    request: Json<SandboxRequest>
    state: SandboxOrderState
    plan: Json<readonly LinePlan[]>
    results: Json<readonly LineOutcome[]>
    visible_at: Date
    ready_at: Date
    late_ms: number | null
    notices_each: number
    notices_due: Generated<number>
    created_at: DefaultNow
  }
  readonly sandbox_faults: {
    fault_id: BigSerial
    account: string
    fault: SandboxFaultKind
    operation: SandboxOperation
    e164: string | null
    product: string | null
    remaining: number | null
    delay_ms: number
    created_at: DefaultNow
  }
}
