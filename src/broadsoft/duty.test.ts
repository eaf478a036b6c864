import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { InstanceId } from '../core/instances.ts'
import { toInstanceId } from '../core/instances.ts'
import type { DutyView, PostView } from './duty.ts'
import { decideDuties } from './duty.ts'

const [A, B, C] = ['a', 'b', 'c'].map((name) => toInstanceId(name)) as [InstanceId, InstanceId, InstanceId]
const NOT_HELD: PostView = {
  isHeld: false,
  isOpen: false,
  isStopped: false,
  unchangedMs: 0,
  claimedBy: undefined,
  freeMs: 0,
}
const OPEN: PostView = { ...NOT_HELD, isHeld: true, isOpen: true, unchangedMs: 60_000 }

const decide = (
  changes: Partial<Omit<DutyView, 'owner' | 'standby'>> & {
    readonly owner?: Partial<DutyView['owner']>
    readonly standby?: Partial<PostView>
  },
) =>
  decideDuties({
    self: A,
    ranked: [A, B, C],
    steadyMs: 60_000,
    ...changes,
    owner: { ...NOT_HELD, downMs: 0, ...changes.owner },
    standby: { ...NOT_HELD, ...changes.standby },
  })

describe('an instance that has neither channel', () => {
  test('the first in line takes what is free, and asks for the standby’s place at once when it is steady', () => {
    expect(decide({ ranked: [A, B] })).toEqual(['take_owner', 'take_standby', 'claim_standby'])
    expect(decide({ ranked: [A, B], steadyMs: 9_999 })).toEqual(['take_owner', 'take_standby'])
  })
  test('the second stands by, and takes the owner’s place only when it stays free', () => {
    expect(decide({ ranked: [B, A] })).toEqual(['take_standby', 'claim_standby'])
    expect(decide({ ranked: [B, A], owner: { freeMs: 3_000 } })).toContain('take_owner')
  })
  test('the third does nothing, unless both stay free for long', () => {
    expect(decide({ ranked: [B, C, A], owner: { freeMs: 5_999 }, standby: { freeMs: 2_999 } })).toEqual([])
    expect(decide({ ranked: [B, C, A], owner: { freeMs: 6_000 } })).toEqual(['take_owner'])
    expect(decide({ ranked: [B, C, A], standby: { freeMs: 3_000 } })).toEqual(['take_standby'])
  })
  test('one that takes on no channels does nothing', () => {
    expect(decide({ ranked: [B], owner: { freeMs: 60_000 }, standby: { freeMs: 60_000 } })).toEqual([])
  })
})

describe('an instance that stands by', () => {
  test('takes the owner’s place whenever it is free, if its channel is open', () => {
    expect(decide({ ranked: [B, A], standby: OPEN })).toEqual(['take_owner'])
    expect(decide({ ranked: [B, A], standby: { ...OPEN, isOpen: false } })).toEqual([])
  })
  test('asks for the owner’s place only as the first in line, steady, with a channel that has overlapped', () => {
    expect(decide({ standby: OPEN })).toEqual(['take_owner', 'claim_owner'])
    expect(decide({ standby: OPEN, steadyMs: 9_999 })).toEqual(['take_owner'])
    expect(decide({ standby: { ...OPEN, unchangedMs: 4_999 } })).toEqual(['take_owner'])
    expect(decide({ standby: { ...OPEN, isOpen: false } })).toEqual(['take_owner'])
    expect(decide({ ranked: [B, A], standby: OPEN, owner: { downMs: 14_999 } })).toEqual(['take_owner'])
  })
  test('asks also for the place of an owner that has no channel for long', () => {
    expect(decide({ ranked: [B, A], standby: OPEN, owner: { downMs: 15_000 } })).toEqual(['take_owner', 'claim_owner'])
  })
  test('makes room for a better one only', () => {
    const standby = { ...OPEN, claimedBy: C }
    expect(decide({ ranked: [B, C, A], standby })).toEqual(['take_owner', 'leave_standby'])
    expect(decide({ ranked: [B, A, C], standby })).toEqual(['take_owner'])
    expect(decide({ ranked: [B, A], standby })).toEqual(['take_owner'])
  })
})

describe('an owner', () => {
  test('leaves its standby channel only once its own is open', () => {
    expect(decide({ owner: OPEN, standby: OPEN })).toEqual(['leave_standby'])
    expect(decide({ owner: { ...OPEN, isOpen: false }, standby: OPEN })).toEqual([])
  })
  test('hands over to the first in line that asks, and to nobody else', () => {
    expect(decide({ ranked: [B, A], owner: OPEN })).toEqual([])
    expect(decide({ ranked: [B, A], owner: { ...OPEN, claimedBy: B } })).toEqual(['leave_owner'])
    expect(decide({ ranked: [B, C, A], owner: { ...OPEN, claimedBy: C } })).toEqual([])
    expect(decide({ ranked: [A, B], owner: { ...OPEN, claimedBy: B } })).toEqual([])
    expect(decide({ ranked: [A], owner: { ...OPEN, claimedBy: B } })).toEqual([])
  })
  test('that cannot open its channel for long hands over to whoever asks, unless it was stopped', () => {
    const owner = { ...OPEN, isOpen: false, claimedBy: B, unchangedMs: 15_000 }
    expect(decide({ owner })).toEqual(['leave_owner'])
    expect(decide({ owner: { ...owner, unchangedMs: 14_999 } })).toEqual([])
    expect(decide({ owner: { ...owner, isStopped: true } })).toEqual([])
  })
})

/** A node's two leases, and instances that act on what `decideDuties` says, one at a time. */
class Model {
  now = 0
  readonly names: InstanceId[] = []
  readonly #bornAt = new Map<InstanceId, number>()
  readonly #held: Record<'owner' | 'standby', { by: InstanceId; since: number; claimedBy?: InstanceId } | undefined> = {
    owner: undefined,
    standby: undefined,
  }
  readonly #freeSince = { owner: 0, standby: 0 }
  handOvers = 0

  join(name: InstanceId, place: number): void {
    this.names.splice(place % (this.names.length + 1), 0, name)
    this.#bornAt.set(name, this.now)
  }

  die(name: InstanceId): void {
    this.names.splice(this.names.indexOf(name), 1)
    for (const role of ['owner', 'standby'] as const) if (this.holder(role) === name) this.#free(role)
  }

  holder(role: 'owner' | 'standby'): InstanceId | undefined {
    return this.#held[role]?.by
  }

  /** Channels that are open: opening takes no time here. */
  get open(): number {
    return new Set([this.#held.owner, this.#held.standby].filter((held) => held !== undefined)).size
  }

  act(name: InstanceId): void {
    const duties = decideDuties({
      self: name,
      ranked: this.names,
      steadyMs: this.now - (this.#bornAt.get(name) ?? 0),
      owner: { ...this.#viewOf('owner', name), downMs: 0 },
      standby: this.#viewOf('standby', name),
    })
    for (const duty of duties) {
      const role = duty.endsWith('owner') ? 'owner' : 'standby'
      const held = this.#held[role]
      if (duty.startsWith('take_') && held === undefined) {
        this.#held[role] = { by: name, since: this.now }
        return
      }
      if (duty.startsWith('claim_') && held !== undefined) held.claimedBy = name
      if (duty.startsWith('leave_')) {
        if (role === 'owner') this.handOvers += 1
        this.#free(role)
        return
      }
    }
  }

  #free(role: 'owner' | 'standby'): void {
    this.#held[role] = undefined
    this.#freeSince[role] = this.now
  }

  #viewOf(role: 'owner' | 'standby', name: InstanceId): PostView {
    const held = this.#held[role]
    const isHeld = held?.by === name
    return {
      isHeld,
      isOpen: isHeld,
      isStopped: false,
      unchangedMs: isHeld ? this.now - held.since : 0,
      claimedBy: isHeld ? held.claimedBy : undefined,
      freeMs: held === undefined ? this.now - this.#freeSince[role] : 0,
    }
  }
}

type Step = { readonly kind: 'join' | 'die' | 'pass'; readonly which: number; readonly ms: number }
const steps = fc.array(
  fc.record<Step>({
    kind: fc.constantFrom('join', 'die', 'pass'),
    which: fc.nat(20),
    ms: fc.integer({ min: 0, max: 20_000 }),
  }),
  { maxLength: 30 },
)

/** Lets everybody act once a second, in an order that the seed decides. */
function passTime(model: Model, ms: number, seed: number): void {
  const end = model.now + ms
  while (model.now < end) {
    model.now += 1_000
    const turn = (seed + model.now / 1_000) % Math.max(model.names.length, 1)
    for (const name of [...model.names.slice(turn), ...model.names.slice(0, turn)]) model.act(name)
  }
}

test('whoever comes and goes: when it is quiet, the first in line owns the node and the second stands by', () => {
  fc.assert(
    fc.property(steps, fc.nat(7), (script, seed) => {
      const model = new Model()
      model.join(toInstanceId('first'), 0)
      for (const [index, { kind, which, ms }] of script.entries()) {
        if (kind === 'join') model.join(toInstanceId(`i${index}`), which)
        const victim = model.names[which % model.names.length]
        if (kind === 'die' && victim !== undefined && model.names.length > 1) model.die(victim)
        passTime(model, ms, seed + index)
      }
      passTime(model, 60_000, seed)
      expect([model.holder('owner'), model.holder('standby')]).toEqual([model.names[0], model.names[1]])
      const { handOvers } = model
      passTime(model, 60_000, seed)
      expect(model.handOvers).toBe(handOvers)
    }),
    { numRuns: 500 },
  )
})

test('newcomers never leave the node without a channel', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(10), { minLength: 1, maxLength: 8 }), fc.nat(7), (places, seed) => {
      const model = new Model()
      model.join(A, 0)
      model.join(B, 1)
      passTime(model, 5_000, seed)
      expect(model.open).toBe(2)
      for (const [index, place] of places.entries()) {
        model.join(toInstanceId(`i${index}`), place)
        for (let second = 0; second < 40; second += 1) {
          model.now += 1_000
          for (const name of model.names) {
            model.act(name)
            expect(model.open).toBeGreaterThanOrEqual(1)
          }
        }
      }
    }),
    { numRuns: 200 },
  )
})
