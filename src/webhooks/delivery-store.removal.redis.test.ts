import { describe, expect, test } from 'vitest'
import { appId, endpointRef, keysOf, lane, ringing } from '../../test/support/delivery-rig.ts'
import { useDeliveryRigs } from '../../test/support/use-delivery-rigs.ts'

const { redis, openRig } = useDeliveryRigs()

describe('removing', () => {
  test('an endpoint is removed with everything that it alone had pending, each event recorded as dropped', async () => {
    const rig = await openRig()
    const entries = Array.from({ length: 2_500 }, (_, i) => ringing(i < 1_500 ? 'long' : `lane-${i % 450}`))
    const { wakes } = await rig.take(entries)
    expect(keysOf(wakes).slice(0, 3)).toEqual(['long', 'lane-150', 'lane-151'])
    await rig.due('lane-150', 'o')
    await rig.fail('lane-151', 'o', await rig.due('lane-151', 'o'), { due: rig.now + 1_000 })
    // Leaves word of what was left out.
    expect((await rig.settle('lane-152', await rig.due('lane-152', 'o'), 'expired')).kind).toBe('more')
    await rig.facts()
    expect(await rig.store.remove(endpointRef('endpoint'), rig.now)).toBe(2_499)
    const facts = await rig.facts()
    expect(facts).toHaveLength(2_499)
    expect(facts.every((fact) => fact.kind === 'ended' && fact.status === 'dropped')).toBe(true)
    await rig.records.release('test')
    expect((await redis.connect().keys('*')).toSorted()).toEqual(['ch:{wh}:recording', 'ch:{wh}:records'])
    expect(await redis.connect().xlen('ch:{wh}:records')).toBe(0)
    expect(await rig.begin('lane-150', 'o')).toEqual({ kind: 'idle', wakes: [] })
  })

  test('what another endpoint has of the same events stays', async () => {
    const rig = await openRig({}, ['other'])
    await rig.take([ringing('a')], ['endpoint', 'other'])
    await rig.store.remove(endpointRef('endpoint'), rig.now)
    expect((await rig.due('a', 'o', { name: 'other' })).event.payload).toBe('{"n":1}')
    expect(await rig.store.apps()).toEqual([appId])
    expect([...(await rig.store.cursors(appId)).keys()]).toEqual(['other'])
  })

  test('an owner that comes back after the removal leaves nothing behind but counts with a time to live', async () => {
    const rig = await openRig()
    await rig.take([ringing('a'), ringing('b')])
    const a = await rig.due('a', 'o')
    const b = await rig.due('b', 'p')
    await rig.store.remove(endpointRef('endpoint'), rig.now)
    expect((await rig.settle('a', a)).kind).toBe('lost')
    expect((await rig.fail('b', 'p', b, { due: rig.now + 1 })).kind).toBe('lost')
    await rig.store.renew([{ lane: lane('b'), owner: 'p' }], rig.now)
    expect(await rig.begin('b', 'p', { fresh: false })).toEqual({ kind: 'lost' })
    const client = redis.connect()
    expect((await client.keys('*')).toSorted()).toEqual(['ch:{wh}:gate:endpoint', 'ch:{wh}:records'])
    expect(await client.pttl('ch:{wh}:gate:endpoint')).toBeGreaterThan(0)
    // It has no lanes, so the next removal takes the rest.
    await rig.store.remove(endpointRef('endpoint'), rig.now)
    expect(await client.keys('*')).toEqual(['ch:{wh}:records'])
  })
})
