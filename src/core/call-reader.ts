import type { Call } from './call.ts'
import type { CallId, NetworkRef, SubscriberId } from './ids.ts'

/** A call as stored, with what the store knows beyond the network's facts. */
export type StoredCall = {
  readonly network: NetworkRef
  readonly subscriberId: SubscriberId
  readonly call: Call
  /** The `sequence_number` of the last event of this call. */
  readonly sequence: number
  /** Not confirmed by the network since the last gap. */
  readonly stale: boolean
}

/** Reads of call state. Only live calls are listed; a released one is found for a day. */
export interface CallReader {
  liveCalls(network: NetworkRef, subscriberIds: readonly SubscriberId[]): Promise<readonly StoredCall[]>
  /** Every subscriber's call of this id, released ones included; usually one. */
  findCalls(network: NetworkRef, callId: CallId): Promise<readonly StoredCall[]>
}
