import { strict as assert } from 'node:assert'
import type { Turn } from '../../src/webhooks/store-replies.ts'
import type { DeliveryLedger } from './delivery-ledger.ts'
import type { DeliveryRig, DueTurn } from './delivery-rig.ts'
import type { GateLedger } from './gate-ledger.ts'

export type Worker = {
  readonly name: string
  readonly key: string
  readonly owner: string
  readonly turn: DueTurn
  /** The how many-th turn it was. */
  readonly place: number
  leaseEnds: number
}

/** What was known of an endpoint before a turn, and who was at work on its lanes. */
export type Known = {
  readonly before: Awaited<ReturnType<DeliveryRig['statusOf']>>
  readonly atWork: readonly Worker[]
  readonly rival: Worker | undefined
}

export type Job = { readonly name: string; readonly key?: string; readonly at: number }

/** Who asked for the next event of a lane; `fresh` for its first question. */
export type Asked = Pick<Worker, 'name' | 'key' | 'owner'> & { readonly fresh: boolean }

/** Compares an answer to that with the account of what there is; returns when somebody is to come back. */
export function judgeTurn(
  { name, key, fresh }: Asked,
  turn: Turn,
  {
    before,
    atWork,
    rival,
    ledger,
    gates,
    now,
  }: Known & { readonly ledger: DeliveryLedger; readonly gates: GateLedger; readonly now: number },
): readonly Job[] {
  const first = ledger.laneOf(name, key)[0]
  const resumes = first === undefined ? 0 : ledger.resumesAt(first)
  const jobs: readonly Job[] = 'reopenAt' in turn && turn.reopenAt !== undefined ? [{ name, at: turn.reopenAt }] : []
  switch (turn.kind) {
    case 'idle':
      assert.equal(first, undefined, `a lane with something pending is called idle: ${name} ${key}`)
      return jobs
    case 'busy':
      assert.ok(turn.until > now, 'busy until a time that has passed')
      return [...jobs, { name, key, at: turn.until }]
    case 'lost':
      assert.ok(!fresh, 'a fresh owner cannot have lost the lane')
      return jobs
    case 'waiting':
      assert.ok(resumes <= now, 'a lane that is not due does not wait for a slot')
      return jobs
    case 'later':
      assert.equal(turn.due, resumes, 'when the lane goes on')
      assert.ok(turn.due > now, 'later than now')
      return [...jobs, { name, key, at: turn.due }]
    case 'due':
      break
  }
  assert.ok(first !== undefined, 'handed out from an empty lane')
  ledger.checkTurn(first, turn)
  assert.equal(rival, undefined, `two owners at a time: ${name} ${key}`)
  gates.checkBegin(name, before, atWork.filter((worker) => worker.key !== key).length)
  return jobs
}
