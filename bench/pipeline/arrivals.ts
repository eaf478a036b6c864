import { preciseNow, summarise, type Summary } from '../webhooks/rig/figures.ts'
import { findPlace, toIndex, type Schedule } from './schedule.ts'

/** When a run began, and its pace. */
export type Timing = { readonly startedAt: number; readonly perSecond: number }

/** What became of a run's events at one consumer. */
export type ArrivalReport = {
  /** From when an event was due to its arrival, in milliseconds. */
  readonly latency: Summary
  readonly arrived: number
  readonly duplicates: number
  /** Arrived for the first time before the event of the same call in front of it. */
  readonly disordered: number
}

/** Keeps when each event of the present run first arrived at a consumer. */
export class Arrivals {
  #schedule: Schedule = { run: 0, users: 1, events: 0 }
  #at = new Float64Array(0)
  #arrived = 0
  #duplicates = 0
  #disordered = 0

  get arrived(): number {
    return this.#arrived
  }

  begin(schedule: Schedule): void {
    this.#schedule = schedule
    this.#at = new Float64Array(schedule.events)
    this.#arrived = 0
    this.#duplicates = 0
    this.#disordered = 0
  }

  /** Takes a payload that has arrived just now. */
  note(payload: string): void {
    const place = findPlace(payload)
    if (place === undefined || place.run !== this.#schedule.run) return
    const index = toIndex(place, this.#schedule)
    if (this.#at[index] !== 0) {
      this.#duplicates += 1
      return
    }
    this.#at[index] = preciseNow()
    this.#arrived += 1
    if (place.step > 0 && this.#at[index - this.#schedule.users] === 0) this.#disordered += 1
  }

  report({ startedAt, perSecond }: Timing): ArrivalReport {
    const latencies: number[] = []
    for (const [index, at] of this.#at.entries()) {
      if (at !== 0) latencies.push(at - (startedAt + (index * 1_000) / perSecond))
    }
    return {
      latency: summarise(latencies),
      arrived: this.#arrived,
      duplicates: this.#duplicates,
      disordered: this.#disordered,
    }
  }
}
