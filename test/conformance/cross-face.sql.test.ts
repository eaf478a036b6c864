import * as fc from 'fast-check'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CrossFaceStage, NUMBERS, type CrossFaceScene, type Operation } from '../support/cross-face-scene.ts'
import { STORES } from '../support/records.ts'

const by = fc.nat({ max: 1 })
const number = fc.nat({ max: NUMBERS - 1 })
const FAULTS = [
  'timeout_before_commit',
  'timeout_after_commit',
  'duplicate_callback',
  'partial_batch',
  'throttle',
  'refuse',
  'slow',
] as const

/** What somebody may do; what is worth doing more often is there more often. */
const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('any'),
      by,
      quantity: fc.integer({ min: 1, max: 3 }),
      partialAllowed: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('range'), by, number, size: fc.constant(1) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('add'), by, number }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constantFrom('add later', 'update', 'remove'), by, number }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('change', 'delete'), by, number, isText: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('cancel'), by, pick: fc.nat({ max: 5 }) }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('idi'), by, number, action: fc.constantFrom('begin', 'enable', 'end') }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('fault'), number, fault: fc.constantFrom(...FAULTS) }) },
  { weight: 3, arbitrary: fc.constant({ kind: 'settle' as const }) },
)

/** A number begins, can be texted, is changed, and ends. */
const STORY: readonly Operation[] = [
  { kind: 'any', by: 0, quantity: 1, partialAllowed: false },
  { kind: 'settle' },
  { kind: 'add', by: 0, number: 0 },
  { kind: 'settle' },
  { kind: 'change', by: 0, number: 0, isText: false },
  { kind: 'settle' },
  { kind: 'remove', by: 0, number: 0 },
  { kind: 'settle' },
  { kind: 'delete', by: 0, number: 0, isText: false },
  { kind: 'settle' },
]
const BY_IDI: readonly Operation[] = [
  { kind: 'idi', by: 1, number: 1, action: 'begin' },
  { kind: 'settle' },
  { kind: 'idi', by: 1, number: 1, action: 'enable' },
  { kind: 'settle' },
  { kind: 'remove', by: 1, number: 0 },
  { kind: 'settle' },
  { kind: 'idi', by: 1, number: 0, action: 'end' },
  { kind: 'idi', by: 0, number: 1, action: 'end' },
  { kind: 'settle' },
  { kind: 'idi', by: 1, number: 3, action: 'begin' },
  { kind: 'settle' },
  { kind: 'idi', by: 0, number: 3, action: 'begin' },
]

async function play(scene: CrossFaceScene): Promise<readonly string[]> {
  const found: string[] = []
  for (const each of STORY) {
    if (each.kind === 'settle') found.push(...(await scene.settle()))
    else await scene.do(each)
    if (found.length > 0) return found
  }
  return found
}

describe.each(STORES)('the three provisioning APIs over %s', (store) => {
  let stage: CrossFaceStage
  beforeAll(async () => {
    stage = await CrossFaceStage.start(store)
  })
  afterAll(() => stage.stop())

  test('agree at every moment, whatever is asked of which of them', { timeout: 240_000 }, async () => {
    const counts = new Map<string, number>()
    const count = (what: string) => counts.set(what, (counts.get(what) ?? 0) + 1)
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 10, maxLength: 24 }), async (operations) => {
        const scene = await stage.open()
        for (const each of operations) {
          count(`${each.kind} ${await scene.do(each)}`)
          expect(await scene.disagreements()).toEqual([])
        }
        expect(await scene.conclude()).toEqual([])
        for (const status of await scene.statuses()) count(status)
        const { zilkr, zipwhip, idi } = await scene.inService()
        expect(idi).toEqual(zilkr)
        expect(zipwhip).toEqual(zilkr.filter((service) => service.includes('prd_text-enablement')))
      }),
      { numRuns: 12, endOnFailure: true, examples: [[[...STORY, ...BY_IDI]]] },
    )
    // Where everything is refused, agreement would be cheap.
    const all = ['any 201', 'add 100', 'remove 100', 'change 201', 'delete 201', 'idi 201', 'Complete', 'In Error']
    expect(all.filter((done) => !counts.has(done))).toEqual([])
  })

  test.each([
    ['services', 'services_mirrored_when_added'],
    ['services', 'services_mirrored_when_changed'],
    ['order_items', 'order_items_mirrored_when_added'],
    ['order_items', 'order_items_mirrored_when_changed'],
    ['orders', 'orders_mirrored_when_changed'],
    ['provider_calls', 'provider_calls_mirrored_when_added'],
  ])('%s without the trigger %s are found to disagree', async (table, trigger) => {
    const scene = await stage.open()
    const set = (state: 'enable' | 'disable') =>
      stage.rig.provisioning.database.query((db) =>
        sql`alter table ${sql.table(table)} ${sql.raw(state)} trigger ${sql.ref(trigger)}`.execute(db),
      )
    await set('disable')
    try {
      expect(await play(scene)).not.toEqual([])
    } finally {
      await scene.conclude()
      await set('enable')
    }
    expect(await play(await stage.open())).toEqual([])
  })
})
