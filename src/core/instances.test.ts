import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { InstanceId } from './instances.ts'
import { rankInstances, toInstanceId } from './instances.ts'

const ids = fc
  .uniqueArray(fc.uuid(), { minLength: 1, maxLength: 12 })
  .map((texts) => texts.map((text) => toInstanceId(text)))
const keys = fc.uniqueArray(fc.string({ minLength: 1 }), { minLength: 1, maxLength: 50 })

test('every key has all instances in one order, whatever order they are known in', () => {
  fc.assert(
    fc.property(ids, fc.string(), fc.nat(), (instances, key, turn) => {
      const ranked = rankInstances(instances, key)
      expect(ranked.toSorted()).toEqual(instances.toSorted())
      const turned = [...instances.slice(turn % instances.length), ...instances.slice(0, turn % instances.length)]
      expect(rankInstances(turned, key)).toEqual(ranked)
    }),
  )
})

test('an instance that goes changes the first place of its own keys only, and the second one follows', () => {
  fc.assert(
    fc.property(ids, keys, fc.nat(), (instances, network, choice) => {
      const gone = instances[choice % instances.length]
      const rest = instances.filter((id) => id !== gone)
      for (const key of network) {
        const before = rankInstances(instances, key)
        // Everybody else keeps the place relative to the others.
        expect(rankInstances(rest, key)).toEqual(before.filter((id) => id !== gone))
      }
    }),
  )
})

test('keys spread evenly over the instances', () => {
  const instances = ['a', 'b', 'c', 'd'].map((name) => toInstanceId(`instance-${name}`))
  const owned = new Map<InstanceId | undefined, number>()
  for (let key = 0; key < 4_000; key += 1) {
    const [owner] = rankInstances(instances, `network-${key} xsp${key % 3}.example.net`)
    owned.set(owner, (owned.get(owner) ?? 0) + 1)
  }
  for (const instance of instances) {
    expect(owned.get(instance)).toBeGreaterThan(800)
    expect(owned.get(instance)).toBeLessThan(1_200)
  }
})
