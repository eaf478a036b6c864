import type { DeliveryLedger } from './delivery-ledger.ts'
import { lane } from './delivery-rig.ts'
import type { DeliveryRig } from './delivery-rig.ts'
import type { Known, Worker } from './turn-judge.ts'

export const LEASE_MS = 5_000

/** Those who were given an event and have not said what came of it; some of them have lost their lease. */
export class OwnersAtWork {
  readonly #ledger: DeliveryLedger
  #workers: readonly Worker[] = []

  constructor(ledger: DeliveryLedger) {
    this.#ledger = ledger
  }

  add(worker: Worker): void {
    this.#workers = [...this.#workers.filter(({ owner }) => owner !== worker.owner), worker]
  }

  remove(worker: Worker | undefined): void {
    this.#workers = this.#workers.filter((own) => own !== worker)
  }

  /** All of them at once. */
  die(): void {
    this.#workers = []
  }

  pick(index: number): Worker | undefined {
    return this.#workers[index % this.#workers.length]
  }

  /** Its lease lives, and what it sends was ended by nobody else. */
  isAtWork({ name, key, turn, leaseEnds }: Worker, now: number): boolean {
    return leaseEnds > now && this.#ledger.laneOf(name, key)[0]?.token === turn.pending.token
  }

  atWorkFor(name: string, now: number): readonly Worker[] {
    return this.#workers.filter((worker) => worker.name === name && this.isAtWork(worker, now))
  }

  has({ name, key }: Pick<Worker, 'name' | 'key'>, now: number): boolean {
    return this.atWorkFor(name, now).some((worker) => worker.key === key)
  }

  /** Who took the same lane over later. */
  heirOf({ name, key, place }: Worker): Worker | undefined {
    return this.#workers.find((other) => other.name === name && other.key === key && other.place > place)
  }

  /** What is to be known of an endpoint before a turn. */
  async look(rig: DeliveryRig, { name, key, owner }: Pick<Worker, 'name' | 'key' | 'owner'>): Promise<Known> {
    const before = await rig.statusOf(name)
    const atWork = this.atWorkFor(name, rig.now)
    const rival = atWork.find((worker) => worker.key === key && worker.owner !== owner)
    return { before, atWork, rival }
  }

  /** Lets time pass; `renewing`: the leases are prolonged meanwhile, or that is tried. */
  async wait(rig: DeliveryRig, ms: number, renewing: boolean): Promise<void> {
    const end = rig.now + ms
    while (rig.now < end) {
      rig.now = renewing ? Math.min(end, rig.now + 1_500) : end
      if (!renewing) return
      // Those whose lease has lapsed try, too.
      await rig.store.renew(
        this.#workers.map(({ name, key, owner }) => ({ lane: lane(key, name), owner })),
        rig.now,
      )
      for (const worker of this.#workers) if (worker.leaseEnds > rig.now) worker.leaseEnds = rig.now + LEASE_MS
    }
  }
}
