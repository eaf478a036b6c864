import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Ledger } from './ledger.ts'
import type { LedgerEntry } from './ledger.ts'

const entry = (number: number): LedgerEntry => ({
  event_id: `event-${number}`,
  subscription_id: 'subscription',
  sequence_number: number,
  user_id: 'ann@example.net',
  call_id: null,
  type: 'HookStatusEvent',
  state: null,
  created_at: number,
  emissions: [],
  acked_at: null,
  ack_status: null,
  expired_at: null,
  expired_reason: null,
})

describe('ledger', () => {
  test('a reader that follows the cursor sees every entry still held exactly once, in order, whatever the pages', () => {
    fc.assert(
      fc.property(fc.nat(300), fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (count, limits) => {
        const ledger = new Ledger(100)
        for (let number = 1; number <= count; number += 1) ledger.add(entry(number))
        const seen: number[] = []
        let cursor = 0
        for (let page = 0; ; page += 1) {
          const { entries, next } = ledger.read(cursor, limits[page % limits.length] ?? 1)
          if (entries.length === 0) break
          seen.push(...entries.map((read) => read.sequence_number))
          cursor = next
        }
        const held = ledger.summary().events
        expect(held).toBeLessThanOrEqual(110)
        expect(held + ledger.summary().forgotten).toBe(count)
        expect(seen).toEqual(Array.from({ length: held }, (_, index) => count - held + index + 1))
      }),
    )
  })

  test('a forgotten or cleared entry is no longer found, and the cursor never goes back', () => {
    const ledger = new Ledger(10)
    for (let number = 1; number <= 12; number += 1) ledger.add(entry(number))
    expect(ledger.find('event-1')).toBeUndefined()
    expect(ledger.find('event-12')?.sequence_number).toBe(12)
    ledger.clear()
    expect(ledger.read(0, 10)).toEqual({ entries: [], next: 12 })
    ledger.add(entry(13))
    expect(ledger.read(12, 10).entries.map((read) => read.sequence_number)).toEqual([13])
  })
})
