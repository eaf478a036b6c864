import type { LineType } from '../../model/eligibility.ts'
import type { SandboxFaultKind } from './fault.ts'

type Magic = {
  readonly fault: SandboxFaultKind
  /** Only at the first attempt, so that a repetition gets through. */
  readonly isOnce?: true
  readonly delayMs?: number
}

/** By the last four digits of a number: what befalls requests with it. docs/provisioning.md has the table. */
const FAULT_ENDINGS: Readonly<Record<string, Magic>> = {
  '0190': { fault: 'timeout_before_commit', isOnce: true },
  '0191': { fault: 'timeout_after_commit', isOnce: true },
  '0192': { fault: 'late_arrival', isOnce: true, delayMs: 5_000 },
  '0193': { fault: 'late_success', delayMs: 5_000 },
  '0194': { fault: 'partial_batch' },
  '0195': { fault: 'throttle', isOnce: true, delayMs: 2_000 },
  '0196': { fault: 'refuse' },
  '0197': { fault: 'foc_rejection' },
  '0198': { fault: 'slow', delayMs: 30_000 },
  '0199': { fault: 'duplicate_callback' },
}

/** What the carrier says of a number before anybody orders it. */
type MagicJudgement = { readonly lineType: LineType; readonly isElsewhere: boolean }
const JUDGEMENT_ENDINGS: Readonly<Record<string, MagicJudgement>> = {
  '0187': { lineType: 'voip', isElsewhere: false },
  '0188': { lineType: 'mobile', isElsewhere: false },
  '0189': { lineType: 'landline', isElsewhere: true },
}

const ending = (e164: string): string => e164.slice(-4)

/** What befalls the `attempt`-th request with this number because of its digits. */
export function magicFaultOf(e164: string, attempt: number): Magic | undefined {
  const magic = FAULT_ENDINGS[ending(e164)]
  return magic?.isOnce === true && attempt > 1 ? undefined : magic
}

export const magicJudgementOf = (e164: string): MagicJudgement | undefined => JUDGEMENT_ENDINGS[ending(e164)]

/** Whether the sandbox does something out of the ordinary with the number. */
export const isMagic = (e164: string): boolean =>
  FAULT_ENDINGS[ending(e164)] !== undefined || JUDGEMENT_ENDINGS[ending(e164)] !== undefined
