import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  deriveOrderState,
  isFinalItem,
  isFinalOrder,
  ITEM_STATES,
  itemMayBecome,
  needsCompensation,
  ORDER_ACTIONS,
  standsAlone,
  type ItemState,
  type OrderFacts,
} from './order.ts'

const facts: fc.Arbitrary<OrderFacts> = fc.record({
  items: fc.array(fc.constantFrom(...ITEM_STATES), { minLength: 1, maxLength: 6 }),
  partialAllowed: fc.boolean(),
  isCancelRequested: fc.boolean(),
  isShort: fc.boolean(),
})

test('the order of items, and how many are in a state, make no difference', () => {
  fc.assert(
    fc.property(facts, (each) => {
      const distinct = [...new Set(each.items)].toReversed()
      expect(deriveOrderState({ ...each, items: distinct })).toBe(deriveOrderState(each))
    }),
  )
})

test('an order is final when its items are, and nothing is left to be undone', () => {
  fc.assert(
    fc.property(facts, (each) => {
      const isOver = each.items.every(isFinalItem) && !needsCompensation(each)
      expect(isFinalOrder(deriveOrderState(each))).toBe(isOver)
    }),
  )
})

test('an order of all or nothing is never partial, unless there were too few numbers', () => {
  fc.assert(
    fc.property(facts, (each) => {
      const whole = { ...each, partialAllowed: false, isShort: false }
      expect(deriveOrderState(whole)).not.toBe('partial')
    }),
  )
})

test('an order with a held item that is not final is held', () => {
  fc.assert(
    fc.property(facts, (each) => {
      expect(deriveOrderState({ ...each, items: [...each.items, 'held'] })).toBe('held')
    }),
  )
})

test('items that move as they may, and are undone when that is needed, bring every order to an end', () => {
  const walk = fc.array(fc.nat(), { minLength: 1, maxLength: 200 })
  fc.assert(
    fc.property(facts, walk, (each, choices) => {
      let items: ItemState[] = each.items.map(() => 'acknowledged')
      for (const choice of choices) {
        if (needsCompensation({ ...each, items })) {
          items = items.map((state) => (state === 'completed' ? 'compensating' : state))
        }
        items = items.map((state, index) => step(state, choice + index))
      }
      // Whoever is left goes the shortest way.
      while (!isFinalOrder(deriveOrderState({ ...each, items }))) {
        const mustUndo = needsCompensation({ ...each, items })
        items = items.map((state) => {
          if (state === 'completed' && mustUndo) return 'compensating'
          return isFinalItem(state) ? state : 'cancelled'
        })
      }
      const state = deriveOrderState({ ...each, items })
      expect(items.includes('completed')).toBe(state === 'completed' || state === 'partial')
    }),
  )
})

/** The next state by choice, except that nothing is undone that need not be. */
function step(state: ItemState, choice: number): ItemState {
  const next = ITEM_STATES.filter((to) => itemMayBecome(state, to) && to !== 'compensating')
  return next.length === 0 ? state : (next[choice % (next.length + 1)] ?? state)
}

test('failed and cancelled are the end of an item; what is completed can only be undone', () => {
  expect(ITEM_STATES.filter((to) => itemMayBecome('failed', to))).toEqual([])
  expect(ITEM_STATES.filter((to) => itemMayBecome('cancelled', to))).toEqual([])
  expect(ITEM_STATES.filter((to) => itemMayBecome('completed', to))).toEqual(['compensating'])
})

test('the ends of services stand alone whatever the customer allowed, as no provider takes them back', () => {
  const alone = ORDER_ACTIONS.filter((action) => standsAlone({ action, partialAllowed: false }))
  expect(alone).toEqual(['delete', 'deleteAll'])
})
