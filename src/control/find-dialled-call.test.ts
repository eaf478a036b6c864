import { describe, expect, it } from 'vitest'
import type { Call } from '../core/call.ts'
import { toCallId } from '../core/ids.ts'
import { findDialledCall } from './find-dialled-call.ts'

const attempt = { remoteNumber: '+15129104114', startedAt: 1_000_000 }

const call = (id: string, more: Partial<Call> = {}): Call => ({
  callId: toCallId(id),
  state: 'alerting',
  direction: 'outgoing',
  remoteNumber: '+15129104114',
  trackingId: 'track',
  startedAt: 1_000_500,
  ...more,
})

describe('findDialledCall', () => {
  it('finds the call that started when the request ran', () => {
    const others = [
      call('to another number', { remoteNumber: '+15129104115' }),
      call('incoming', { direction: 'incoming' }),
      call('before', { startedAt: 997_999 }),
      call('long after', { startedAt: 1_120_001 }),
    ]
    expect(findDialledCall([...others, call('this')], attempt)?.callId).toBe('this')
    expect(findDialledCall(others, attempt)).toBeUndefined()
  })

  it('allows for a network clock that is two seconds behind, and for a late pick-up', () => {
    expect(findDialledCall([call('behind', { startedAt: 998_000 })], attempt)?.callId).toBe('behind')
    expect(findDialledCall([call('late', { startedAt: 1_120_000 })], attempt)?.callId).toBe('late')
  })

  it('does not guess between two', () => {
    expect(findDialledCall([call('one'), call('two')], attempt)).toBeUndefined()
  })
})
