import type { Call, CallState } from './call.ts'
import { GatewayError } from './errors.ts'

/** The commands on an existing call that the calls API document has. */
const CALL_COMMANDS = ['answer', 'hold', 'resume', 'end'] as const
export type CallCommand = (typeof CALL_COMMANDS)[number]

/**
 * The states in which a command makes sense, seen from the subscriber. `detached` allows nothing: the
 * call was sent away and the network no longer lets the subscriber control it. `released` is not listed
 * anywhere, because such a call is gone and the answer is `call_not_found`.
 */
export const STATES_ALLOWING: Readonly<Record<CallCommand, readonly CallState[]>> = {
  answer: ['ringing'],
  hold: ['active'],
  resume: ['held'],
  end: ['initiating', 'alerting', 'ringing', 'active', 'held', 'remote_held'],
}

/** Whether the network can be asked: by the state, or because it said itself that the command applies. */
export function isCommandAllowed(command: CallCommand, call: Call): boolean {
  if (STATES_ALLOWING[command].includes(call.state)) return true
  if (call.state === 'released' || call.state === 'detached') return false
  if (command === 'answer') return call.canAnswer === true
  return command === 'resume' && call.canResume === true
}

/**
 * Throws `call_not_found` for a call that has ended and `call_state_conflict`, with the state and the
 * states that would do, for one that does not take the command now.
 */
export function assertCommandAllowed(command: CallCommand, call: Call): void {
  if (call.state === 'released') throw new GatewayError('call_not_found', { detail: 'The call has ended.' })
  if (isCommandAllowed(command, call)) return
  const allowed = STATES_ALLOWING[command]
  throw new GatewayError('call_state_conflict', {
    detail: `The call is ${call.state}; ${command} needs a call that is ${allowed.join(' or ')}.`,
    fields: { state: call.state, command, allowed },
  })
}
