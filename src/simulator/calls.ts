import { canAnswer, isConnected } from './call-half.ts'
import type { CallHalf, Party, Redirection, ReleaseCause, ReleasingParty } from './call-half.ts'
import { CallRegister, conflict } from './call-register.ts'
import type { CallRegisterOptions } from './call-register.ts'
import { externalParty, isSameEnterprise, partyOfUser, toUri } from './parties.ts'
import type { LiveSettings } from './settings.ts'
import type { User, Users } from './users.ts'

export type CallModelOptions = CallRegisterOptions & { readonly users: Users }

/**
 * The calls of all users. A call has two halves when both parties are simulated, otherwise one; the
 * other party is then played through the `remote…` methods. Every change is told to the listener at
 * once and in order, and every half of a pair is changed in the same turn.
 *
 * Methods throw GatewayError `call_not_found`, `call_state_conflict` or `subscriber_not_found`.
 */
export class CallModel extends CallRegister {
  readonly #users: Users
  readonly #settings: LiveSettings

  constructor(options: CallModelOptions) {
    super(options)
    this.#users = options.users
    this.#settings = options.settings
  }

  // Beginning

  /** The network accepts a click-to-dial and rings the user's own phone. */
  dial(user: User, address: string): CallHalf {
    const half = this.create(user, 'Click-to-Dial', { address: toUri(address), callType: 'Unknown' })
    half.dialled = address
    this.notify('CallOriginatingEvent', half)
    const { clickToDialPickupMs, noAnswerMs } = this.#settings.current
    this.setTimer(half, 'noAnswer', noAnswerMs, () => this.release(half, 'localRelease'))
    if (clickToDialPickupMs !== null) {
      this.setTimer(half, 'answer', clickToDialPickupMs, () => this.answer(half))
    }
    return half
  }

  /** The user dials from the phone. */
  originate(user: User, address: string): CallHalf {
    const half = this.create(user, 'Originator', this.partyFor(user, address))
    half.dialled = address
    this.goOffHook(half.userId)
    this.notify('CallOriginatedEvent', half)
    this.offer(half, address)
    return half
  }

  /** Somebody calls the user: another user, by number or id, or the outside world. */
  receive(user: User, from: string, name?: string): CallHalf {
    const caller = this.#users.resolve(from)
    if (caller !== undefined && caller !== user) {
      const half = this.originate(caller, user.number)
      if (half.peer !== undefined) return half.peer
    }
    const half = this.create(user, 'Terminator', externalParty(from, name))
    this.#present(half, user)
    return half
  }

  /** Reaches out for the far end of an outgoing half: rings the other user, or waits for the outside world. */
  offer(half: CallHalf, address: string, redirections: readonly Redirection[] = []): void {
    const user = this.#users.require(half.userId)
    const other = this.#users.resolve(address, user)
    half.remoteState = 'alerting'
    half.peer = undefined
    if (other === undefined || other === user) {
      const { autoAnswerMs, noAnswerMs } = this.#settings.current
      this.setTimer(half, 'noAnswer', noAnswerMs, () => this.playTreatment(half, 'Temporarily Unavailable'))
      if (autoAnswerMs !== null) this.setTimer(half, 'remoteAnswer', autoAnswerMs, () => this.remoteAnswer(half))
    } else {
      const peer = this.create(other, 'Terminator', partyOfUser(other, user), half.trackingId)
      peer.redirections = redirections
      peer.peer = half
      half.peer = peer
      this.#present(peer, other)
    }
    if (this.#settings.current.callUpdatedOnAlerting) this.notify('CallUpdatedEvent', half)
  }

  /** Rings a user's phone on behalf of a party that is not simulated. */
  ring(user: User, remote: Party, options: { trackingId?: string; redirections: readonly Redirection[] }): CallHalf {
    const half = this.create(user, 'Terminator', remote, options.trackingId)
    half.redirections = options.redirections
    this.#present(half, user)
    return half
  }

  #present(half: CallHalf, user: User): void {
    this.notify('CallReceivedEvent', half)
    const { noAnswerMs } = this.#settings.current
    this.setTimer(half, 'noAnswer', noAnswerMs, () => this.decline(half, 'Temporarily Unavailable'))
    if (user.auto_answer_ms !== undefined) {
      this.setTimer(half, 'answer', user.auto_answer_ms, () => this.answer(half))
    }
  }

  // The user's phone

  /** Picks up a ringing phone: answers an incoming call, or starts the dialling of a click-to-dial. */
  answer(half: CallHalf): void {
    if (!canAnswer(half)) throw conflict(half, 'it is not ringing')
    this.clearTimers(half)
    this.holdOthers(half)
    this.goOffHook(half.userId)
    if (half.personality === 'Click-to-Dial') return this.#beginDialling(half)
    this.#connect(half)
    if (half.peer === undefined) half.remoteState = 'active'
    else this.#connect(half.peer)
  }

  #beginDialling(half: CallHalf): void {
    const address = half.dialled ?? ''
    if (this.#settings.current.clickToDialChangesCallId) this.giveNewId(half)
    half.personality = 'Originator'
    half.startTime = this.now()
    half.remote = this.partyFor(this.#users.require(half.userId), address)
    this.notify('CallOriginatedEvent', half)
    this.offer(half, address)
  }

  #connect(half: CallHalf): void {
    this.clearTimers(half)
    half.state = 'Active'
    half.answerTime ??= this.now()
    half.redirections = []
    this.notify('CallAnsweredEvent', half)
    const hangUpMs = this.#users.find(half.userId)?.hang_up_ms
    if (hangUpMs !== undefined) this.setTimer(half, 'hangUp', hangUpMs, () => this.release(half, 'localRelease'))
    const { autoHangupMs } = this.#settings.current
    if (half.peer === undefined && autoHangupMs !== null) {
      this.setTimer(half, 'remoteHangUp', autoHangupMs, () => this.release(half, 'remoteRelease'))
    }
  }

  hold(half: CallHalf): void {
    if (half.state !== 'Active' && half.state !== 'Remote Held') throw conflict(half, 'it is not active')
    if (half.answerTime === undefined) throw conflict(half, 'it is not answered')
    this.#countHeldTime(half)
    half.state = 'Held'
    half.heldSince = this.now()
    this.notify('CallHeldEvent', half)
    const peer = half.peer
    if (peer?.state === 'Active' && this.#isRemoteHoldVisible(half, peer)) this.#markRemoteHeld(peer)
  }

  retrieve(half: CallHalf): void {
    if (half.state !== 'Held') throw conflict(half, 'it is not held')
    this.holdOthers(half)
    this.#resume(half)
    const peer = half.peer
    if (peer?.state === 'Remote Held') this.#resume(peer)
    const isHeldByRemote = peer === undefined ? half.remoteState === 'held' : peer.state === 'Held'
    if (isHeldByRemote) this.#markRemoteHeld(half)
  }

  /** The phone stops ringing, the caller goes on waiting (DELETE of a ringing call without `decline`). */
  silence(half: CallHalf): void {
    if (half.isSilenced) return
    half.isSilenced = true
    half.timers.get('answer')?.()
    this.notify('CallUpdatedEvent', half)
  }

  /** Busy or no-answer processing: this half ends, the caller hears a tone and ends then. */
  decline(half: CallHalf, cause: ReleaseCause): void {
    if (half.state !== 'Alerting' || half.personality !== 'Terminator')
      throw conflict(half, 'it is not an incoming call')
    const peer = half.peer
    half.peer = undefined
    half.releaseCause = cause
    this.release(half, 'localRelease')
    if (peer === undefined) return
    peer.peer = undefined
    this.playTreatment(peer, cause)
  }

  /** Ends a half and, where it has one, the half of the other party. */
  release(half: CallHalf, party: ReleasingParty): void {
    if (half.state === 'Released') return
    const peer = half.peer
    half.peer = undefined
    this.#countHeldTime(half)
    half.state = 'Released'
    half.releasingParty = party
    half.releaseTime = this.now()
    this.notify('CallReleasedEvent', half)
    this.forget(half)
    if (peer === undefined) return
    peer.peer = undefined
    this.release(peer, party === 'localRelease' ? 'remoteRelease' : 'localRelease')
  }

  /** A tone or announcement plays to the user; the release follows. */
  playTreatment(half: CallHalf, cause: ReleaseCause): void {
    this.clearTimers(half)
    half.releaseCause = cause
    half.state = 'Active'
    this.notify('CallReleasingEvent', half)
    this.setTimer(half, 'treatment', this.#settings.current.treatmentMs, () => this.release(half, 'remoteRelease'))
  }

  // The other party

  remoteAnswer(half: CallHalf): void {
    if (half.peer !== undefined) return this.answer(half.peer)
    if (half.state !== 'Alerting' || half.personality !== 'Originator') {
      throw conflict(half, 'the remote party is not ringing')
    }
    half.remoteState = 'active'
    this.#connect(half)
  }

  remoteHold(half: CallHalf): void {
    if (half.peer !== undefined) return this.hold(half.peer)
    if (!isConnected(half) || half.remoteState === 'held') throw conflict(half, 'the remote party cannot hold')
    half.remoteState = 'held'
    if (half.state === 'Active') this.#markRemoteHeld(half)
  }

  remoteRetrieve(half: CallHalf): void {
    if (half.peer !== undefined) return this.retrieve(half.peer)
    if (half.remoteState !== 'held') throw conflict(half, 'the remote party does not hold')
    half.remoteState = 'active'
    if (half.state === 'Remote Held') this.#resume(half)
  }

  // What these, and transfers, conferences and parking, are made of

  holdOthers(half: CallHalf): void {
    for (const other of this.callsOf(half.userId)) {
      if (other !== half && other.state === 'Active' && other.answerTime !== undefined) this.hold(other)
    }
  }

  /** Whom a user reaches under an address, as far as the user can see. */
  partyFor(user: User, address: string): Party {
    const other = this.#users.resolve(address, user)
    return other === undefined || other === user ? externalParty(address) : partyOfUser(user, other, address)
  }

  /** Counts the time on hold that ends now. */
  #countHeldTime(half: CallHalf): void {
    if (half.heldSince === undefined) return
    half.totalHeldMs = (half.totalHeldMs ?? 0) + this.now() - half.heldSince
    half.heldSince = undefined
  }

  #markRemoteHeld(half: CallHalf): void {
    half.state = 'Remote Held'
    half.heldSince = this.now()
    this.notify('CallHeldEvent', half)
  }

  #resume(half: CallHalf): void {
    this.#countHeldTime(half)
    half.state = 'Active'
    this.notify('CallRetrievedEvent', half)
  }

  /** Remote hold is reported inside an enterprise only (XSI Interface Specification 2020.07, pp. 380–413). */
  #isRemoteHoldVisible(half: CallHalf, peer: CallHalf): boolean {
    return isSameEnterprise(this.#users.require(half.userId), this.#users.require(peer.userId))
  }
}
