import { expect, test } from 'vitest'
import { decideAfterEnd } from './termination.ts'

test.each([
  ['DuplicateChannelSet', 'stop', 'duplicate_channel_set'],
  ['UserDeleted', 'stop', 'user_deleted'],
  ['NonResponsiveChannel', 'reconnect', 'non_responsive_channel'],
  ['ExplicitDelete', 'reconnect', 'explicit_delete'],
  ['Expired', 'reconnect', 'expired'],
  ['UnknownChannel', 'reconnect', 'unknown_channel'],
  ['MaxChannelsReached', 'reconnect', 'max_channels_reached'],
  ['SomethingNew', 'reconnect', 'terminated'],
  [undefined, 'reconnect', 'terminated'],
])('after ChannelTerminatedEvent with reason %s the channel does: %s (%s)', (reason, action, word) => {
  expect(decideAfterEnd({ type: 'terminated', reason })).toEqual({ action, reason: word })
})

test('refused credentials stop the channel', () => {
  expect(decideAfterEnd({ type: 'unauthorized' })).toEqual({ action: 'stop', reason: 'unauthorized' })
})

test('a Retry-After of a refusal is kept', () => {
  expect(decideAfterEnd({ type: 'refused', detail: '503', retryAfterMs: 7000 })).toEqual({
    action: 'reconnect',
    reason: 'refused',
    notBeforeMs: 7000,
  })
})

test('a lost lease and a close on purpose are not failures of the node', () => {
  expect(decideAfterEnd({ type: 'lease_lost' }).action).toBe('none')
  expect(decideAfterEnd({ type: 'closed' }).action).toBe('none')
})
