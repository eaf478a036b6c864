import { describe, expect, test } from 'vitest'
import type { CallFacts } from '../../test/fixtures/xsi/documents.ts'
import { callDetails, callElement, eventDocument } from '../../test/fixtures/xsi/documents.ts'
import type { Call } from '../core/call.ts'
import type { Normalized } from './normalize.ts'
import { normalizeCall, normalizeEvent } from './normalize.ts'
import { parseDocument } from './parse.ts'

const RECEIVED_AT = 1_700_000_009_999

const normalize = (type: string, payload = ''): Normalized => {
  const document = parseDocument(Buffer.from(eventDocument({ type, payload })))
  if (document.type !== 'event') throw new Error(`a ${document.type}, not an event`)
  return normalizeEvent(document.event, RECEIVED_AT)
}

/** The one call that an event carries. */
const callOf = (type: string, facts: CallFacts = {}, rest = ''): Call => {
  const normalized = normalize(type, callElement(facts) + rest)
  if (normalized.kind !== 'observation' || normalized.body.calls.length !== 1)
    throw new Error(JSON.stringify(normalized))
  return normalized.body.calls[0]!
}

const changeOf = (type: string, facts: CallFacts = {}): string => {
  const normalized = normalize(type, callElement(facts))
  if (normalized.kind !== 'observation' || normalized.body.type !== 'calls') throw new Error(JSON.stringify(normalized))
  return normalized.body.change
}

const ANSWER_TIME = '<xsi:answerTime>1700000005800</xsi:answerTime>'
const OUT = { personality: 'Originator' }
const C2D = { personality: 'Click-to-Dial' }
const ACTIVE_OUT = { ...OUT, state: 'Active', end: ANSWER_TIME }
const ACTIVE_IN = { state: 'Active', end: ANSWER_TIME }

test('an incoming call is taken over in full', () => {
  expect(normalize('CallReceivedEvent', callElement({ middle: '<xsi:allowAnswer/>' }))).toEqual({
    kind: 'observation',
    body: {
      type: 'calls',
      change: 'state',
      calls: [
        {
          callId: 'callhalf-1001:0',
          state: 'ringing',
          direction: 'incoming',
          remoteNumber: '+15551230100',
          remoteName: 'Bea Example',
          trackingId: '150:1',
          startedAt: 1_700_000_000_000,
          canAnswer: true,
        },
      ],
    },
  })
})

describe('the state by event', () => {
  test.each<[string, string, CallFacts, Partial<Call>, string]>([
    [
      'click-to-dial was accepted',
      'CallOriginatingEvent',
      C2D,
      { state: 'initiating', direction: 'outgoing' },
      'state',
    ],
    ['the user dialled', 'CallOriginatedEvent', OUT, { state: 'alerting', direction: 'outgoing' }, 'state'],
    [
      'digits are collected',
      'CallCollectingEvent',
      { ...OUT, state: 'Active' },
      { state: 'alerting', flags: { collecting: true } },
      'state',
    ],
    ['a call arrives', 'CallReceivedEvent', {}, { state: 'ringing', direction: 'incoming' }, 'state'],
    [
      'an outgoing call is answered',
      'CallAnsweredEvent',
      ACTIVE_OUT,
      { state: 'active', answeredAt: 1_700_000_005_800 },
      'answered',
    ],
    [
      'an incoming call is answered',
      'CallAnsweredEvent',
      ACTIVE_IN,
      { state: 'active', direction: 'incoming' },
      'answered',
    ],
    [
      'the user holds',
      'CallHeldEvent',
      {
        state: 'Held',
        end: `${ANSWER_TIME}<xsi:heldTime>1700000006000</xsi:heldTime>`,
        middle: '<xsi:allowRetrieve/>',
      },
      { state: 'held', heldAt: 1_700_000_006_000, canResume: true },
      'state',
    ],
    [
      'the other party holds',
      'CallHeldEvent',
      { state: 'Remote Held', end: ANSWER_TIME },
      { state: 'remote_held' },
      'state',
    ],
    ['the call is retrieved', 'CallRetrievedEvent', ACTIVE_IN, { state: 'active' }, 'state'],
    [
      'the call is retrieved and still held by the other party',
      'CallRetrievedEvent',
      { state: 'Remote Held', end: ANSWER_TIME },
      { state: 'remote_held' },
      'state',
    ],
    ['attributes change', 'CallUpdatedEvent', OUT, { state: 'alerting' }, 'state'],
    ['the far party forwarded it', 'CallForwardedEvent', OUT, { state: 'alerting' }, 'state'],
    ['a call of click-to-dial is forwarded', 'CallForwardedEvent', C2D, { state: 'initiating' }, 'state'],
    [
      'it is no longer presented',
      'CallDetachedEvent',
      { state: 'Detached', end: '<xsi:detachedTime>1700000007000</xsi:detachedTime>' },
      { state: 'detached', detachedAt: 1_700_000_007_000 },
      'state',
    ],
    [
      'a detached call is reported in another state',
      'CallDetachedEvent',
      { state: 'Active', end: ANSWER_TIME },
      { state: 'detached' },
      'state',
    ],
    [
      'the remote party transferred it',
      'CallTransferredEvent',
      { ...ACTIVE_IN, trackingId: '151:1' },
      { state: 'active', trackingId: '151:1' },
      'session',
    ],
    [
      'it rings again after a blind transfer',
      'CallTransferredEvent',
      { ...OUT, end: ANSWER_TIME },
      { state: 'alerting' },
      'session',
    ],
    ['another user picked it up, still alerting', 'CallPickedUpEvent', {}, { state: 'ringing' }, 'session'],
    ['another user picked it up, active already', 'CallPickedUpEvent', ACTIVE_IN, { state: 'active' }, 'session'],
    ['somebody barged in', 'CallBargedInEvent', ACTIVE_OUT, { state: 'active' }, 'session'],
    [
      'somebody barged in on a held call',
      'CallBargedInEvent',
      { state: 'Held', end: ANSWER_TIME },
      { state: 'held' },
      'session',
    ],
    ['monitoring began', 'CallMonitoredEvent', ACTIVE_IN, { state: 'active' }, 'session'],
    ['a parked call was retrieved', 'CallParkRetrievedEvent', ACTIVE_IN, { state: 'active' }, 'session'],
    [
      'recording is about to start',
      'CallRecordingStartingEvent',
      { ...ACTIVE_IN, end: `${ANSWER_TIME}<xsi:recordingState>Pending</xsi:recordingState>` },
      { state: 'active', flags: { recording: 'pending' } },
      'state',
    ],
    [
      'recording started',
      'CallRecordingStartedEvent',
      ACTIVE_IN,
      { state: 'active', flags: { recording: 'started' } },
      'state',
    ],
    [
      'recording paused',
      'CallRecordingPausedEvent',
      ACTIVE_IN,
      { state: 'active', flags: { recording: 'paused' } },
      'state',
    ],
    [
      'recording resumed',
      'CallRecordingResumedEvent',
      ACTIVE_IN,
      { state: 'active', flags: { recording: 'started' } },
      'state',
    ],
    [
      'recording failed',
      'CallRecordingStartedEvent',
      { ...ACTIVE_IN, end: `${ANSWER_TIME}<xsi:recordingState>Failed</xsi:recordingState>` },
      { flags: { recording: 'failed' } },
      'state',
    ],
    ['the classification changes', 'CallSecurityClassificationUpdatedEvent', ACTIVE_IN, { state: 'active' }, 'state'],
    ['session info changes', 'CallClientSessionInfoUpdatedEvent', ACTIVE_IN, { state: 'active' }, 'state'],
    [
      'music on hold fails',
      'PlayMusicOnHoldFailureEvent',
      { state: 'Held', end: ANSWER_TIME },
      { state: 'held' },
      'state',
    ],
  ])('%s', (_, type, facts, expected, change) => {
    expect(callOf(type, facts)).toMatchObject(expected)
    expect(changeOf(type, facts)).toBe(change)
  })

  test('a stopped recording leaves no flag; its reason stands after the call', () => {
    expect(
      callOf('CallRecordingStoppedEvent', ACTIVE_IN, '<xsi:reason>User Requested</xsi:reason>').flags,
    ).toBeUndefined()
  })

  test('a treatment before the release is a flag with the cause, not an end and not an answer', () => {
    const release = '<xsi:releaseCause><xsi:internalReleaseCause>Busy</xsi:internalReleaseCause></xsi:releaseCause>'
    const call = callOf('CallReleasingEvent', { ...OUT, state: 'Active', release })
    expect(call).toMatchObject({ state: 'alerting', flags: { treatment: true }, releaseCause: 'busy' })
    expect(call.releasedAt).toBeUndefined()
    expect(callOf('CallReleasingEvent', { ...ACTIVE_OUT, release }).state).toBe('active')
  })

  test('Active without an answerTime is not an answer while digits are collected, whatever the event', () => {
    expect(callOf('CallUpdatedEvent', { ...OUT, state: 'Active' })).toMatchObject({
      state: 'alerting',
      flags: { collecting: true },
    })
    expect(callOf('CallUpdatedEvent', { state: 'Active' }).state).toBe('active')
  })

  test('only CallAnswered makes an answer time where the network gives none', () => {
    expect(callOf('CallAnsweredEvent', { ...OUT, state: 'Active' }).answeredAt).toBe(RECEIVED_AT)
    expect(callOf('CallRetrievedEvent', { ...OUT, state: 'Active' }).answeredAt).toBeUndefined()
  })
})

describe('redirected calls', () => {
  const redirect =
    '<xsi:redirect><xsi:address>tel:1044</xsi:address><xsi:reason>transfer</xsi:reason><xsi:redirectTime>1700000008000</xsi:redirectTime></xsi:redirect>'

  test('every call of the list is detached, even one that is printed as Held', () => {
    const calls = [
      callElement({ callId: 'callhalf-1:0', state: 'Held', middle: redirect, end: ANSWER_TIME }),
      callElement({ callId: 'callhalf-2:0', state: 'Detached', middle: redirect, ...OUT }),
    ]
    const normalized = normalize('CallRedirectedEvent', `<xsi:calls>${calls.join('')}</xsi:calls>`)
    expect(normalized).toMatchObject({
      kind: 'observation',
      body: {
        type: 'calls',
        change: 'state',
        calls: [
          {
            callId: 'callhalf-1:0',
            state: 'detached',
            detachedAt: 1_700_000_008_000,
            redirect: { number: '1044', reason: 'transfer' },
          },
          { callId: 'callhalf-2:0', state: 'detached' },
        ],
      },
    })
  })

  test('a redirection without address or reason is kept as far as it goes', () => {
    expect(callOf('CallDetachedEvent', { middle: '<xsi:redirect/>' }).redirect).toEqual({ reason: 'unknown' })
  })

  test('a list without calls is malformed', () => {
    expect(normalize('CallRedirectedEvent', '<xsi:calls/>')).toEqual({ kind: 'ignored', reason: 'malformed' })
  })
})

const cause = (children: string): string => `<xsi:releaseCause>${children}</xsi:releaseCause>`

describe('released calls', () => {
  test('the end has its time, cause and party, and no flags', () => {
    const call = callOf('CallReleasedEvent', {
      state: 'Released',
      release: `${cause('<xsi:internalReleaseCause>Temporarily Unavailable</xsi:internalReleaseCause><xsi:q850Cause>19</xsi:q850Cause>')}<xsi:releasingParty>remoteRelease</xsi:releasingParty>`,
      middle: '<xsi:recallType>Call Park Recall</xsi:recallType>',
      end: '<xsi:releaseTime>1700000009000</xsi:releaseTime>',
    })
    expect(call).toMatchObject({
      state: 'released',
      releasedAt: 1_700_000_009_000,
      releaseCause: 'temporarily_unavailable',
      releasingParty: 'remote',
    })
    expect(call.flags).toBeUndefined()
  })

  test.each<[string, string, string]>([
    ['no cause', '', 'normal'],
    ['Busy', cause('<xsi:internalReleaseCause>Busy</xsi:internalReleaseCause>'), 'busy'],
    ['Forbidden', cause('<xsi:internalReleaseCause>Forbidden</xsi:internalReleaseCause>'), 'forbidden'],
    [
      'Routing Failure',
      cause('<xsi:internalReleaseCause>Routing Failure</xsi:internalReleaseCause>'),
      'routing_failure',
    ],
    ['Global Failure', cause('<xsi:internalReleaseCause>Global Failure</xsi:internalReleaseCause>'), 'global_failure'],
    [
      'Request Failure',
      cause('<xsi:internalReleaseCause>Request Failure</xsi:internalReleaseCause>'),
      'request_failure',
    ],
    ['Server Failure', cause('<xsi:internalReleaseCause>Server Failure</xsi:internalReleaseCause>'), 'server_failure'],
    [
      'Translation Failure',
      cause('<xsi:internalReleaseCause>Translation Failure</xsi:internalReleaseCause>'),
      'translation_failure',
    ],
    ['User Not Found', cause('<xsi:internalReleaseCause>User Not Found</xsi:internalReleaseCause>'), 'user_not_found'],
    [
      'Request Timeout',
      cause('<xsi:internalReleaseCause>Request Timeout</xsi:internalReleaseCause>'),
      'request_timeout',
    ],
    [
      'Dial Tone Timeout',
      cause('<xsi:internalReleaseCause>Dial Tone Timeout</xsi:internalReleaseCause>'),
      'dial_tone_timeout',
    ],
    [
      'Insufficient Credits',
      cause('<xsi:internalReleaseCause>Insufficient Credits</xsi:internalReleaseCause>'),
      'insufficient_credits',
    ],
    ['a cause that is new to us', cause('<xsi:internalReleaseCause>Solar Flare</xsi:internalReleaseCause>'), 'unknown'],
    ['only Q.850 16', cause('<xsi:q850Cause>16</xsi:q850Cause>'), 'normal'],
    ['only Q.850 17', cause('<xsi:q850Cause>17</xsi:q850Cause>'), 'busy'],
    ['only Q.850 41', cause('<xsi:q850Cause>41</xsi:q850Cause>'), 'unknown'],
  ])('%s has its own cause', (_, release, expected) => {
    expect(callOf('CallReleasedEvent', { state: 'Released', release }).releaseCause).toBe(expected)
  })

  test('a release without a time ended when it was received', () => {
    expect(callOf('CallReleasedEvent', { state: 'Released' }).releasedAt).toBe(RECEIVED_AT)
  })

  test('Idle, and Released in any event, is the end', () => {
    expect(callOf('CallUpdatedEvent', { state: 'Idle' }).state).toBe('released')
    expect(callOf('CallDetachedEvent', { state: 'Released' }).state).toBe('released')
  })
})

describe('snapshots', () => {
  test('CallSubscription carries everything the subscriber has', () => {
    const payload = `<xsi:calls>${callElement({ callId: 'callhalf-1:0' })}${callElement({ callId: 'callhalf-2:0', ...ACTIVE_OUT })}</xsi:calls><xsi:hookStatus>Off-Hook</xsi:hookStatus>`
    expect(normalize('CallSubscriptionEvent', payload)).toMatchObject({
      kind: 'observation',
      body: {
        type: 'snapshot',
        calls: [
          { callId: 'callhalf-1:0', state: 'ringing' },
          { callId: 'callhalf-2:0', state: 'active' },
        ],
      },
    })
  })

  test('CallSubscription without calls is an empty snapshot', () => {
    expect(normalize('CallSubscriptionEvent', '<xsi:hookStatus>On-Hook</xsi:hookStatus>')).toEqual({
      kind: 'observation',
      body: { type: 'snapshot', calls: [] },
    })
  })

  test('CallSubscriptionResync is a snapshot, too', () => {
    expect(normalize('CallSubscriptionResyncEvent', `<xsi:calls>${callElement()}</xsi:calls>`)).toMatchObject({
      kind: 'observation',
      body: { type: 'snapshot', calls: [{ callId: 'callhalf-1001:0' }] },
    })
  })

  test('one call that cannot be identified spoils the snapshot: leaving it out would end it', () => {
    const payload = `<xsi:calls>${callElement()}${callElement({ callId: '' })}</xsi:calls>`
    expect(normalize('CallSubscriptionEvent', payload)).toEqual({ kind: 'ignored', reason: 'malformed' })
  })

  test.each([
    ['in another namespace', `<calls xmlns="urn:other">${callElement()}</calls>`],
    ['spelt otherwise', `<xsi:Calls>${callElement()}</xsi:Calls>`],
    ['twice', `<xsi:calls/><xsi:calls>${callElement()}</xsi:calls>`],
    ['with text in it', '<xsi:calls>none</xsi:calls>'],
    [
      'with a call in another namespace',
      '<xsi:calls><call xmlns="urn:other"><callId>callhalf-1:0</callId></call></xsi:calls>',
    ],
    [
      'with a call spelt otherwise',
      '<xsi:calls><xsi:Call><xsi:callId>callhalf-1:0</xsi:callId></xsi:Call></xsi:calls>',
    ],
  ])('a list of calls %s is not read as an empty one', (_what, payload) => {
    expect(normalize('CallSubscriptionEvent', payload)).toEqual({ kind: 'ignored', reason: 'malformed' })
  })

  test('elements that are not known beside and in the list spoil nothing', () => {
    const payload = `<xsi:calls>${callElement()}<xsi:novelty/></xsi:calls><xsi:novelty>1</xsi:novelty>`
    expect(normalize('CallSubscriptionEvent', payload)).toMatchObject({ kind: 'observation' })
  })
})

describe('other events', () => {
  test('the end of the subscription', () => {
    expect(normalize('SubscriptionTerminatedEvent')).toEqual({ kind: 'subscription-terminated' })
  })

  test.each([
    'HookStatusEvent',
    'ConferenceStartedEvent',
    'ConferenceHeldEvent',
    'ConferenceRetrievedEvent',
    'ConferenceReleasedEvent',
    'ConferenceUpdatedEvent',
    'ConferenceMutedEvent',
    'ConferenceUnmutedEvent',
    'ConferenceCallMutedEvent',
    'ConferenceCallUnMutedEvent',
    'ConferenceCallMadeDeafEvent',
    'ConferenceCallMadeUnDeafEvent',
  ])('%s has no call state', (type) => {
    expect(normalize(type, '<xsi:hookStatus>Off-Hook</xsi:hookStatus>')).toEqual({
      kind: 'ignored',
      reason: 'no_call_state',
    })
  })

  test.each(['CallHistoryEvent', 'DoNotDisturbEvent', 'constructor', '__proto__'])('%s is not known', (type) => {
    expect(normalize(type, callElement())).toEqual({ kind: 'ignored', reason: 'unknown_type' })
  })

  test.each(['CallReceivedEvent', 'CallReleasedEvent', 'CallUpdatedEvent'])(
    '%s without a call, or one without a callId, is malformed',
    (type) => {
      expect(normalize(type)).toEqual({ kind: 'ignored', reason: 'malformed' })
      expect(normalize(type, callElement({ callId: '' }))).toEqual({ kind: 'ignored', reason: 'malformed' })
    },
  )
})

/** The answer time that an event with this `<answerTime>` gives. */
const answered = (time: string) =>
  callOf('CallUpdatedEvent', { end: `<xsi:answerTime>${time}</xsi:answerTime>` }).answeredAt

describe('what the network leaves open', () => {
  test.each<[string, CallFacts, string]>([
    ['released', { state: 'Napping', end: '<xsi:releaseTime>1700000009000</xsi:releaseTime>' }, 'released'],
    ['detached', { state: 'Napping', end: '<xsi:detachedTime>1700000009000</xsi:detachedTime>' }, 'detached'],
    ['held', { state: 'Napping', end: '<xsi:heldTime>1700000009000</xsi:heldTime>' }, 'held'],
    ['answered', { state: 'Napping', end: ANSWER_TIME }, 'active'],
    ['not answered', { state: 'Napping' }, 'ringing'],
  ])('a state that is new to us is told by its times: %s', (_, facts, state) => {
    expect(callOf('CallUpdatedEvent', facts).state).toBe(state)
  })

  test('a state that is new to us is that of the event where it says so', () => {
    expect(callOf('CallHeldEvent', { state: 'Napping' }).state).toBe('held')
  })

  test('a personality that is new to us is that of the event, otherwise outgoing', () => {
    expect(callOf('CallReceivedEvent', { personality: 'Bystander' })).toMatchObject({
      direction: 'incoming',
      state: 'ringing',
    })
    expect(callOf('CallUpdatedEvent', { personality: 'Bystander' }).direction).toBe('outgoing')
  })

  test('a party that withholds its identity has neither number nor name', () => {
    const call = callOf('CallReceivedEvent', {
      remoteParty: '<xsi:name>Bea</xsi:name><xsi:address>tel:+15551230100</xsi:address><xsi:privacy/>',
    })
    expect(call.remoteNumber).toBe('')
    expect(call.remoteName).toBeUndefined()
  })

  test('without an address the user’s directory number serves', () => {
    const remoteParty = '<xsi:userDN countryCode="1">tel:+15551230112;ext=1012</xsi:userDN>'
    expect(callOf('CallReceivedEvent', { remoteParty }).remoteNumber).toBe('+15551230112')
    expect(callOf('CallReceivedEvent', { remoteParty: '<xsi:callType>Unknown</xsi:callType>' }).remoteNumber).toBe('')
  })

  test('times may be plain or in a value element; 0, words and the far future are none', () => {
    expect(answered('<xsi:value>1700000005800</xsi:value><xsi:severity>1</xsi:severity>')).toBe(1_700_000_005_800)
    expect(answered(' 1700000005800 ')).toBe(1_700_000_005_800)
    expect(answered('0')).toBeUndefined()
    expect(answered('soon')).toBeUndefined()
    expect(answered('9999999999999999')).toBeUndefined()
  })

  test('a call without a startTime started when it was received, one without a tracking id has an empty one', () => {
    const payload = '<xsi:call><xsi:callId>callhalf-1:0</xsi:callId></xsi:call>'
    expect(normalize('CallReceivedEvent', payload)).toMatchObject({
      body: { calls: [{ startedAt: RECEIVED_AT, trackingId: '', remoteNumber: '', state: 'ringing' }] },
    })
  })

  test('a recall is a flag', () => {
    expect(callOf('CallReceivedEvent', { middle: '<xsi:recallType>Call Park Recall</xsi:recallType>' }).flags).toEqual({
      recall: true,
    })
  })
})

test('call details mean the same as the call in an event', () => {
  const document = parseDocument(Buffer.from(callDetails(ACTIVE_OUT)))
  if (document.type !== 'call') throw new Error(document.type)
  expect(normalizeCall(document.call, RECEIVED_AT)).toEqual(callOf('CallUpdatedEvent', ACTIVE_OUT))
})
