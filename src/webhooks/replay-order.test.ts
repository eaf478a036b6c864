import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { ReplayableDelivery } from '../core/delivery-record.ts'
import { toAppId, toEndpointId } from '../core/ids.ts'
import { ReplayOrder } from './replay-order.ts'

const toDelivery = (app: string, epoch: string, offset: number, createdAt: number): ReplayableDelivery => ({
  delivery: {
    deliveryId: `msg_${app}_${offset}`,
    endpointId: toEndpointId('endpoint-1'),
    attempts: 1,
    class: 'record',
    createdAt,
  },
  event: {
    eventId: `${app}:${epoch}-${offset}`,
    appId: toAppId(app),
    type: 'call.released',
    orderKey: 'call',
    occurredAt: createdAt,
    payload: '{}',
  },
})

const offsets = (deliveries: readonly ReplayableDelivery[]) =>
  deliveries.map(({ event }) => Number(event.eventId.split('-').at(-1)))

test('entries that were taken together come in the order of the log, also over the end of a page', () => {
  const order = new ReplayOrder()
  const page = [3, 1, 9, 4].map((offset) => toDelivery('app', '1', offset, 5_000))
  expect(order.push(page)).toEqual([])
  const next = [...[2, 10].map((offset) => toDelivery('app', '1', offset, 5_000)), toDelivery('app', '1', 11, 6_001)]
  expect(offsets(order.push(next))).toEqual([1, 2, 3, 4, 9, 10])
  expect(offsets(order.flush())).toEqual([11])
  expect(order.flush()).toEqual([])
})

test('a later epoch comes after an earlier one, whatever the offsets', () => {
  const order = new ReplayOrder()
  order.push([
    toDelivery('app', '1700000000000000', 900, 1_000),
    toDelivery('app', '1700000000000001', 1, 1_000),
    toDelivery('app', '999999999999999', 950, 1_000),
  ])
  expect(offsets(order.flush())).toEqual([950, 900, 1])
})

test('whatever the pages and however clocks differ within a second, each log comes in order and whole', () => {
  const taken = fc.record({
    app: fc.constantFrom('app-1', 'app-2'),
    stepMs: fc.integer({ min: 0, max: 700 }),
    aheadMs: fc.integer({ min: 0, max: 999 }),
  })
  fc.assert(
    fc.property(fc.array(taken, { maxLength: 60 }), fc.integer({ min: 1, max: 20 }), (entries, pageSize) => {
      let now = 10_000
      const log = entries.map(({ app, stepMs, aheadMs }, offset) => {
        now += stepMs
        return toDelivery(app, '1', offset, now + aheadMs)
      })
      // As the records list them: by time, and within one by the meaningless id.
      const listed = log.toSorted(
        (a, b) =>
          a.delivery.createdAt - b.delivery.createdAt || (a.delivery.deliveryId < b.delivery.deliveryId ? -1 : 1),
      )
      const order = new ReplayOrder()
      const came: ReplayableDelivery[] = []
      for (let i = 0; i < listed.length; i += pageSize) came.push(...order.push(listed.slice(i, i + pageSize)))
      came.push(...order.flush())
      for (const app of ['app-1', 'app-2']) {
        const ofApp = (deliveries: readonly ReplayableDelivery[]) =>
          offsets(deliveries.filter(({ event }) => event.appId === app))
        expect(ofApp(came)).toEqual(ofApp(log))
      }
    }),
  )
})
