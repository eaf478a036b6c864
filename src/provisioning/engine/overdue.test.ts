import { expect, test } from 'vitest'
import { isOverdue } from './overdue.ts'

const DAY_MS = 86_400_000
const SENT = Date.UTC(2026, 0, 1)
const PORT = {
  action: 'port',
  losingCarrier: { name: 'Other Telephone' },
  authorizedBy: { name: 'Ada Jones' },
  address: { line1: '1 Main St', city: 'New York', postalCode: '10001', country: 'US' },
} as const
const day = (days: number) => SENT + days * DAY_MS

test.each([
  ['sent', {}, [], 30],
  ['asked for on day 60', { requestedFocDate: day(60) }, [], 90],
  ['agreed on day 10 and day 40', { requestedFocDate: day(5) }, [10, 40], 70],
  ['agreed before it was sent', {}, [-20], 30],
  ['agreed on in the year 9999', {}, [2_900_000], 396],
])('what was %s is overdue from then on', (_, port, agreed, last) => {
  const isOverdueOn = (now: number) =>
    isOverdue({
      order: { now: new Date(day(now)), parameters: { ...PORT, ...port } },
      fulfilment: { waits_since: new Date(SENT) },
      items: [{ foc_date: null }, ...agreed.map((days) => ({ foc_date: new Date(day(days)) }))],
      waitDays: 30,
    })
  expect([isOverdueOn(last), isOverdueOn(last + 0.001)]).toEqual([false, true])
})
