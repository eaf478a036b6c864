import { GatewayError } from '../core/errors.ts'
import { invalidRequest } from '../core/parse-input.ts'
import { isConnected } from './call-half.ts'
import type { CallHalf } from './call-half.ts'
import { conflict } from './call-register.ts'
import type { CallModel } from './calls.ts'
import type { ConferenceEventType } from './event-types.ts'
import type { Conference } from './notice.ts'

/** Conferences: one per user, made of the user's own calls, which keep their own events. */
export class Conferences {
  readonly #model: CallModel
  readonly #byUser = new Map<string, Conference>()

  constructor(model: CallModel) {
    this.#model = model
    model.onEnd((half) => this.#leave(half))
  }

  find(userId: string): Conference | undefined {
    return this.#byUser.get(userId)
  }

  isInConference(half: CallHalf): boolean {
    return this.#byUser.get(half.userId)?.participants.has(half.callId) === true
  }

  /** Throws GatewayError `call_state_conflict` when there is none. */
  require(userId: string): Conference {
    const conference = this.#byUser.get(userId)
    if (conference === undefined) throw new GatewayError('call_state_conflict', { detail: 'there is no conference' })
    return conference
  }

  /** Joins at least two connected calls of the user. */
  create(userId: string, callIds: readonly string[]): Conference {
    const halves = [...new Set(callIds)].map((callId) => this.#model.require(callId, userId))
    if (halves.length < 2) {
      throw invalidRequest([{ field: 'callId', message: 'a conference needs two calls' }])
    }
    if (this.#byUser.has(userId)) {
      throw new GatewayError('call_state_conflict', { detail: 'the user has a conference already' })
    }
    for (const half of halves) if (!isConnected(half)) throw conflict(half, 'it is not connected')
    const conference: Conference = { userId, state: 'Active', isMuted: false, participants: new Map() }
    this.#byUser.set(userId, conference)
    for (const half of halves) this.#join(conference, half)
    this.#announce(conference, 'ConferenceStartedEvent')
    return conference
  }

  add(conference: Conference, half: CallHalf): void {
    if (!isConnected(half)) throw conflict(half, 'it is not connected')
    this.#join(conference, half)
    this.#announce(conference, 'ConferenceUpdatedEvent')
  }

  hold(conference: Conference): void {
    if (conference.state !== 'Active') throw this.#wrongState(conference)
    conference.state = 'Held'
    this.#announce(conference, 'ConferenceHeldEvent')
  }

  retrieve(conference: Conference): void {
    if (conference.state !== 'Held') throw this.#wrongState(conference)
    conference.state = 'Active'
    this.#announce(conference, 'ConferenceRetrievedEvent')
  }

  mute(conference: Conference, isMuted: boolean): void {
    conference.isMuted = isMuted
    this.#announce(conference, isMuted ? 'ConferenceMutedEvent' : 'ConferenceUnmutedEvent')
  }

  muteCall(conference: Conference, half: CallHalf, isMuted: boolean): void {
    this.#participant(conference, half).isMuted = isMuted
    this.#announce(conference, isMuted ? 'ConferenceCallMutedEvent' : 'ConferenceCallUnMutedEvent')
  }

  deafenCall(conference: Conference, half: CallHalf, isDeaf: boolean): void {
    this.#participant(conference, half).isDeaf = isDeaf
    this.#announce(conference, isDeaf ? 'ConferenceCallMadeDeafEvent' : 'ConferenceCallMadeUnDeafEvent')
  }

  /** Releases all calls of the conference, and with them the conference. */
  release(conference: Conference): void {
    for (const callId of conference.participants.keys()) {
      const half = this.#model.find(callId)
      if (half !== undefined) this.#model.release(half, 'localRelease')
    }
  }

  /** Forgets all conferences without a word. */
  clear(): void {
    this.#byUser.clear()
  }

  #join(conference: Conference, half: CallHalf): void {
    conference.participants.set(half.callId, { isMuted: false, isDeaf: false })
    if (half.state !== 'Held') return
    // Retrieved into the conference: the other calls of it must not be put on hold by that.
    const others = this.#model.callsOf(half.userId).filter((other) => other !== half && other.state === 'Active')
    for (const other of others) other.state = 'Remote Held'
    this.#model.retrieve(half)
    for (const other of others) other.state = 'Active'
  }

  #leave(half: CallHalf): void {
    const conference = this.#byUser.get(half.userId)
    if (conference?.participants.delete(half.callId) !== true) return
    if (conference.participants.size > 1) return this.#announce(conference, 'ConferenceUpdatedEvent')
    this.#byUser.delete(half.userId)
    conference.state = 'Released'
    this.#announce(conference, 'ConferenceReleasedEvent')
  }

  #participant(conference: Conference, half: CallHalf): { isMuted: boolean; isDeaf: boolean } {
    const participant = conference.participants.get(half.callId)
    if (participant === undefined) throw conflict(half, 'it is not in the conference')
    return participant
  }

  #announce(conference: Conference, type: ConferenceEventType): void {
    this.#model.announce({ userId: conference.userId, type, halves: [], conference })
  }

  #wrongState(conference: Conference): GatewayError {
    return new GatewayError('call_state_conflict', { detail: `the conference is ${conference.state}` })
  }
}
