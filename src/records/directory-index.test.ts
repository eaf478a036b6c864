import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Assignment } from '../core/directory.ts'
import * as v from 'valibot'
import { ENDPOINT_DEFAULTS } from '../core/endpoint.ts'
import { ShardSchema, toAppId, toEndpointId, toNetworkId, toSubscriberId } from '../core/ids.ts'
import { DirectoryIndex } from './directory-index.ts'

const SHARD = v.parse(ShardSchema, 's1')
const APPS = ['a1', 'a2', 'a3'].map(toAppId)
const NETWORKS = ['n1', 'n2'].map(toNetworkId)
const SUBSCRIBERS = ['s1', 's2', 's3', 's4'].map(toSubscriberId)

type Operation =
  | { readonly type: 'assign'; readonly app: number; readonly network: number; readonly subscriber: number }
  | { readonly type: 'unassign'; readonly app: number; readonly subscriber: number }
  | { readonly type: 'removeApp'; readonly app: number }

const index = (length: number) => fc.nat(length - 1)
const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant('assign' as const),
      app: index(3),
      network: index(2),
      subscriber: index(4),
    }),
  },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('unassign' as const), app: index(3), subscriber: index(4) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('removeApp' as const), app: index(3) }) },
)

test('after any history every look-up answers what a list of assignments would', () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
      const directory = new DirectoryIndex()
      let expected: Assignment[] = []
      for (const step of operations) {
        const appId = APPS[step.app]!
        if (step.type === 'removeApp') {
          directory.setApp(appId, undefined)
          expected = expected.filter((kept) => kept.app.appId !== appId)
        } else {
          const subscriberId = SUBSCRIBERS[step.subscriber]!
          expected = expected.filter((kept) => kept.app.appId !== appId || kept.subscriberId !== subscriberId)
          const assignment: Assignment | undefined =
            step.type === 'unassign'
              ? undefined
              : {
                  app: { appId, shard: SHARD },
                  network: { networkId: NETWORKS[step.network]!, shard: SHARD },
                  subscriberId,
                  subscriberNumber: '+15550100',
                }
          directory.setAssignment(appId, subscriberId, assignment)
          if (assignment !== undefined) expected.push(assignment)
        }
        // Asked after every step, so that a list kept too long is noticed.
        for (const app of APPS) {
          expect(new Set(directory.assignmentsOfApp(app))).toEqual(
            new Set(expected.filter((kept) => kept.app.appId === app)),
          )
        }
        for (const network of NETWORKS) {
          const ofNetwork = expected.filter((kept) => kept.network.networkId === network)
          const ids = directory.subscribersOf(network)
          expect(new Set(ids)).toEqual(new Set(ofNetwork.map((kept) => kept.subscriberId)))
          expect(ids).toHaveLength(new Set(ids).size)
          for (const subscriber of SUBSCRIBERS) {
            expect(new Set(directory.assignmentsOf(network, subscriber))).toEqual(
              new Set(ofNetwork.filter((kept) => kept.subscriberId === subscriber)),
            )
          }
        }
      }
    }),
    { numRuns: 100 },
  )
})

test('a removed app takes its keys and endpoints along', () => {
  const directory = new DirectoryIndex()
  const [appId, other] = [toAppId('a1'), toAppId('a2')]
  for (const app of [appId, other]) {
    directory.setApp(app, { appId: app, shard: SHARD })
    directory.setKey(`key-${app}`, { keyId: `key-${app}`, appId: app, hash: Buffer.alloc(32) })
    directory.setEndpoint(app, 'e', {
      endpointId: toEndpointId('e'),
      app: { appId: app, shard: SHARD },
      url: 'https://hooks.example.net',
      ...ENDPOINT_DEFAULTS,
      enabled: true,
      verified: true,
    })
  }
  directory.setApp(appId, undefined)
  expect(directory.apps()).toEqual([{ appId: other, shard: SHARD }])
  expect(directory.key('key-a1')).toBeUndefined()
  expect(directory.key('key-a2')).toBeDefined()
  expect(directory.endpointsOf(appId)).toEqual([])
  expect(directory.endpointsOf(other)).toHaveLength(1)
})
