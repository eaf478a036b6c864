import { afterEach, beforeAll, expect, test } from 'vitest'
import { useRedis } from '../test/support/use-redis.ts'
import { until } from '../test/support/until.ts'
import { createEventLog, EndpointBook } from '../test/support/webhook-engine.ts'
import { Announcer } from './announcer.ts'
import { systemClock } from './core/clock.ts'
import { toNetworkId, toSubscriberId } from './core/ids.ts'
import { silentLogger } from './core/logger.ts'
import type { Departure, Subscriber } from './core/subscriber.ts'
import type { RedisEventLog } from './state/event-log.ts'

const redis = useRedis()
let eventLog: RedisEventLog
const running: Announcer[] = []

beforeAll(async () => {
  eventLog = createEventLog(redis)
})
afterEach(async () => {
  for (const announcer of running.splice(0)) await announcer.stop()
})

const subscriberOf = (book: EndpointBook, name: string, extra: Partial<Subscriber> = {}): Subscriber => ({
  appId: book.app.appId,
  networkId: toNetworkId('network-1'),
  subscriberId: toSubscriberId(`${name}@example.net`),
  subscriberNumber: '+15550100',
  createdAt: 1,
  ...extra,
})

/** What the records answer: the assignments that no mark was made for, and the departures not forgotten. */
const recordsOf = (waiting: readonly Subscriber[], marked: Subscriber[], failOnce = false, left: Departure[] = []) => {
  let fails = failOnce
  return {
    departures: (limit: number) => Promise.resolve(left.slice(0, limit)),
    forgetDeparture: (departureId: string) => {
      if (fails) {
        fails = false
        return Promise.reject(new Error('the database went away'))
      }
      const index = left.findIndex((one) => one.departureId === departureId)
      if (index !== -1) left.splice(index, 1)
      return Promise.resolve()
    },
    unannounced: (limit: number) => Promise.resolve(waiting.filter((one) => !marked.includes(one)).slice(0, limit)),
    markAnnounced: (subscriber: Subscriber) => {
      if (fails) {
        fails = false
        return Promise.reject(new Error('the database went away'))
      }
      marked.push(subscriber)
      return Promise.resolve()
    },
  }
}

const start = async (book: EndpointBook, subscribers: ReturnType<typeof recordsOf>) => {
  const announcer = new Announcer({
    subscribers,
    directory: book.directory,
    eventLog,
    log: silentLogger,
    clock: systemClock,
  })
  await announcer.start()
  running.push(announcer)
  return announcer
}

const entriesOf = async (book: EndpointBook) => {
  const { epoch } = await eventLog.top(book.app)
  const slice = await eventLog.read(book.app, { epoch, offset: 0 }, 1_000)
  return slice.kind === 'entries' ? slice.entries : []
}

test('an assignment is announced once with the documented payload', async () => {
  const book = new EndpointBook()
  const marked: Subscriber[] = []
  const one = subscriberOf(book, 'one', { subscriberName: 'Example', subscriberAccountId: 'account-1' })
  await start(book, recordsOf([one, subscriberOf(book, 'two')], marked))
  await until('both marked', () => marked.length === 2)
  const entries = await entriesOf(book)
  expect(
    entries.map(({ type, orderKey, payload }) => ({ type, orderKey, payload: JSON.parse(payload) as unknown })),
  ).toEqual([
    {
      type: 'subscriber.assigned',
      orderKey: 'subscriber:network-1:one@example.net',
      payload: {
        app_id: book.app.appId,
        subscriber_id: 'one@example.net',
        subscriber_number: '+15550100',
        subscriber_name: 'Example',
        subscriber_account_id: 'account-1',
        network_id: 'network-1',
      },
    },
    {
      type: 'subscriber.assigned',
      orderKey: 'subscriber:network-1:two@example.net',
      payload: {
        app_id: book.app.appId,
        subscriber_id: 'two@example.net',
        subscriber_number: '+15550100',
        network_id: 'network-1',
      },
    },
  ])
})

test('a crash between appending and marking, and two announcers at once, announce once', async () => {
  const book = new EndpointBook()
  const marked: Subscriber[] = []
  const records = recordsOf([subscriberOf(book, 'one')], marked, true)
  await start(book, records)
  await until('one entry', async () => (await entriesOf(book)).length === 1)
  expect(marked).toEqual([])
  await Promise.all([start(book, records), start(book, records)])
  await until('it marked', () => marked.length >= 1)
  expect(await entriesOf(book)).toHaveLength(1)
})

test('an assignment that was removed and made again is announced again', async () => {
  const book = new EndpointBook()
  const marked: Subscriber[] = []
  await start(book, recordsOf([subscriberOf(book, 'one'), subscriberOf(book, 'one', { createdAt: 2 })], marked))
  await until('both marked', () => marked.length === 2)
  expect(await entriesOf(book)).toHaveLength(2)
})

test('an assignment made later is announced as soon as the directory changes', async () => {
  const book = new EndpointBook()
  const marked: Subscriber[] = []
  const waiting: Subscriber[] = []
  await start(book, recordsOf(waiting, marked))
  waiting.push(subscriberOf(book, 'one'))
  book.add('https://hooks.example.net/')
  await until('it marked', () => marked.length === 1, 2_000)
  expect(await entriesOf(book)).toHaveLength(1)
})

test('a departure is told once, with what the app knew, in the order of the subscriber', async () => {
  const book = new EndpointBook()
  const subscriber = subscriberOf(book, 'one', { subscriberName: 'Example', announcedAt: 2 })
  const left = [{ departureId: '7', subscriber }]
  const records = recordsOf([], [], true, left)
  await start(book, records)
  await until('one entry', async () => (await entriesOf(book)).length === 1)
  await Promise.all([start(book, records), start(book, records)])
  await until('it was forgotten', () => left.length === 0)
  expect(
    (await entriesOf(book)).map(({ type, orderKey, subscriberId, payload }) => ({
      type,
      orderKey,
      subscriberId,
      payload: JSON.parse(payload),
    })),
  ).toEqual([
    {
      type: 'subscriber.unassigned',
      orderKey: 'subscriber:network-1:one@example.net',
      subscriberId: 'one@example.net',
      payload: {
        app_id: book.app.appId,
        subscriber_id: 'one@example.net',
        subscriber_number: '+15550100',
        network_id: 'network-1',
      },
    },
  ])
})

test('a departure before its assignment was announced tells both, and a late announcer adds nothing', async () => {
  const book = new EndpointBook()
  const subscriber = subscriberOf(book, 'one')
  await start(book, recordsOf([], [], false, [{ departureId: '7', subscriber }]))
  await until('both', async () => (await entriesOf(book)).length === 2)
  // It had read the assignment before it was removed.
  const marked: Subscriber[] = []
  await start(book, recordsOf([subscriber], marked))
  await until('it marked', () => marked.length === 1)
  expect((await entriesOf(book)).map(({ type }) => type)).toEqual(['subscriber.assigned', 'subscriber.unassigned'])
})
