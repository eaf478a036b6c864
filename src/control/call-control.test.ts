import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import type { StoredCall } from '../core/call-reader.ts'
import type { CallState } from '../core/call.ts'
import { systemClock } from '../core/clock.ts'
import type { Assignment } from '../core/directory.ts'
import { ShardSchema, toAppId, toCallId, toNetworkId, toSubscriberId } from '../core/ids.ts'
import { silentLogger } from '../core/logger.ts'
import { CallControl } from './call-control.ts'

const shard = v.parse(ShardSchema, 'main')
const appId = toAppId('app-1')
const callId = toCallId('callhalf-1:0')

const networkOf = (name: string) => ({ networkId: toNetworkId(name), shard })
const assign = (network: string, subscriber: string): Assignment => ({
  app: { appId, shard },
  network: networkOf(network),
  subscriberId: toSubscriberId(subscriber),
  subscriberNumber: '+15550000001',
})
const stored = (network: string, subscriber: string, state: CallState): StoredCall => ({
  network: networkOf(network),
  subscriberId: toSubscriberId(subscriber),
  call: {
    callId,
    state,
    direction: 'incoming',
    remoteNumber: '+15550100',
    trackingId: 'track-1',
    startedAt: 1_000,
  },
  sequence: 1,
  stale: false,
})

/** Call control over given assignments and calls; a list of what reached the networks comes with it. */
function controlOver(assignments: readonly Assignment[], calls: readonly StoredCall[]) {
  const sent: string[] = []
  const control = new CallControl({
    directory: {
      apps: () => [],
      app: () => undefined,
      network: () => undefined,
      key: () => undefined,
      assignmentsOf: (networkId, subscriberId) =>
        assignments.filter((a) => a.network.networkId === networkId && a.subscriberId === subscriberId),
      assignmentsOfApp: (id) => assignments.filter(({ app }) => app.appId === id),
      subscribersOf: () => [],
      endpointsOf: () => [],
      onChange: () => () => undefined,
    },
    calls: {
      liveCalls: ({ networkId }) => Promise.resolve(calls.filter(({ network }) => network.networkId === networkId)),
      findCalls: ({ networkId }) => Promise.resolve(calls.filter(({ network }) => network.networkId === networkId)),
    },
    networks: {
      execute: (networkId, command) => {
        sent.push(`${networkId} ${command.type} ${command.subscriberId}`)
        return Promise.reject(new Error('the answer does not matter here'))
      },
      channels: () => [],
      subscriptions: () => ({ wanted: 0, active: 0, stale: 0, failed: [] }),
      resynchronise: () => undefined,
      parseConfig: () => ({ config: {}, secrets: {} }),
    },
    idempotency: {
      claim: () => Promise.resolve({ kind: 'first' }),
      complete: () => Promise.resolve(),
      abandon: () => Promise.resolve(),
    },
    clock: systemClock,
    log: silentLogger,
  })
  return { control, sent }
}

describe('a call id that several subscribers of the app have', () => {
  const assignments = [assign('n1', 'ann'), assign('n1', 'bob'), assign('n2', 'cy')]

  it('means the live one when the others have ended', async () => {
    const { control, sent } = controlOver(assignments, [stored('n1', 'ann', 'released'), stored('n2', 'cy', 'active')])
    expect(await control.get(appId, callId)).toMatchObject({ subscriber_id: 'cy', network_id: 'n2' })
    await expect(control.command(appId, callId, 'hold')).rejects.toThrow('the answer does not matter here')
    expect(sent).toEqual(['n2 hold cy'])
  })

  it('is ambiguous when two are live, and nothing is sent', async () => {
    const { control, sent } = controlOver(assignments, [stored('n1', 'ann', 'active'), stored('n1', 'bob', 'active')])
    const ambiguous = { code: 'ambiguous_call', fields: { subscriber_ids: ['ann', 'bob'] } }
    await expect(control.get(appId, callId)).rejects.toMatchObject(ambiguous)
    await expect(control.command(appId, callId, 'end')).rejects.toMatchObject(ambiguous)
    expect(sent).toEqual([])
  })

  it("is not ambiguous with a call of another app's subscriber", async () => {
    const { control } = controlOver(assignments, [stored('n1', 'ann', 'active'), stored('n1', 'zoe', 'active')])
    expect(await control.get(appId, callId)).toMatchObject({ subscriber_id: 'ann' })
  })

  it('does not exist when only strangers have it', async () => {
    const { control } = controlOver(assignments, [stored('n1', 'zoe', 'active')])
    await expect(control.get(appId, callId)).rejects.toMatchObject({ code: 'call_not_found', detail: undefined })
    expect(await control.list(appId)).toEqual([])
  })
})

it('an app without subscribers has no calls and no subscribers', async () => {
  const { control } = controlOver([], [stored('n1', 'ann', 'active')])
  expect(await control.list(appId)).toEqual([])
  await expect(control.listOf(appId, toSubscriberId('ann'))).rejects.toMatchObject({ code: 'subscriber_not_found' })
})
