import type { LineOutcome, ProviderAction, ProviderLine, ProviderRequest } from '../../model/provider.ts'
import type { ScriptedFault } from './fault.ts'
import { magicFaultOf } from './magic-numbers.ts'

/** A request as the carrier keeps it: without what must not be kept. */
export type SandboxRequest = {
  readonly action: ProviderAction
  readonly productId: string
  readonly lines: readonly ProviderLine[]
}

/**
 * `accepted` until its time comes; `late`: reported as rejected, and carried out all the same a while later; `done`
 * and `cancelled` are final.
 */
export type SandboxOrderState = 'accepted' | 'late' | 'done' | 'cancelled'

/** What is to become of a line when its order's time comes, unless something is in the way. */
export type LinePlan = {
  readonly e164: string
  readonly rejection?: { readonly code: string; readonly message: string }
}

/** How a request is going to be carried out. */
export type Plan = {
  readonly lines: readonly LinePlan[]
  /** From its arrival until it is done. */
  readonly takesMs: number
  /** In milliseconds since 1970: not before then. */
  readonly notBefore?: number
  /** How long nobody can find it. */
  readonly unseenMs: number
  /** How long after the rejection the lines are there after all. */
  readonly lateMs?: number
  /** How often each change is told. */
  readonly notices: number
}

const NOTICES_REPEATED = 3
const REJECTED = { code: 'number_refused', message: 'the number cannot be served' }
const FOC_REJECTED = { code: 'foc_rejected', message: 'the losing carrier has rejected the port' }

/** The fault that befalls a request because of the digits of one of its numbers; the first one decides. */
export function magicFaultOfRequest({ lines }: SandboxRequest, attempt: number): ScriptedFault | undefined {
  for (const { e164 } of lines) {
    const magic = magicFaultOf(e164, attempt)
    if (magic !== undefined) {
      return { operation: 'execute', fault: magic.fault, number: e164, delayMs: magic.delayMs ?? 1_000 }
    }
  }
  return undefined
}

/** What the carrier is going to do with a request that it takes. */
export function planRequest(
  request: SandboxRequest,
  fault: ScriptedFault | undefined,
  timing: { readonly fulfilMs: number; readonly portMs: number },
): Plan {
  const isPort = request.action === 'port'
  const notBefore = isPort ? requestedFocDate(request) : undefined
  const isSlow = fault?.fault === 'slow'
  const usualMs = isPort ? timing.portMs : timing.fulfilMs
  return {
    lines: request.lines.map((line, index) => planLine(request, { line, index, fault })),
    takesMs: isSlow ? Math.max(fault.delayMs, usualMs) : usualMs,
    ...(notBefore !== undefined && { notBefore }),
    unseenMs: fault?.fault === 'late_arrival' ? fault.delayMs : 0,
    ...(fault?.fault === 'late_success' && { lateMs: fault.delayMs }),
    notices: fault?.fault === 'duplicate_callback' ? NOTICES_REPEATED : 1,
  }
}

function planLine(
  { action, lines }: SandboxRequest,
  {
    line,
    index,
    fault,
  }: { readonly line: ProviderLine; readonly index: number; readonly fault: ScriptedFault | undefined },
): LinePlan {
  const isMeant = (isAmongMeant: boolean) => (fault?.number === undefined ? isAmongMeant : fault.number === line.e164)
  const magic = magicFaultOf(line.e164, 1)?.fault
  const isPartial =
    magic === 'partial_batch' || (fault?.fault === 'partial_batch' && isMeant(index >= Math.floor(lines.length / 2)))
  if (isPartial) return { e164: line.e164, rejection: REJECTED }
  const isFocRejected = magic === 'foc_rejection' || (fault?.fault === 'foc_rejection' && isMeant(true))
  return action === 'port' && isFocRejected ? { e164: line.e164, rejection: FOC_REJECTED } : { e164: line.e164 }
}

/** The latest that is asked for: the numbers of a request come over together. */
function requestedFocDate({ lines }: SandboxRequest): number | undefined {
  const dates = lines.flatMap(({ attributes }) => {
    const date = attributes['requestedFocDate']
    return typeof date === 'number' && Number.isFinite(date) ? [date] : []
  })
  return dates.length === 0 ? undefined : Math.max(...dates)
}

/** What is kept and recorded of a request: all but the customer's PIN at the losing carrier. */
export const toStoredRequest = ({ action, productId, lines }: ProviderRequest): SandboxRequest => ({
  action,
  productId,
  lines: lines.map((line) => ({ ...line, attributes: withoutPin(line.attributes) })),
})

/** Whether a repetition asks for what was asked for: the details of its lines are as they were the first time. */
export const isSameRequest = (a: SandboxRequest, b: SandboxRequest): boolean => identify(a) === identify(b)

const identify = ({ action, productId, lines }: SandboxRequest): string =>
  JSON.stringify([action, productId, lines.map(({ e164 }) => e164).toSorted()])

function withoutPin(attributes: ProviderLine['attributes']): ProviderLine['attributes'] {
  const carrier = attributes['losingCarrier']
  if (typeof carrier !== 'object' || carrier === null || !('pin' in carrier)) return attributes
  const { pin: _, ...rest } = carrier
  return { ...attributes, losingCarrier: rest }
}

/** All lines of a plan, as rejected. */
export const rejectAll = (
  plan: readonly LinePlan[],
  rejection: { readonly code: string; readonly message: string },
): readonly LineOutcome[] => plan.map(({ e164 }) => ({ e164, kind: 'rejected', ...rejection }))
