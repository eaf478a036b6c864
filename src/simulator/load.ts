import * as v from 'valibot'
import { isGatewayError } from '../core/errors.ts'
import type { Backend } from './backend.ts'
import type { CallHalf } from './call-half.ts'
import type { Cancel } from './timers.ts'
import type { User } from './users.ts'

const ratio = v.pipe(v.number(), v.minValue(0), v.maxValue(1))

/** An open loop of incoming calls from outside. */
export const LoadSchema = v.strictObject({
  calls_per_second: v.pipe(v.number(), v.gtValue(0), v.maxValue(5_000)),
  seconds: v.pipe(v.number(), v.gtValue(0), v.maxValue(86_400)),
  /** The first so many users are called in turn; all when left out. */
  users: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
  answer_ratio: v.optional(ratio, 0.9),
  /** Share of the answered calls that are held and retrieved once. */
  hold_ratio: v.optional(ratio, 0.5),
  /** From the first ring to the hang-up. */
  call_ms: v.optional(v.pipe(v.number(), v.integer(), v.minValue(20), v.maxValue(3_600_000)), 2_000),
})
export type LoadPlan = v.InferOutput<typeof LoadSchema>

export type LoadProgress = {
  readonly load_id: string
  readonly scheduled: number
  readonly started: number
  readonly finished: number
  /** Calls that could not be started. */
  readonly failed: number
  readonly done: boolean
}

/** How late a start may be because of the schedule's own resolution. */
const TICK_MS = 5

/**
 * One run of generated calls. Starts follow the schedule alone: how fast anybody reacts to the events
 * changes nothing about when the next call begins.
 */
export class Load {
  readonly id: string
  readonly #backend: Backend
  readonly #plan: LoadPlan
  readonly #users: readonly User[]
  readonly #scheduled: number
  readonly #startedAt: number
  #begun = 0
  #started = 0
  #finished = 0
  #failed = 0
  #cancel: Cancel = () => undefined

  constructor(id: string, backend: Backend, plan: LoadPlan) {
    this.id = id
    this.#backend = backend
    this.#plan = plan
    this.#users = [...backend.users.list()].slice(0, plan.users)
    this.#scheduled = Math.max(1, Math.round(plan.calls_per_second * plan.seconds))
    this.#startedAt = backend.timers.monotonic()
  }

  get progress(): LoadProgress {
    return {
      load_id: this.id,
      scheduled: this.#scheduled,
      started: this.#started,
      finished: this.#finished,
      failed: this.#failed,
      done: this.#finished + this.#failed === this.#scheduled,
    }
  }

  run(): void {
    const elapsedMs = this.#backend.timers.monotonic() - this.#startedAt
    const due = Math.min(this.#scheduled, 1 + Math.floor((elapsedMs / 1000) * this.#plan.calls_per_second))
    while (this.#begun < due) this.#begin(this.#begun++)
    if (this.#begun < this.#scheduled) this.#cancel = this.#backend.timers.after(TICK_MS, () => this.run())
  }

  cancel(): void {
    this.#cancel()
  }

  #begin(index: number): void {
    const user = this.#users[index % this.#users.length]
    try {
      if (user === undefined) throw new RangeError('no users')
      const from = `+1555${String(8_000_000 + (index % 1_000_000))}`
      this.#follow(this.#backend.model.receive(this.#backend.users.require(user.user_id), from, `Caller ${index}`))
      this.#started += 1
    } catch (error) {
      this.#failed += 1
      this.#backend.log.warn({ error }, 'generated call not started')
    }
  }

  /** The life of one call: ring, answer, hold, retrieve, hang up, at fixed shares of its length. */
  #follow(half: CallHalf): void {
    const { call_ms: callMs, answer_ratio: answer, hold_ratio: hold } = this.#plan
    const { random, timers, model } = this.#backend
    if (random() < answer) {
      timers.after(callMs * 0.25, () => this.#attempt(half, () => model.answer(half)))
      if (random() < hold) {
        timers.after(callMs * 0.5, () => this.#attempt(half, () => model.hold(half)))
        timers.after(callMs * 0.75, () => this.#attempt(half, () => model.retrieve(half)))
      }
    }
    timers.after(callMs, () => {
      this.#finished += 1
      this.#attempt(half, () => model.release(half, random() < 0.5 ? 'localRelease' : 'remoteRelease'))
    })
  }

  /** A step that somebody else's command has made impossible is left out. */
  #attempt(half: CallHalf, step: () => void): void {
    if (this.#backend.model.find(half.callId) !== half) return
    try {
      step()
    } catch (error) {
      if (!isGatewayError(error, 'call_state_conflict', 'call_not_found')) throw error
    }
  }
}
