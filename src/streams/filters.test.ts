import { expect, test } from 'vitest'
import { toSubscriberId } from '../core/ids.ts'
import { Filters } from './filters.ts'

const [ann, bob] = [toSubscriberId('ann@example.net'), toSubscriberId('bob@example.net')]

test('filters that want the same are one', () => {
  const filters = new Filters()
  const first = filters.get({ subscriber_ids: [ann, bob] })
  expect(filters.get({ subscriber_ids: [bob, ann, bob] })).toBe(first)
  expect(filters.get({ subscriber_ids: [ann] })).not.toBe(first)
  expect(filters.get({ subscriber_ids: [ann, bob], event_types: ['*'] })).not.toBe(first)
  expect(filters.get({ event_types: ['call.held', 'call.*'] })).toBe(
    filters.get({ event_types: ['call.*', 'call.held'] }),
  )
})

test('those that nobody has asked for since a thousand others are forgotten', () => {
  const filters = new Filters()
  const [first, second] = [filters.get({ subscriber_ids: [ann] }), filters.get({ subscriber_ids: [bob] })]
  for (let index = 0; index < 998; index += 1) filters.get({ subscriber_ids: [toSubscriberId(`${index}@example.net`)] })
  expect(filters.get({ subscriber_ids: [ann] })).toBe(first)
  filters.get({ event_types: ['*'] })
  expect(filters.get({ subscriber_ids: [ann] })).toBe(first)
  expect(filters.get({ subscriber_ids: [bob] })).not.toBe(second)
})

const large = (n: number) => ({
  subscriber_ids: Array.from({ length: 500 }, (_, index) => toSubscriberId(`${n}-${index}@of-an-example.example.net`)),
})

test('they are bounded by what they name, too: a hundred large ones take the place of those before', () => {
  const filters = new Filters()
  const [first, last] = [filters.get(large(0)), large(99)]
  for (let n = 1; n < 99; n += 1) filters.get(large(n))
  const kept = filters.get(last)
  expect(filters.get(last)).toBe(kept)
  expect(filters.get(large(0))).not.toBe(first)
})
