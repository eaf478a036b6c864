import { describe, expect, it } from 'vitest'
import { assertCommandAllowed, isCommandAllowed } from './call-commands.ts'
import type { CallCommand } from './call-commands.ts'
import type { Call, CallState } from './call.ts'
import { toCallId } from './ids.ts'

const callIn = (state: CallState, more: Partial<Call> = {}): Call => ({
  callId: toCallId('callhalf-1:0'),
  state,
  direction: 'incoming',
  remoteNumber: '+15550100',
  trackingId: 'track-1',
  startedAt: 1_000,
  ...more,
})

describe('commands by state', () => {
  const allowed: readonly (readonly [CallState, readonly CallCommand[]])[] = [
    ['initiating', ['end']],
    ['alerting', ['end']],
    ['ringing', ['answer', 'end']],
    ['active', ['hold', 'end']],
    ['held', ['resume', 'end']],
    ['remote_held', ['end']],
    ['detached', []],
  ]
  it.each(allowed)('a call that is %s takes exactly %j', (state, commands) => {
    const taken = (['answer', 'hold', 'resume', 'end'] as const).filter((command) =>
      isCommandAllowed(command, callIn(state)),
    )
    expect(taken).toEqual(commands)
  })

  it('a call that is being initiated can be answered when the network says so', () => {
    expect(isCommandAllowed('answer', callIn('initiating', { canAnswer: true }))).toBe(true)
    expect(isCommandAllowed('hold', callIn('initiating', { canAnswer: true }))).toBe(false)
  })

  it('a remotely held call can be resumed when the network says so', () => {
    expect(isCommandAllowed('resume', callIn('remote_held', { canResume: true }))).toBe(true)
  })

  it('a detached call takes nothing, whatever the network said before', () => {
    expect(isCommandAllowed('answer', callIn('detached', { canAnswer: true, canResume: true }))).toBe(false)
  })

  it('a conflict names the state and the states that would do', () => {
    expect(() => assertCommandAllowed('hold', callIn('ringing'))).toThrow(
      expect.objectContaining({
        code: 'call_state_conflict',
        detail: 'The call is ringing; hold needs a call that is active.',
        fields: { state: 'ringing', command: 'hold', allowed: ['active'] },
      }),
    )
  })

  it('a released call is gone, not in conflict', () => {
    expect(() => assertCommandAllowed('end', callIn('released'))).toThrow(
      expect.objectContaining({ code: 'call_not_found' }),
    )
  })
})
