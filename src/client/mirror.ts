import type { CallEvent, EventFrame, LiveCall, Position, SnapshotCall } from './frames.ts'
import { isCallEvent } from './frames.ts'

type Known = { readonly call: LiveCall; readonly epoch: string }

/**
 * An app's live calls, kept by what the stream says:
 *
 * - a snapshot replaces all of them;
 * - an event replaces the call that it is about, unless the call is known from a later event: of a greater
 *   epoch, or of the same with a `sequence_number` that is not smaller. Some of the events after a snapshot
 *   are already in it, because its position is read before its calls;
 * - a released call is removed, and so are all calls of a subscriber that the app has lost.
 */
export class Mirror {
  readonly #known = new Map<string, Known>()
  readonly #calls = new Map<string, LiveCall>()
  #hasSnapshot = false

  /** By {@link callKey}; a live view. */
  get calls(): ReadonlyMap<string, LiveCall> {
    return this.#calls
  }

  /** Whether it began with a snapshot, so that nothing is missing in it. */
  get isComplete(): boolean {
    return this.#hasSnapshot
  }

  replace(calls: readonly SnapshotCall[], { epoch }: Position): void {
    this.clear()
    this.#hasSnapshot = true
    for (const call of calls) this.#set(toLiveCall(call), epoch)
  }

  apply(frame: EventFrame): void {
    if (isCallEvent(frame)) this.#applyCall(frame.data, frame.position.epoch)
    if (frame.event === 'subscriber.unassigned') this.#removeCallsOf(frame.data)
  }

  /** Forgets everything, and that there was a snapshot. */
  clear(): void {
    this.#hasSnapshot = false
    this.#known.clear()
    this.#calls.clear()
  }

  #applyCall(event: CallEvent, epoch: string): void {
    const key = callKey(event)
    const known = this.#known.get(key)
    if (known !== undefined && !isLater(event, epoch, known)) return
    if (event.state === 'released') this.#remove(key)
    else this.#set(toLiveCall(event), epoch)
  }

  #removeCallsOf({ subscriber_id, network_id }: { readonly subscriber_id: string; readonly network_id: string }): void {
    for (const [key, call] of this.#calls) {
      if (call.subscriber_id === subscriber_id && call.network_id === network_id) this.#remove(key)
    }
  }

  #set(call: LiveCall, epoch: string): void {
    const key = callKey(call)
    this.#known.set(key, { call, epoch })
    this.#calls.set(key, call)
  }

  #remove(key: string): void {
    this.#known.delete(key)
    this.#calls.delete(key)
  }
}

/** What tells calls apart: two subscribers may have calls of one id. */
export const callKey = ({ subscriber_id, call_id }: Pick<LiveCall, 'subscriber_id' | 'call_id'>): string =>
  JSON.stringify([subscriber_id, call_id])

function isLater(event: LiveCall, epoch: string, known: Known): boolean {
  if (epoch !== known.epoch) return isGreaterEpoch(epoch, known.epoch)
  return Number(event.sequence_number) > Number(known.call.sequence_number)
}

/** Epochs are numbers that may be too large for one. */
const isGreaterEpoch = (a: string, b: string): boolean => a.length > b.length || (a.length === b.length && a > b)

/** The fields that a snapshot and an event have in common, so that a call looks the same whichever it is from. */
function toLiveCall(call: LiveCall): LiveCall {
  const { subscriber_name, remote_name, answered_at, recording, redirect } = call
  return {
    subscriber_id: call.subscriber_id,
    subscriber_number: call.subscriber_number,
    ...(subscriber_name !== undefined && { subscriber_name }),
    remote_number: call.remote_number,
    ...(remote_name !== undefined && { remote_name }),
    call_id: call.call_id,
    direction: call.direction,
    state: call.state,
    sequence_number: call.sequence_number,
    network_id: call.network_id,
    tracking_id: call.tracking_id,
    started_at: call.started_at,
    ...(answered_at !== undefined && { answered_at }),
    ...(recording !== undefined && { recording }),
    ...(redirect !== undefined && { redirect }),
  }
}
