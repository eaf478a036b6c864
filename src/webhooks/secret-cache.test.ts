import { expect, test } from 'vitest'
import { toEndpointId } from '../core/ids.ts'
import { SecretCache } from './secret-cache.ts'
import { generateSecret } from './signature.ts'

const ID = toEndpointId('endpoint-1')

test('a secret is read once within 5 s and again after that', async () => {
  let now = 0
  let reads = 0
  const cache = new SecretCache(
    { secretsOf: () => Promise.resolve(reads++ === 0 ? [generateSecret()] : []) },
    { monotonic: () => now },
  )
  expect(await cache.keysOf(ID)).toHaveLength(1)
  now = 4_999
  expect(await cache.keysOf(ID)).toHaveLength(1)
  expect(reads).toBe(1)
  now = 5_000
  expect(await cache.keysOf(ID)).toHaveLength(0)
})

test('a failed read is not remembered', async () => {
  let fails = true
  const cache = new SecretCache(
    { secretsOf: () => (fails ? Promise.reject(new Error('down')) : Promise.resolve([generateSecret()])) },
    { monotonic: () => 0 },
  )
  await expect(cache.keysOf(ID)).rejects.toThrow('down')
  fails = false
  expect(await cache.keysOf(ID)).toHaveLength(1)
})

test('at most ten thousand endpoints are remembered', async () => {
  let reads = 0
  const cache = new SecretCache(
    {
      secretsOf: () => {
        reads += 1
        return Promise.resolve([])
      },
    },
    { monotonic: () => 0 },
  )
  for (let i = 0; i <= 10_000; i += 1) await cache.keysOf(toEndpointId(`endpoint-${i}`))
  await cache.keysOf(toEndpointId('endpoint-10000'))
  expect(reads).toBe(10_001)
  await cache.keysOf(toEndpointId('endpoint-0'))
  expect(reads).toBe(10_002)
})
