import { beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../core/clock.ts'
import { GatewayError } from '../core/errors.ts'
import { toAppId } from '../core/ids.ts'
import type { AppId } from '../core/ids.ts'
import { Authenticator, readBearer } from './authentication.ts'

const appId = toAppId('app-1')

let nowMs: number
let owners: Map<string, AppId>
let asked: string[]
let authenticator: Authenticator

beforeEach(() => {
  nowMs = 0
  owners = new Map([['app-key', appId]])
  asked = []
  authenticator = new Authenticator({
    apps: {
      authenticate: (key) => {
        asked.push(key)
        return Promise.resolve(owners.get(key))
      },
      find: () => Promise.resolve(undefined),
    },
    directory: { app: () => undefined },
    adminKey: 'admin-key',
    clock: { ...systemClock, monotonic: () => nowMs },
  })
})

describe('a key', () => {
  it('opens its own app and, for any other, nothing that exists', async () => {
    expect(await authenticator.requireApp('Bearer app-key', 'app-1')).toBe('app-1')
    await expect(authenticator.requireApp('Bearer app-key', 'app-2')).rejects.toMatchObject({ code: 'app_not_found' })
  })

  it("that is nobody's is refused, and asked about again each time", async () => {
    await expect(authenticator.requireApp('Bearer wrong', 'app-1')).rejects.toMatchObject({ code: 'unauthorized' })
    owners.set('wrong', appId)
    expect(await authenticator.requireApp('Bearer wrong', 'app-1')).toBe('app-1')
  })

  it('is asked about once a second at most', async () => {
    for (const at of [0, 500, 999]) {
      nowMs = at
      await authenticator.requireApp('Bearer app-key', 'app-1')
    }
    expect(asked).toEqual(['app-key'])
    owners.clear()
    nowMs = 1_000
    await expect(authenticator.requireApp('Bearer app-key', 'app-1')).rejects.toMatchObject({ code: 'unauthorized' })
  })

  it('used by many requests at once is asked about once', async () => {
    await Promise.all(Array.from({ length: 50 }, () => authenticator.requireApp('Bearer app-key', 'app-1')))
    expect(asked).toHaveLength(1)
  })

  it('is asked about again after the records have failed', async () => {
    let failures = 1
    const flaky = new Authenticator({
      apps: {
        authenticate: () =>
          failures-- > 0 ? Promise.reject(new GatewayError('store_unavailable')) : Promise.resolve(appId),
        find: () => Promise.resolve(undefined),
      },
      directory: { app: () => undefined },
      adminKey: 'admin-key',
      clock: systemClock,
    })
    await expect(flaky.requireApp('Bearer k', 'app-1')).rejects.toMatchObject({ code: 'store_unavailable' })
    expect(await flaky.requireApp('Bearer k', 'app-1')).toBe('app-1')
  })
})

describe('the admin key', () => {
  it('is needed for admin routes, and an app key does not do', () => {
    expect(() => authenticator.requireAdmin('Bearer admin-key')).not.toThrow()
    for (const header of [undefined, '', 'Bearer app-key', 'Bearer admin-key2', 'Bearer admin-ke', 'Basic admin-key']) {
      expect(() => authenticator.requireAdmin(header)).toThrow(expect.objectContaining({ code: 'unauthorized' }))
    }
  })

  it('opens an app that exists and no other', async () => {
    await expect(authenticator.requireApp('Bearer admin-key', 'app-1')).rejects.toMatchObject({ code: 'app_not_found' })
  })
})

describe('readBearer', () => {
  it('takes the scheme in any case', () => {
    expect(readBearer('bearer  abc ')).toBe('abc')
  })

  it.each([undefined, '', 'Bearer', 'Bearer ', 'Bearer a b', 'Bearer clé', 'Token abc', `Bearer ${'x'.repeat(513)}`])(
    'refuses %j',
    (header) => {
      expect(() => readBearer(header)).toThrow(expect.objectContaining({ code: 'unauthorized' }))
    },
  )
})
