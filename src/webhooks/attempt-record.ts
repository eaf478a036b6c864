import type { AttemptRecord } from '../core/delivery-record.ts'
import type { AttemptReport } from './attempt.ts'
import { nameOf } from './outcome.ts'

/** A report as it is kept. `number` counts from 1, over replays. */
export function toAttemptRecord(
  report: AttemptReport,
  { number, isReplay }: { readonly number: number; readonly isReplay: boolean },
): AttemptRecord {
  const { target, startedAt, outcome, timing, remoteAddress, reused, response } = report
  return {
    number,
    startedAt,
    target,
    outcome: nameOf(outcome),
    ...(outcome.status !== undefined && { status: outcome.status }),
    timing,
    ...(remoteAddress !== undefined && { remoteAddress }),
    ...(reused !== undefined && { reused }),
    ...(response !== undefined && { response }),
    ...(isReplay && { replay: true as const }),
  }
}

/** An attempt's fields of a log line; not the answer, which may say anything. */
export const attemptFields = ({ number, target, outcome, status, timing, remoteAddress, reused }: AttemptRecord) => ({
  attempt: number,
  target,
  outcome,
  status,
  dns_ms: timing.dnsMs,
  connect_ms: timing.connectMs,
  tls_ms: timing.tlsMs,
  first_byte_ms: timing.firstByteMs,
  total_ms: timing.totalMs,
  remote_address: remoteAddress,
  reused,
})
