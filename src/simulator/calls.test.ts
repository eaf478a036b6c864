import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isGatewayError } from '../core/errors.ts'
import { silentLogger } from '../core/logger.ts'
import { Backend } from './backend.ts'
import { isOffHook } from './call-half.ts'
import type { CallHalf } from './call-half.ts'
import type { Notice } from './notice.ts'

/** A clock that never fires: every step is the test's own. */
const stillClock = {
  now: () => 1_700_000_000_000,
  monotonic: () => 0,
  wait: () => new Promise<void>(() => undefined),
  after: () => () => undefined,
}

function createBackend(): Backend {
  let next = 1
  const backend = new Backend({
    administrator: { username: 'admin', password: 'x' },
    clock: stillClock,
    random: () => 0,
    newId: () => `id-${next++}`,
    log: silentLogger,
  })
  backend.users.addRange({
    count: 3,
    prefix: 'user',
    domain: 'example.net',
    first_number: '+15550000001',
    group_id: 'group-1',
    enterprise_id: 'enterprise-1',
  })
  return backend
}

type Step = { readonly act: string; readonly user: number; readonly call: number; readonly other: number }
const ACTS = [
  'receive',
  'originate',
  'dial',
  'answer',
  'hold',
  'retrieve',
  'release',
  'decline',
  'silence',
  'remoteAnswer',
  'remoteHold',
  'remoteRetrieve',
  'blind',
  'consult',
  'voicemail',
  'reconnect',
  'park',
  'unpark',
  'record',
  'stopRecord',
  'conference',
  'endConference',
  'failOver',
] as const

const steps = fc.array(
  fc.record({ act: fc.constantFrom(...ACTS), user: fc.nat(2), call: fc.nat(9), other: fc.nat(9) }),
  { minLength: 15, maxLength: 80, size: 'max' },
)

function take(backend: Backend, step: Step): void {
  const { model, users, transfers } = backend
  const user = users.require(`user${step.user + 1}@example.net`)
  const other = `+1555000000${(step.other % 4) + 1}`
  if (step.act === 'receive') return void model.receive(user, step.other > 4 ? other : '+15559990000')
  if (step.act === 'originate') return void model.originate(user, other)
  if (step.act === 'dial') return void model.dial(user, other)
  if (step.act === 'unpark') return void backend.parking.retrieve(user, undefined)
  if (step.act === 'endConference') return backend.conferences.release(backend.conferences.require(user.user_id))
  if (step.act === 'failOver') return void (step.call === 0 && backend.failOver({ resync: true }))
  const calls = model.callsOf(user.user_id)
  if (step.act === 'conference') {
    return void backend.conferences.create(
      user.user_id,
      calls.map((half) => half.callId),
    )
  }
  const half = calls[step.call % Math.max(1, calls.length)]
  const second = calls[step.other % Math.max(1, calls.length)]
  if (half === undefined || second === undefined) return undefined
  const commands: Readonly<Record<string, () => void>> = {
    answer: () => model.answer(half),
    hold: () => model.hold(half),
    retrieve: () => model.retrieve(half),
    release: () => model.release(half, 'localRelease'),
    decline: () => model.decline(half, 'Busy'),
    silence: () => (half.state === 'Alerting' ? model.silence(half) : undefined),
    remoteAnswer: () => model.remoteAnswer(half),
    remoteHold: () => model.remoteHold(half),
    remoteRetrieve: () => model.remoteRetrieve(half),
    blind: () => transfers.blind(half, other),
    consult: () => transfers.consult(half, second),
    voicemail: () => transfers.toVoiceMail(half, undefined),
    reconnect: () => transfers.reconnect(half),
    park: () => backend.parking.park(half, step.other > 5 ? other : undefined),
    record: () => backend.recordings.start(half),
    stopRecord: () => backend.recordings.stop(half),
  }
  return commands[step.act]?.()
}

/** Whether the other half, if there is one, is a live half of its own that knows this one. */
const isPairedWell = (backend: Backend, half: CallHalf): boolean =>
  half.peer === undefined ||
  (half.peer !== half && half.peer.peer === half && backend.model.find(half.peer.callId) === half.peer)

describe('call model', () => {
  test('whatever is done: halves stay paired, released ones are gone, hook status alternates, ids never repeat', () => {
    fc.assert(
      fc.property(steps, (list) => {
        const backend = createBackend()
        const notices: { userId: string; type: string; callIds: string[]; hook: string | undefined }[] = []
        const firstSeen = new Map<string, string>()
        backend.model.listen((notice: Notice) => {
          notices.push({
            userId: notice.userId,
            type: notice.type,
            callIds: notice.halves.map((half: CallHalf) => half.callId),
            hook: notice.hookStatus,
          })
          for (const half of notice.halves) {
            expect(half.userId).toBe(notice.userId)
            expect(firstSeen.get(half.callId) ?? half.userId).toBe(half.userId)
            firstSeen.set(half.callId, half.userId)
          }
        })
        for (const step of list) {
          try {
            take(backend, step)
          } catch (error) {
            if (!isGatewayError(error, 'call_state_conflict', 'call_not_found', 'invalid_request')) throw error
          }
          for (const half of backend.model.list()) {
            expect(half.state).not.toBe('Released')
            expect(isPairedWell(backend, half)).toBe(true)
          }
          for (const conference of backend.users.list()) {
            const found = backend.conferences.find(conference.user_id)
            for (const callId of found?.participants.keys() ?? []) expect(backend.model.find(callId)).toBeDefined()
          }
        }
        const released = new Set<string>()
        for (const { type, callIds } of notices) {
          for (const callId of callIds) expect(released.has(callId)).toBe(false)
          if (type === 'CallReleasedEvent') for (const callId of callIds) released.add(callId)
        }
      }),
      { numRuns: 300 },
    )
  })

  test('without a failover, the hook status of a user alternates and always says whether a call occupies the handset', () => {
    fc.assert(
      fc.property(steps, (list) => {
        const backend = createBackend()
        const hooks = new Map<string, string[]>()
        backend.model.listen((notice) => {
          if (notice.hookStatus === undefined || notice.type !== 'HookStatusEvent') return
          hooks.set(notice.userId, [...(hooks.get(notice.userId) ?? []), notice.hookStatus])
        })
        for (const step of list) {
          if (step.act === 'failOver') continue
          try {
            take(backend, step)
          } catch (error) {
            if (!isGatewayError(error)) throw error
          }
          for (const { user_id: userId } of backend.users.list()) {
            const isBusy = backend.model.callsOf(userId).some(isOffHook)
            expect(backend.model.hookStatusOf(userId)).toBe(isBusy ? 'Off-Hook' : 'On-Hook')
          }
        }
        for (const [userId, statuses] of hooks) {
          expect(statuses).toEqual(statuses.map((_, index) => (index % 2 === 0 ? 'Off-Hook' : 'On-Hook')))
          expect(backend.model.hookStatusOf(userId)).toBe(statuses.at(-1))
        }
      }),
      { numRuns: 300 },
    )
  })

  test('call ids of a simulator that starts later never repeat those of an earlier one', () => {
    const first = createBackend()
    const user = first.users.require('user1@example.net')
    const ids = Array.from({ length: 15 }, () => first.model.receive(user, '+15559990000').callId)
    const later = new Backend({
      administrator: { username: 'admin', password: 'x' },
      clock: { ...stillClock, now: () => stillClock.now() + 1 },
      random: () => 0,
      newId: () => 'id',
      log: silentLogger,
    })
    const next = later.model.receive(later.users.add(user), '+15559990000').callId
    expect(ids).not.toContain(next)
    expect(new Set(ids).size).toBe(15)
  })
})
