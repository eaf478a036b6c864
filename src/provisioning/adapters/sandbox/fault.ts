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
