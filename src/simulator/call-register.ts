import { GatewayError } from '../core/errors.ts'
import { isOffHook } from './call-half.ts'
import type { CallHalf, Party, Personality, TimerKind } from './call-half.ts'
import type { CallEventType } from './event-types.ts'
import type { Notice, NoticeListener } from './notice.ts'
import { addressOfRecord } from './parties.ts'
import type { LiveSettings } from './settings.ts'
import type { Timers } from './timers.ts'
import type { User } from './users.ts'

export type CallRegisterOptions = {
  readonly settings: LiveSettings
  readonly timers: Timers
  readonly newId: () => string
}

const CALLS_MAX = 200_000

/**
 * Which calls there are, whose they are and whose handset is up; their ids, their timers, and who is told
 * of changes. What may happen to a call is the call model's business, which builds on this.
 */
export class CallRegister {
  readonly #settings: LiveSettings
  readonly #timers: Timers
  readonly #newId: () => string
  readonly #halves = new Map<string, CallHalf>()
  readonly #byUser = new Map<string, Set<CallHalf>>()
  readonly #offHook = new Set<string>()
  readonly #endListeners: ((half: CallHalf) => void)[] = []
  #listener: NoticeListener = () => undefined
  #nextCall: number
  #nextTracking = 1

  constructor(options: CallRegisterOptions) {
    this.#settings = options.settings
    this.#timers = options.timers
    this.#newId = options.newId
    // Ids must not repeat after a restart: 16 per millisecond is more than any load reaches.
    this.#nextCall = options.timers.now() * 16
  }

  listen(listener: NoticeListener): void {
    this.#listener = listener
  }

  /** Calls `listener` after a half has ended, for whatever keeps halves in mind. */
  onEnd(listener: (half: CallHalf) => void): void {
    this.#endListeners.push(listener)
  }

  find(callId: string): CallHalf | undefined {
    return this.#halves.get(callId)
  }

  /** The live half of this id, of this user if one is given. */
  require(callId: string, userId?: string): CallHalf {
    const half = this.#halves.get(callId)
    if (half === undefined || (userId !== undefined && half.userId !== userId)) {
      throw new GatewayError('call_not_found', { fields: { call_id: callId } })
    }
    return half
  }

  callsOf(userId: string): readonly CallHalf[] {
    return [...(this.#byUser.get(userId) ?? [])]
  }

  list(): IterableIterator<CallHalf> {
    return this.#halves.values()
  }

  hookStatusOf(userId: string): 'On-Hook' | 'Off-Hook' {
    return this.#offHook.has(userId) ? 'Off-Hook' : 'On-Hook'
  }

  now(): number {
    return this.#timers.now()
  }

  create(user: User, personality: Personality, remote: Party, trackingId = this.newTrackingId()): CallHalf {
    if (this.#halves.size >= CALLS_MAX) throw new GatewayError('too_many_requests', { detail: 'too many calls' })
    const half: CallHalf = {
      callId: this.#newCallId(),
      userId: user.user_id,
      trackingId,
      personality,
      state: 'Alerting',
      remote,
      dialled: undefined,
      peer: undefined,
      remoteState: 'alerting',
      addressOfRecord: addressOfRecord(user),
      startTime: this.now(),
      answerTime: undefined,
      heldSince: undefined,
      totalHeldMs: undefined,
      detachedTime: undefined,
      releaseTime: undefined,
      releaseCause: undefined,
      releasingParty: undefined,
      redirect: undefined,
      redirections: [],
      isSilenced: false,
      recording: undefined,
      wasRecorded: false,
      securityClassification: undefined,
      clientSessionInfo: undefined,
      dtmf: '',
      timers: new Map(),
    }
    this.#halves.set(half.callId, half)
    const ofUser = this.#byUser.get(user.user_id)
    if (ofUser === undefined) this.#byUser.set(user.user_id, new Set([half]))
    else ofUser.add(half)
    return half
  }

  newTrackingId(): string {
    return this.#settings.current.trackingIdStyle === 'uuid' ? this.#newId() : `${this.#nextTracking++}:1`
  }

  notify(type: CallEventType, half: CallHalf, extra: Partial<Pick<Notice, 'recordingStopped'>> = {}): void {
    this.#listener({ userId: half.userId, type, halves: [half], ...extra })
  }

  /** Tells the listener something that is not about exactly one call. */
  announce(notice: Notice): void {
    this.#listener(notice)
  }

  setTimer(half: CallHalf, kind: TimerKind, ms: number, action: () => void): void {
    half.timers.get(kind)?.()
    half.timers.set(kind, this.#timers.after(ms, action))
  }

  clearTimers(half: CallHalf): void {
    for (const cancel of half.timers.values()) cancel()
    half.timers.clear()
  }

  goOffHook(userId: string): void {
    if (this.#offHook.has(userId)) return
    this.#offHook.add(userId)
    this.#listener({ userId, type: 'HookStatusEvent', halves: [], hookStatus: 'Off-Hook' })
  }

  /** Removes a half from the model, and puts the handset down if that was the last call. */
  forget(half: CallHalf): void {
    this.clearTimers(half)
    this.#halves.delete(half.callId)
    const ofUser = this.#byUser.get(half.userId)
    ofUser?.delete(half)
    if (ofUser?.size === 0) this.#byUser.delete(half.userId)
    for (const listener of this.#endListeners) listener(half)
    if (!this.#offHook.has(half.userId) || this.callsOf(half.userId).some(isOffHook)) return
    this.#offHook.delete(half.userId)
    this.#listener({ userId: half.userId, type: 'HookStatusEvent', halves: [], hookStatus: 'On-Hook' })
  }

  /** Drops every call without a word, as an application server that dies does. */
  dropAll(): readonly string[] {
    const userIds = [...this.#byUser.keys()]
    const dropped = [...this.#halves.values()]
    this.#halves.clear()
    this.#byUser.clear()
    this.#offHook.clear()
    for (const half of dropped) {
      this.clearTimers(half)
      for (const listener of this.#endListeners) listener(half)
    }
    return userIds
  }

  /** The call goes on under another id. */
  giveNewId(half: CallHalf): void {
    this.#halves.delete(half.callId)
    half.callId = this.#newCallId()
    this.#halves.set(half.callId, half)
  }

  #newCallId(): string {
    return `callhalf-${this.#nextCall++}:0`
  }
}

/** The error for a command that does not fit the state of a call. */
export const conflict = (half: CallHalf, detail: string): GatewayError =>
  new GatewayError('call_state_conflict', { detail: `${half.callId}: ${detail}`, fields: { state: half.state } })
