import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { DeliveryModel } from '../../test/support/delivery-model.ts'
import type { Ending, Step } from '../../test/support/delivery-steps.ts'
import { DeliveryRig } from '../../test/support/delivery-rig.ts'
import { useRedis } from '../../test/support/use-redis.ts'
import { DELIVERY_CLASSES } from '../core/delivery-policy.ts'
import type { LaneRules } from './delivery.ts'

const redis = useRedis()

const NAMES = ['red', 'blue']
const pick = fc.nat(50)
const endpoint = fc.nat(1)
const entry = fc.record({
  key: fc.constantFrom('a', 'b', 'c', 'd'),
  class: fc.constantFrom(...DELIVERY_CLASSES),
  to: fc.subarray([0, 1], { minLength: 1 }),
  ageMs: fc.constantFrom(0, 0, 0, 7_000, 40_000),
})
const endings: readonly Ending[] = [
  'delivered',
  'delivered-passed-on',
  'delivered-passed-on',
  'delivered-then-begun',
  'delivered-then-crash',
  'failed',
  'failed',
  'failed',
  'failed-resent',
  'paused',
  'expired',
  'handed-back',
]

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant('log'),
      entries: fc.array(entry, { minLength: 1, maxLength: 5 }),
      places: fc.constantFrom(0, 1, 2, 10),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('follow'),
      endpoints: fc.subarray([0, 1], { minLength: 1 }),
      back: fc.nat(4),
    }),
  },
  { weight: 27, arbitrary: fc.record({ do: fc.constant('work'), pick }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('stray'), pick }) },
  {
    weight: 21,
    arbitrary: fc.record({
      do: fc.constant('finish'),
      pick,
      how: fc.constantFrom(...endings),
      retryMs: fc.constantFrom(0, 250, 3_000, 20_000),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('crash'), pick }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('replace'), pick }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('lose'), pick }) },
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant('wait'),
      ms: fc.constantFrom(1, 100, 250, 1_000, 2_999, 5_000, 10_000),
      renewing: fc.boolean(),
    }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('sweep'), endpoint }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('storm'), endpoint }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('replay'), endpoint }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('remove'), endpoint }) },
)

const rules: fc.Arbitrary<LaneRules> = fc
  .record({
    slots: fc.constantFrom(1, 2, 25),
    rate: fc.constantFrom(0, 0, 2, 5),
    orderHoldMs: fc.constantFrom(0, 2_000, 10_000),
    coalesce: fc.boolean(),
  })
  .map(({ rate, ...rest }) => (rate === 0 ? rest : { ...rest, ratePerSecond: rate }))

/** Keys that live as long as their endpoint or app, or have another bound. */
const LASTING = new Set(['ch:{wh}:apps', 'ch:{wh}:counts', 'ch:{wh}:cursors:app', 'ch:{wh}:records'])

test('whatever owners do and whenever they die, every event is handed out in order and ends once', async () => {
  const client = redis.connect()
  const run = async (how: LaneRules, backlogMax: number, steps: readonly Step[]) => {
    await client.flushall()
    const rig = new DeliveryRig(client, { backlogMax })
    const model = new DeliveryModel(rig, { names: NAMES, rules: how, backlogMax })
    await model.start()
    for (const each of steps) await model.perform(each)
    const unbounded: string[] = []
    for (const key of await client.keys('*')) if ((await client.pttl(key)) < 0) unbounded.push(key)
    expect(unbounded.filter((key) => !LASTING.has(key))).toEqual([])
    await model.settleDown()
    const left = await client.keys('*')
    const unexpected = left.filter(
      (key) => !/^ch:\{wh\}:(?:apps|cursors:app|records|recording|recorder-lock|gate:|skipped:)/.test(key),
    )
    expect(unexpected).toEqual([])
    const ends = new Map<string, number>()
    for (const fact of model.recorded) {
      if (fact.kind === 'ended') ends.set(fact.deliveryId, (ends.get(fact.deliveryId) ?? 0) + 1)
      else if (fact.kind === 'replayed') ends.set(fact.deliveryId, (ends.get(fact.deliveryId) ?? 0) - 1)
      else if (fact.kind === 'taken') for (const { deliveryId } of fact.endpoints) ends.set(deliveryId, 0)
    }
    expect([...ends.values()].every((times) => times === 1)).toBe(true)
  }
  await fc.assert(
    fc.asyncProperty(
      rules,
      fc.constantFrom(6, 1_000),
      fc.array(step, { minLength: 5, maxLength: 80, size: 'max' }),
      run,
    ),
    { numRuns: 120 },
  )
}, 120_000)
