import { isConnected } from './call-half.ts'
import type { CallHalf, Party } from './call-half.ts'
import { conflict } from './call-register.ts'
import type { CallModel } from './calls.ts'
import { numberOf, partyOfUser } from './parties.ts'
import type { User, Users } from './users.ts'

type Parked = {
  /** The parked party's half, when it is a simulated user. */
  readonly half: CallHalf | undefined
  readonly party: Party
  readonly trackingId: string
}

/** Calls parked against users; a user has at most one (XSI Interface Specification 2020.07, p. 223). */
export class Parking {
  readonly #model: CallModel
  readonly #users: Users
  readonly #parked = new Map<string, Parked>()

  constructor(model: CallModel, users: Users) {
    this.#model = model
    this.#users = users
    model.onEnd((half) => {
      for (const [userId, parked] of this.#parked) if (parked.half === half) this.#remove(userId)
    })
  }

  /** Parks a call against `address`, or against the user. Throws GatewayError `call_state_conflict`. */
  park(half: CallHalf, address: string | undefined): void {
    if (!isConnected(half)) throw conflict(half, 'it is not connected')
    const user = this.#users.require(half.userId)
    const against = address === undefined ? user : this.#users.resolve(address, user)
    if (against === undefined) throw conflict(half, 'there is nobody to park it against')
    if (this.#parked.has(against.user_id)) throw conflict(half, 'a call is parked there already')
    const other = half.peer
    half.peer = undefined
    if (other !== undefined) {
      other.peer = undefined
      other.state = 'Remote Held'
      other.heldSince = this.#model.now()
      other.remoteState = 'held'
      other.remote = partyOfUser(this.#users.require(other.userId), against)
      this.#model.notify('CallHeldEvent', other)
    }
    this.#parked.set(against.user_id, { half: other, party: half.remote, trackingId: half.trackingId })
    this.#model.release(half, 'localRelease')
    this.#announce(against.user_id, half.remote)
  }

  /** Takes the call that is parked against `address`, or against the user, to the user's phone. */
  retrieve(user: User, address: string | undefined): CallHalf | undefined {
    const against = address === undefined ? user : this.#users.resolve(address, user)
    const parked = this.#parked.get(against?.user_id ?? '')
    if (against === undefined || parked === undefined) return undefined
    this.#remove(against.user_id)
    const trackingId = this.#model.newTrackingId()
    const half = this.#model.create(user, 'Originator', parked.party, trackingId)
    half.dialled = numberOf(parked.party)
    half.state = 'Active'
    half.answerTime = this.#model.now()
    half.remoteState = 'active'
    half.peer = parked.half
    this.#model.holdOthers(half)
    this.#model.goOffHook(user.user_id)
    this.#model.notify('CallAnsweredEvent', half)
    const other = parked.half
    if (other !== undefined) {
      other.peer = half
      other.trackingId = trackingId
      other.state = 'Active'
      other.heldSince = undefined
      other.remoteState = 'active'
      other.remote = partyOfUser(this.#users.require(other.userId), user)
      this.#model.notify('CallParkRetrievedEvent', other)
    }
    return half
  }

  /** Who is parked against a user. */
  parkedAgainst(userId: string): Party | undefined {
    return this.#parked.get(userId)?.party
  }

  clear(): void {
    this.#parked.clear()
  }

  #remove(userId: string): void {
    this.#parked.delete(userId)
    this.#announce(userId, undefined)
  }

  #announce(userId: string, party: Party | undefined): void {
    const notice = { userId, type: 'CallParkedAgainstEvent', halves: [] } as const
    this.#model.announce(party === undefined ? notice : { ...notice, parkedParty: party })
  }
}
