import { describe, expect, test } from 'vitest'
import { InterruptedClaims } from './interrupted-claims.ts'

const LEASE_MS = 30_000

function setUp() {
  const time = { ms: 5_000 }
  const claims = new InterruptedClaims<string>({ clock: { monotonic: () => time.ms }, leaseMs: LEASE_MS })
  const tried: (readonly string[])[] = []
  const giveBack = (ended: readonly string[]) =>
    claims.giveBack((given) => {
      tried.push(given)
      return Promise.resolve(ended)
    })
  return { time, claims, tried, giveBack }
}

describe('interrupted claims', () => {
  test('are given back once, and nobody is asked when there are none', async () => {
    const { claims, tried, giveBack } = setUp()
    await giveBack([])
    claims.add('a')
    claims.add('b')
    await giveBack(['a', 'b'])
    await giveBack([])
    expect(tried).toEqual([['a', 'b']])
  })

  test('are tried again when they were not ended, or the store failed', async () => {
    const { claims, tried, giveBack } = setUp()
    claims.add('a')
    claims.add('b')
    await giveBack(['b'])
    await expect(claims.giveBack(() => Promise.reject(new Error('the store is away')))).rejects.toThrow('away')
    await giveBack(['a'])
    expect(tried).toEqual([['a', 'b'], ['a']])
  })

  test('are forgotten when their leases are over', async () => {
    const { time, claims, tried, giveBack } = setUp()
    claims.add('a')
    time.ms += LEASE_MS - 1
    claims.add('b')
    await giveBack([])
    time.ms += 1
    await giveBack([])
    expect(tried).toEqual([['a', 'b'], ['b']])
  })
})
