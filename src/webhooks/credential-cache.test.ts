import { expect, test } from 'vitest'
import { systemClock } from '../core/clock.ts'
import { GatewayError } from '../core/errors.ts'
import { toEndpointId } from '../core/ids.ts'
import { generateKeyPair } from './asymmetric-signature.ts'
import { CredentialCache } from './credential-cache.ts'
import { generateSecret } from './signature.ts'

const URL = 'https://hooks.example.net/'
const ownerOf = (id: string) => ({ endpointId: toEndpointId(id), url: URL })
const OWNER = ownerOf('endpoint-1')
/** Its time stands still, except for waits, which are real. */
const clockAt = (monotonic: () => number) => ({ ...systemClock, monotonic })
const held = (...secrets: readonly string[]) => ({ secrets, headers: { 'x-api-key': 'k' }, url: URL })

test('credentials are read once within a second and again after that', async () => {
  let now = 0
  const answers = [held(generateSecret(), generateSecret(), generateKeyPair().privateKey), undefined]
  const cache = new CredentialCache(
    { credentialsOf: () => Promise.resolve(answers.shift()) },
    clockAt(() => now),
  )
  const first = await cache.of(OWNER)
  expect(first?.keys.symmetric).toHaveLength(2)
  expect(first?.keys.asymmetric).toHaveLength(1)
  expect(first?.headers).toEqual({ 'x-api-key': 'k' })
  now = 999
  expect(await cache.of(OWNER)).toBe(first)
  expect(answers).toHaveLength(1)
  now = 1_000
  expect(await cache.of(OWNER)).toBeUndefined()
  expect(answers).toHaveLength(0)
})

test('many who ask at once share one read, and its age counts from its beginning', async () => {
  let now = 0
  const reads: ((found: ReturnType<typeof held>) => void)[] = []
  const cache = new CredentialCache(
    { credentialsOf: () => new Promise((resolve) => reads.push(resolve)) },
    clockAt(() => now),
  )
  const asked = [cache.of(OWNER), cache.of(OWNER)]
  now = 900
  asked.push(cache.of(OWNER))
  expect(reads).toHaveLength(1)
  reads[0]?.(held(generateSecret()))
  const found = await Promise.all(asked)
  expect(new Set(found).size).toBe(1)
  now = 1_000
  void cache.of(OWNER)
  expect(reads).toHaveLength(2)
})

test('what took longer to read than it may be old is not used, and read again', async () => {
  let now = 0
  const reads: ((found: ReturnType<typeof held>) => void)[] = []
  const cache = new CredentialCache(
    { credentialsOf: () => new Promise((resolve) => reads.push(resolve)) },
    clockAt(() => now),
  )
  const asked = cache.of(OWNER)
  now = 1_500
  reads[0]?.(held(generateSecret()))
  await expect(asked).rejects.toMatchObject({ code: 'store_unavailable' })
  const again = cache.of(OWNER)
  reads[1]?.(held(generateSecret(), generateSecret()))
  expect((await again)?.keys.symmetric).toHaveLength(2)
})

test('records that are away do not stop an endpoint that was known, for ten minutes', async () => {
  let now = 0
  let reads = 0
  let isAway = false
  const secrets = held(generateSecret())
  const credentialsOf = () => {
    reads += 1
    return isAway ? Promise.reject(new GatewayError('store_unavailable')) : Promise.resolve(secrets)
  }
  const cache = new CredentialCache(
    { credentialsOf },
    clockAt(() => now),
  )
  const known = await cache.of(OWNER)
  isAway = true
  now = 5_000
  expect(await cache.of(OWNER)).toBe(known)
  now = 5_999
  expect(await cache.of(OWNER)).toBe(known)
  // Asked once a second, not once a delivery.
  expect(reads).toBe(2)
  now = 599_999
  expect(await cache.of(OWNER)).toBe(known)
  now = 600_000
  await expect(cache.of(OWNER)).rejects.toMatchObject({ code: 'store_unavailable' })
  isAway = false
  now = 601_001
  expect(await cache.of(OWNER)).not.toBe(known)
})

test('records that do not answer at all hold a known endpoint up for no more than a second', async () => {
  let now = 0
  let isStuck = false
  const credentialsOf = () =>
    isStuck ? new Promise<undefined>(() => undefined) : Promise.resolve(held(generateSecret()))
  const cache = new CredentialCache(
    { credentialsOf },
    clockAt(() => now),
  )
  const known = await cache.of(OWNER)
  isStuck = true
  now = 5_000
  expect(await cache.of(OWNER)).toBe(known)
})

test('headers that were set for another URL are read again, and never handed out', async () => {
  let now = 0
  let recorded = { ...held(generateSecret()), headers: { authorization: 'Bearer of-a' } }
  const answer = () => Promise.resolve(recorded)
  let credentialsOf: () => Promise<typeof recorded> = answer
  const cache = new CredentialCache(
    { credentialsOf: () => credentialsOf() },
    clockAt(() => now),
  )
  const moved = { ...OWNER, url: 'https://other.example.net/' }
  expect((await cache.of(OWNER))?.headers).toEqual({ authorization: 'Bearer of-a' })
  // The directory knows of the change before the records that were read, or after them.
  await expect(cache.of(moved)).rejects.toMatchObject({ code: 'store_unavailable' })
  recorded = { ...recorded, url: moved.url, headers: { authorization: 'Bearer of-b' } }
  expect((await cache.of(moved))?.headers).toEqual({ authorization: 'Bearer of-b' })
  await expect(cache.of(OWNER)).rejects.toMatchObject({ code: 'store_unavailable' })
  await expect(cache.of({ ...moved, failoverUrl: URL })).rejects.toMatchObject({ code: 'store_unavailable' })
  // Not even while the records are away.
  credentialsOf = () => Promise.reject(new GatewayError('store_unavailable'))
  now = 5_000
  await expect(cache.of(OWNER)).rejects.toMatchObject({ code: 'store_unavailable' })
  expect((await cache.of(moved))?.headers).toEqual({ authorization: 'Bearer of-b' })
})

test('a read that began before the change is not the last word', async () => {
  const reads: ((found: ReturnType<typeof held>) => void)[] = []
  const cache = new CredentialCache(
    { credentialsOf: () => new Promise((resolve) => reads.push(resolve)) },
    clockAt(() => 0),
  )
  const moved = { ...OWNER, url: 'https://other.example.net/' }
  const asked = [cache.of(OWNER), cache.of(moved)]
  reads[0]?.(held(generateSecret()))
  await asked[0]
  await expect.poll(() => reads.length).toBe(2)
  reads[1]?.({ ...held(generateSecret(), generateSecret()), url: moved.url })
  expect((await asked[1])?.keys.symmetric).toHaveLength(2)
})

test('a failed read is not remembered', async () => {
  let fails = true
  const cache = new CredentialCache(
    { credentialsOf: () => (fails ? Promise.reject(new Error('down')) : Promise.resolve(held(generateSecret()))) },
    clockAt(() => 0),
  )
  await expect(cache.of(OWNER)).rejects.toThrow('down')
  fails = false
  expect((await cache.of(OWNER))?.keys.symmetric).toHaveLength(1)
})

test('at most ten thousand endpoints are remembered', async () => {
  let reads = 0
  const cache = new CredentialCache(
    {
      credentialsOf: () => {
        reads += 1
        return Promise.resolve(undefined)
      },
    },
    clockAt(() => 0),
  )
  for (let i = 0; i <= 10_000; i += 1) await cache.of(ownerOf(`endpoint-${i}`))
  await cache.of(ownerOf('endpoint-10000'))
  expect(reads).toBe(10_001)
  await cache.of(ownerOf('endpoint-0'))
  expect(reads).toBe(10_002)
})
