import { GatewayError } from '../core/errors.ts'
import { isConnected } from './call-half.ts'
import type { CallHalf, RedirectReason } from './call-half.ts'
import { conflict } from './call-register.ts'
import type { CallModel } from './calls.ts'
import { partyOfUser, toUri } from './parties.ts'
import type { Timers } from './timers.ts'
import type { Users } from './users.ts'

export type TransfersOptions = { readonly model: CallModel; readonly users: Users; readonly timers: Timers }

/**
 * Transfers: the transferring half is Detached (CallRedirectedEvent) and then released; the party that
 * was transferred keeps its half and is told with CallTransferredEvent.
 */
export class Transfers {
  readonly #model: CallModel
  readonly #users: Users
  readonly #timers: Timers

  constructor(options: TransfersOptions) {
    this.#model = options.model
    this.#users = options.users
    this.#timers = options.timers
  }

  /** Sends the other party to `address` without asking; a ringing call is deflected. */
  blind(half: CallHalf, address: string): void {
    const isRinging = half.state === 'Alerting' && half.personality === 'Terminator'
    if (!isRinging && !isConnected(half)) throw conflict(half, 'it cannot be transferred now')
    const user = this.#users.require(half.userId)
    const party = partyOfUser(user, user)
    const reason: RedirectReason = isRinging ? 'deflection' : 'transfer'
    const other = this.#detach(half, address, reason)
    const redirections = [{ party, reason, counter: 1 }]
    if (other !== undefined) {
      other.remote = this.#model.partyFor(this.#users.require(other.userId), address)
      other.personality = 'Originator'
      other.state = 'Alerting'
      other.heldSince = undefined
      this.#model.notify(isRinging ? 'CallForwardedEvent' : 'CallTransferredEvent', other)
      this.#model.offer(other, address, redirections)
    } else {
      const target = this.#users.resolve(address, user)
      if (target !== undefined && target !== user) {
        this.#model.ring(target, half.remote, { trackingId: half.trackingId, redirections })
      }
    }
    this.#model.release(half, 'localRelease')
  }

  /** Connects the other party of `half` with the other party of `consulted`. */
  consult(half: CallHalf, consulted: CallHalf): void {
    if (half === consulted) throw conflict(half, 'it cannot be transferred to itself')
    if (!isConnected(half)) throw conflict(half, 'it is not connected')
    if (!isConnected(consulted) && !(consulted.state === 'Alerting' && consulted.personality === 'Originator')) {
      throw conflict(consulted, 'it can not be consulted')
    }
    const isRinging = consulted.state === 'Alerting'
    const [one, other] = [half.peer, consulted.peer]
    this.#markDetached(half, consulted.remote.address ?? '', 'transfer')
    this.#markDetached(consulted, half.remote.address ?? '', 'transfer')
    this.#model.announce({ userId: half.userId, type: 'CallRedirectedEvent', halves: [half, consulted] })
    half.peer = undefined
    consulted.peer = undefined
    const trackingId = this.#model.newTrackingId()
    this.#join(one, { peer: other, from: consulted, personality: 'Originator', trackingId, isRinging })
    this.#join(other, { peer: one, from: half, personality: 'Terminator', trackingId, isRinging })
    this.#model.release(half, 'localRelease')
    this.#model.release(consulted, 'localRelease')
  }

  /** Sends the other party to a mailbox: the user's own, or that of `address`. */
  toVoiceMail(half: CallHalf, address: string | undefined): void {
    const isRinging = half.state === 'Alerting' && half.personality === 'Terminator'
    if (!isRinging && !isConnected(half)) throw conflict(half, 'it cannot be transferred now')
    const user = this.#users.require(half.userId)
    const mailbox = address ?? user.number
    const other = this.#detach(half, mailbox, 'voicemail')
    if (other !== undefined) {
      this.#model.clearTimers(other)
      other.remote = { name: 'Voice Mail', address: toUri(mailbox), callType: 'Group' }
      other.remoteState = 'active'
      other.state = 'Active'
      other.heldSince = undefined
      other.answerTime ??= this.#model.now()
      this.#model.notify(isRinging ? 'CallForwardedEvent' : 'CallTransferredEvent', other)
    }
    this.#model.release(half, 'localRelease')
  }

  /**
   * Calls `address` on behalf of the user and transfers as soon as it rings. Returns the half of that
   * second call, as the command's reply does.
   */
  mute(half: CallHalf, address: string): CallHalf {
    if (!isConnected(half)) throw conflict(half, 'it is not connected')
    const second = this.#model.originate(this.#users.require(half.userId), address)
    this.#timers.after(0, () => {
      try {
        this.consult(half, second)
      } catch (error) {
        // One of the two ended meanwhile: there is nothing left to transfer.
        if (!(error instanceof GatewayError)) throw error
      }
    })
    return second
  }

  /** Retrieves this call and releases all others of the user. */
  reconnect(half: CallHalf): void {
    if (half.state !== 'Held') throw conflict(half, 'it is not held')
    for (const other of this.#model.callsOf(half.userId)) {
      if (other !== half) this.#model.release(other, 'localRelease')
    }
    this.#model.retrieve(half)
  }

  #detach(half: CallHalf, address: string, reason: RedirectReason): CallHalf | undefined {
    const other = half.peer
    half.peer = undefined
    if (other !== undefined) other.peer = undefined
    this.#markDetached(half, address, reason)
    this.#model.announce({ userId: half.userId, type: 'CallRedirectedEvent', halves: [half] })
    return other
  }

  #markDetached(half: CallHalf, address: string, reason: RedirectReason): void {
    const time = this.#model.now()
    this.#model.clearTimers(half)
    half.state = 'Detached'
    half.heldSince = undefined
    half.detachedTime = time
    half.redirect = { address: toUri(address), reason, time }
  }

  #join(
    half: CallHalf | undefined,
    to: {
      readonly peer: CallHalf | undefined
      /** The transferring half whose remote party this one gets. */
      readonly from: CallHalf
      readonly personality: 'Originator' | 'Terminator'
      readonly trackingId: string
      readonly isRinging: boolean
    },
  ): void {
    if (half === undefined) return
    half.peer = to.peer
    half.remoteState = 'active'
    half.trackingId = to.trackingId
    half.personality = to.personality
    half.remote = to.from.remote
    half.state = to.isRinging ? 'Alerting' : 'Active'
    half.heldSince = undefined
    this.#model.notify('CallTransferredEvent', half)
  }
}
