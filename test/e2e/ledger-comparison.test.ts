import { expect, test } from 'vitest'
import { compareWithLedger, type LedgerEntry } from '../../bench/soak/compare.ts'
import type { Arrival } from '../../bench/soak/recording-app.ts'

/** What judges failovers and the soak must itself see what is missing. */

type Emission = LedgerEntry['emissions'][number]

const CALL = 'callhalf-1:0'
const entry = (type: string, state: string, emissions: readonly Emission[], ackedAt: number | null): LedgerEntry => ({
  event_id: `${type} ${state}`,
  user_id: 'ann@example.net',
  call_id: CALL,
  type,
  state,
  created_at: emissions[0]?.at ?? 0,
  emissions,
  acked_at: ackedAt,
  ack_status: ackedAt === null ? null : 200,
  expired_reason: null,
})
const on = (channel: string, at: number): Emission => ({ at, channel_id: channel })

const arrivals = (...states: readonly string[]): Arrival[] =>
  states.map((state, index) => ({
    callId: CALL,
    subscriberId: 'ann@example.net',
    sequence: index + 1,
    state,
    event: `call.${state}`,
    synthetic: false,
    snapshot: false,
    at: index,
  }))

const compare = (ledger: readonly LedgerEntry[], received: readonly Arrival[], keepsOrder = true) =>
  compareWithLedger({
    ledger,
    app: {
      webhookArrivals: [...received],
      streamArrivals: [...received],
      gapsAnnouncedAt: [],
      badSignatures: 0,
      declaredSkipped: new Map(),
    },
    keepsOrder,
  })

/** The owner's channel breaks while two events wait for their acknowledgement; the standby gets both again. */
const RINGING = entry('CallReceivedEvent', 'Alerting', [on('owner', 0), on('standby', 100)], 120)
const ANSWERED = entry('CallAnsweredEvent', 'Active', [on('owner', 50), on('standby', 101)], 115)
const RELEASED = entry('CallReleasedEvent', 'Released', [on('standby', 500)], 510)
const REPEATED = [RINGING, ANSWERED, RELEASED]

test('what was told is no problem', () => {
  const { problems, untold } = compare(REPEATED, arrivals('ringing', 'active', 'released'))
  expect([problems, untold]).toEqual([[], []])
})

test('an event that the standby got first, in order, is lost when it is not told', () => {
  const { problems } = compare(REPEATED, arrivals('active', 'released'))
  expect(problems).toEqual([
    'lost by webhook: callhalf-1:0 CallReceivedEvent acked 200',
    'lost by stream: callhalf-1:0 CallReceivedEvent acked 200',
  ])
})

test('where a fault may shuffle what is sent, the same may have been overtaken', () => {
  const { problems, untold } = compare(REPEATED, arrivals('active', 'released'), false)
  expect(problems).toEqual([])
  expect(untold.map(({ fate }) => fate)).toEqual(['overtaken', 'overtaken'])
})

test('an event that was sent on a channel after a later one was overtaken by it, and that is said', () => {
  const ledger = [
    entry('CallReceivedEvent', 'Alerting', [on('paused', 0), on('new', 100)], 120),
    entry('CallAnsweredEvent', 'Active', [on('new', 50)], 60),
    RELEASED,
  ]
  const { problems, untold } = compare(ledger, arrivals('active', 'released'))
  expect(problems).toEqual([])
  expect(untold.map(({ way, fate, entry: { type } }) => `${way} ${fate} ${type}`)).toEqual([
    'webhook overtaken CallReceivedEvent',
    'stream overtaken CallReceivedEvent',
  ])
})

test('what is left of an overtaken state may be no change any more, and one arrival tells one event only', () => {
  // Held comes when the call is active again: neither is a change by then.
  const ledger = [
    entry('CallReceivedEvent', 'Alerting', [on('new', 0)], 5),
    entry('CallAnsweredEvent', 'Active', [on('new', 50)], 55),
    entry('CallHeldEvent', 'Held', [on('paused', 60), on('new', 160)], 170),
    entry('CallRetrievedEvent', 'Active', [on('new', 100)], 105),
    RELEASED,
  ]
  const { problems, untold } = compare(ledger, arrivals('ringing', 'active', 'released'))
  expect(problems).toEqual([])
  expect(untold.map(({ entry: { type } }) => type)).toEqual(['CallHeldEvent', 'CallHeldEvent'])
  const lacking = compare(ledger, arrivals('ringing', 'held', 'active', 'released')).problems
  expect(lacking).toEqual([
    'lost by webhook: callhalf-1:0 CallAnsweredEvent acked 200',
    'lost by stream: callhalf-1:0 CallAnsweredEvent acked 200',
  ])
})

test('one number with two contents, a hole in the numbers and a call that never ends are problems', () => {
  const [first, second, third] = arrivals('ringing', 'active', 'released')
  if (first === undefined || second === undefined || third === undefined) throw new Error('three arrivals')
  const contradicted = compare(REPEATED, [first, second, { ...second, state: 'held' }, third]).problems
  expect(contradicted).toContain('order: callhalf-1:0 2 is call.active active and call.active held')
  expect(compare(REPEATED, [first, third]).problems).toContain('order: stream callhalf-1:0 jumped from 1 to 3')
  expect(compare(REPEATED, [first, second]).problems).toContain('never released by stream: callhalf-1:0')
})
