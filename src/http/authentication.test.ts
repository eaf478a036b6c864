import * as v from 'valibot'
import { beforeEach, describe, expect, it } from 'vitest'
import type { Caller } from '../core/app.ts'
import { ShardSchema, toAppId } from '../core/ids.ts'
import { Authenticator, readBearer } from './authentication.ts'

const appId = toAppId('app-1')

let owners: Map<string, Required<Caller>>
let authenticator: Authenticator

beforeEach(() => {
  owners = new Map([['app-key', { appId, keyId: 'key-1' }]])
  authenticator = new Authenticator({
    apps: { authenticate: (key) => Promise.resolve(owners.get(key)), find: () => Promise.resolve(undefined) },
    directory: { app: (id) => (id === 'app-3' ? { appId: id, shard: v.parse(ShardSchema, 'main') } : undefined) },
    provisioningKeys: {
      authenticate: (key) => Promise.resolve(key === 'pk' ? { kind: 'key', keyId: 'pky_1', appId } : undefined),
    },
    adminKey: 'admin-key',
  })
})

describe('a key', () => {
  it('opens its own app and, for any other, nothing that exists', async () => {
    expect(await authenticator.requireApp('Bearer app-key', 'app-1')).toEqual({ appId: 'app-1', keyId: 'key-1' })
    await expect(authenticator.requireApp('Bearer app-key', 'app-2')).rejects.toMatchObject({ code: 'app_not_found' })
  })

  it("that is nobody's is refused, until it is somebody's", async () => {
    await expect(authenticator.requireApp('Bearer wrong', 'app-1')).rejects.toMatchObject({ code: 'unauthorized' })
    owners.set('wrong', { appId, keyId: 'key-2' })
    expect(await authenticator.requireApp('Bearer wrong', 'app-1')).toEqual({ appId: 'app-1', keyId: 'key-2' })
  })

  it('that was just accepted is refused as soon as it is revoked', async () => {
    await authenticator.requireApp('Bearer app-key', 'app-1')
    owners.clear()
    await expect(authenticator.requireApp('Bearer app-key', 'app-1')).rejects.toMatchObject({ code: 'unauthorized' })
  })
})

describe('the admin key', () => {
  it('is needed for admin routes, and an app key does not do', () => {
    expect(() => authenticator.requireAdmin('Bearer admin-key')).not.toThrow()
    for (const header of [undefined, '', 'Bearer app-key', 'Bearer admin-key2', 'Bearer admin-ke', 'Basic admin-key']) {
      expect(() => authenticator.requireAdmin(header)).toThrow(expect.objectContaining({ code: 'unauthorized' }))
    }
  })

  it("opens an app that exists, in no key's name, and no other", async () => {
    expect(await authenticator.requireApp('Bearer admin-key', 'app-3')).toEqual({ appId: 'app-3' })
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

describe('a provisioning key', () => {
  it('sees what it was issued for, and the admin key sees all', async () => {
    expect(await authenticator.requireScope('Bearer pk')).toEqual({ kind: 'key', keyId: 'pky_1', appId: 'app-1' })
    expect(await authenticator.requireScope('Bearer admin-key')).toEqual({ kind: 'admin' })
  })

  it('is no key of an app, and a key of an app is none', async () => {
    await expect(authenticator.requireApp('Bearer pk', 'app-1')).rejects.toMatchObject({ code: 'unauthorized' })
    await expect(authenticator.requireScope('Bearer app-key')).rejects.toMatchObject({ code: 'unauthorized' })
  })
})
