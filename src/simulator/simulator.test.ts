import { connect } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { silentLogger } from '../core/logger.ts'
import {
  ACTIONS,
  ADMINISTRATOR,
  CHANNEL_PATH,
  EVENTS,
  acknowledge,
  ask,
  control,
  eventually,
  openChannel,
  subscribe,
} from '../../test/support/xsi-client.ts'
import type { RawChannel } from '../../test/support/xsi-client.ts'
import type { LedgerEntry } from './ledger.ts'
import type { SimulatorSettings } from './settings.ts'
import { Simulator } from './simulator.ts'
import type { SimulatorOptions } from './simulator.ts'

const running: Simulator[] = []
const channels: RawChannel[] = []

afterEach(async () => {
  for (const channel of channels.splice(0)) channel.close()
  for (const simulator of running.splice(0)) await simulator.stop(AbortSignal.timeout(1_000))
})

async function start(settings: Partial<SimulatorSettings> = {}, options: Partial<SimulatorOptions> = {}) {
  const simulator = new Simulator({ ...ADMINISTRATOR, log: silentLogger, settings, ...options })
  running.push(simulator)
  await simulator.start()
  const [url = '', second = ''] = simulator.xspUrls
  const users = [
    { user_id: 'ann@example.net', number: '+15551230001', extension: '1001', first_name: 'Ann', password: 'annpw' },
    { user_id: 'bob@example.net', number: '+15551230002', extension: '1002', first_name: 'Bob' },
    { user_id: 'eve@example.org', number: '+15559870003', enterprise_id: 'other', group_id: 'elsewhere' },
  ]
  for (const user of users) {
    expect((await control(`${simulator.controlUrl}/users`, 'POST', user)).status).toBe(201)
  }
  return { simulator, url, second, api: simulator.controlUrl }
}

async function open(url: string, options: Parameters<typeof openChannel>[1] = {}): Promise<RawChannel> {
  const channel = await openChannel(url, options)
  channels.push(channel)
  return channel
}

const ring = async (api: string, userId: string, from = '+15557770000'): Promise<string> => {
  const reply = await control<{ call_id: string }>(`${api}/users/${userId}/incoming-calls`, 'POST', { from })
  expect(reply.status).toBe(201)
  return reply.body.call_id
}

const ledgerOf = async (api: string): Promise<readonly LedgerEntry[]> =>
  (await control<{ entries: LedgerEntry[] }>(`${api}/ledger`, 'GET')).body.entries

const eventText = (channel: RawChannel): string =>
  channel.events.find((event) => event.type === 'CallReceivedEvent')?.document ?? ''

const heartbeat = (url: string, channel: RawChannel) =>
  ask(`${url}${EVENTS}/channel/${channel.channelId}/heartbeat`, { method: 'PUT' })

const terminations = (channel: RawChannel): readonly (string | undefined)[] =>
  channel.documents
    .filter((document) => document.includes('xsi:ChannelTerminatedEvent'))
    .map((document) => /<xsi:reason>([^<]+)</.exec(document)?.[1])

async function startWithEvent(settings: Partial<SimulatorSettings> = {}) {
  const started = await start(settings, { ports: [0, 0], random: () => 0 })
  const first = await open(started.url, { priority: 1 })
  const standby = await open(started.second, { priority: 2 })
  const { subscriptionId } = await subscribe(started.url, '/user/ann@example.net')
  const event = await first.event('CallSubscriptionEvent')
  return { ...started, first, standby, event, subscriptionId }
}

describe('checklist: channel POST and framing', () => {
  test('the async path opens a chunked stream with the headers of the field; the plain events path has no channel', async () => {
    const { url } = await start()
    const channel = await open(url, { expires: 3_600 })
    expect(channel.status).toBe(200)
    expect(channel.head).toMatch(/\r\nTransfer-Encoding: chunked/i)
    expect(channel.head).not.toMatch(/content-length/i)
    expect(channel.head).toMatch(/\r\nContent-Type: text\/xml;charset=UTF-8/)
    expect(channel.head).toMatch(/\r\nTrackingID: NA_/)
    expect(channel.head).toMatch(/\r\nX-Frame-Options: SAMEORIGIN/)
    expect(channel.head).toMatch(/\r\nX-Content-Type-Options: nosniff/)
    expect(channel.head).toMatch(/\r\nX-XSS-Protection: 1; mode=block/)
    expect(channel.head).toMatch(/\r\nSet-Cookie: JSESSIONID=[^;]+; Path=\/com\.broadsoft\.xsi-events; HttpOnly/)
    expect(channel.head).toMatch(/\r\nExpires: Thu, 01 Jan 1970 00:00:00 GMT/)
    expect(channel.head).toMatch(/\r\nKeep-Alive: timeout=4/)
    const plain = await ask(`${url}${EVENTS}/channel`, {
      method: 'POST',
      body: '<Channel xmlns="http://schema.broadsoft.com/xsi"><channelSetId>set-1</channelSetId></Channel>',
    })
    expect(plain.status).toBe(404)
  })

  test('each document is one chunk: 181 bytes with a line feed, then 97 bytes, then an event on one line', async () => {
    const { url, api } = await start({ grantedExpiresSeconds: 86_400 })
    const channel = await open(url)
    await subscribe(url, '/user/ann@example.net')
    await channel.event('CallSubscriptionEvent')
    expect((await heartbeat(url, channel)).bytes).toHaveLength(0)
    await eventually(() => channel.chunks.length === 3, 'three chunks')
    await ring(api, 'ann@example.net')
    await channel.event('CallReceivedEvent')
    const texts = channel.chunks.map((chunk) => chunk.toString('utf8'))
    expect(texts).toHaveLength(4)
    // The channel id has 36 characters here; the field's 181 bytes were with the same length.
    expect(texts[0]).toMatch(
      /^<\?xml version="1\.0" encoding="UTF-8"\?>\n<Channel xmlns="http:\/\/schema\.broadsoft\.com\/xsi"><channelId>[\w-]{36}<\/channelId><expires>86400<\/expires><\/Channel>$/,
    )
    expect(channel.chunks[0]).toHaveLength(181)
    expect(texts[2]).toBe(
      '<?xml version="1.0" encoding="UTF-8"?><ChannelHeartBeat xmlns="http://schema.broadsoft.com/xsi"/>',
    )
    expect(channel.chunks[2]).toHaveLength(97)
    for (const event of [texts[1], texts[3]]) {
      expect(event).toMatch(/^<\?xml version="1\.0" encoding="UTF-8"\?><xsi:Event [^\n]*<\/xsi:Event>$/)
    }
  })

  test('foreign content on the channel connection is answered with ErrorEvent on the stream', async () => {
    const { url } = await start()
    const channel = await open(url)
    channel.write('GET /com.broadsoft.xsi-events/v2.0/versions HTTP/1.1\r\nHost: xsp\r\n\r\n')
    await eventually(() => channel.documents.some((document) => document.includes('xsi:ErrorEvent')), 'ErrorEvent')
    channel.write('no http at all\r\n\r\n')
    await eventually(
      () => channel.documents.filter((document) => document.includes('xsi:ErrorEvent')).length === 2,
      'the second ErrorEvent',
    )
    expect(channel.documents.at(-1)).toMatch(
      /<xsi:errorCode>\d+<\/xsi:errorCode><xsi:errorMessage>.+<\/xsi:errorMessage><\/xsi:Event>$/,
    )
    expect((await heartbeat(url, channel)).status).toBe(200)
  })
})

describe('checklist: stream faults', () => {
  test('split cuts every document at arbitrary bytes, also inside a UTF-8 sequence and inside the declaration', async () => {
    const { url, api } = await start()
    const channel = await open(url)
    await subscribe(url, '/user/ann@example.net')
    await channel.event('CallSubscriptionEvent')
    const before = channel.chunks.length
    await control(`${api}/faults`, 'PUT', { split: { mode: 'bytes', max_bytes: 1 }, non_ascii_names: true })
    await ring(api, 'ann@example.net')
    await channel.event('CallReceivedEvent')
    const pieces = channel.chunks.slice(before)
    expect(pieces.every((piece) => piece.length === 1)).toBe(true)
    expect(pieces).toHaveLength(Buffer.byteLength(eventText(channel)))
    expect(eventText(channel)).toContain('Zoë &amp; &lt;Łukasz&gt; &quot;日本&quot; 😀')
  })

  test('join puts several documents into one write', async () => {
    const { url, api } = await start()
    const channel = await open(url)
    await subscribe(url, '/user/ann@example.net')
    await channel.event('CallSubscriptionEvent')
    await control(`${api}/faults`, 'PUT', { join: 3 })
    const callId = await ring(api, 'ann@example.net')
    await control(`${api}/calls/${callId}/local/answer`, 'POST')
    await channel.event('CallAnsweredEvent')
    expect(channel.chunks).toHaveLength(3)
    expect(channel.chunks[2]?.toString('utf8').split('<?xml')).toHaveLength(4)
    await ring(api, 'ann@example.net')
    await channel.event('CallReceivedEvent', 2)
  })

  test('delay holds documents back in order', async () => {
    const { url, api } = await start()
    const channel = await open(url)
    await subscribe(url, '/user/ann@example.net')
    await channel.event('CallSubscriptionEvent')
    await control(`${api}/faults`, 'PUT', { delay_ms: 120 })
    const callId = await ring(api, 'ann@example.net')
    const startedAt = performance.now()
    await control(`${api}/calls/${callId}/local/answer`, 'POST')
    await channel.event('CallAnsweredEvent')
    expect(performance.now() - startedAt).toBeGreaterThan(100)
    expect(channel.events.map((event) => event.sequence)).toEqual([1, 2, 3, 4])
  })

  test('drop_socket_every breaks the connection in the middle of an event, without a farewell', async () => {
    const { url, api } = await start()
    const channel = await open(url)
    await subscribe(url, '/user/ann@example.net')
    await channel.event('CallSubscriptionEvent')
    await control(`${api}/faults`, 'PUT', { drop_socket_every: 1 })
    await ring(api, 'ann@example.net')
    await eventually(() => channel.isClosed, 'the end of the connection')
    expect(terminations(channel)).toEqual([])
    expect(channel.events.map((event) => event.type)).toEqual(['CallSubscriptionEvent'])
    await eventually(
      async () => (await control<{ channels: unknown[] }>(`${api}/channels`, 'GET')).body.channels.length === 0,
      'the channel to be forgotten',
    )
  })

  test('half_open stops the echo while the heartbeat is still answered 200', async () => {
    const { url, api } = await start()
    const channel = await open(url)
    await control(`${api}/faults`, 'PUT', { half_open: true })
    expect((await heartbeat(url, channel)).status).toBe(200)
    await control(`${api}/faults`, 'DELETE')
    expect((await heartbeat(url, channel)).status).toBe(200)
    await eventually(() => channel.documents.length === 2, 'one echo')
    expect(channel.documents[1]).toContain('ChannelHeartBeat')
  })

  test('duplicate_ratio writes every event twice with the same eventID, and both may be acknowledged', async () => {
    const { url, api } = await start()
    const channel = await open(url)
    await control(`${api}/faults`, 'PUT', { duplicate_ratio: 1 })
    await subscribe(url, '/user/ann@example.net')
    const second = await channel.event('CallSubscriptionEvent', 2)
    expect(channel.events.map((event) => event.id)).toEqual([second.id, second.id])
    expect((await acknowledge(url, second.id)).status).toBe(200)
    expect((await acknowledge(url, second.id)).status).toBe(200)
  })

  test('lose_ratio uses up the numbers of events that are never sent, and the ledger says so', async () => {
    const { url, api } = await start()
    const channel = await open(url)
    await subscribe(url, '/user/ann@example.net')
    await channel.event('CallSubscriptionEvent')
    await control(`${api}/faults`, 'PUT', { lose_ratio: 1 })
    const callId = await ring(api, 'ann@example.net')
    await control(`${api}/faults`, 'DELETE')
    await control(`${api}/calls/${callId}/local/answer`, 'POST')
    await channel.event('CallAnsweredEvent')
    expect(channel.events.map(({ type }) => type)).not.toContain('CallReceivedEvent')
    const lost = (await ledgerOf(api)).filter(({ expired_reason: reason }) => reason === 'lost')
    expect(lost.map(({ type }) => type)).toContain('CallReceivedEvent')
    expect(lost.every(({ emissions, acked_at: ackedAt }) => emissions.length === 0 && ackedAt === null)).toBe(true)
    const seen = new Set(channel.events.map(({ sequence }) => sequence))
    expect(lost.some(({ sequence_number: sequence }) => seen.has(sequence))).toBe(false)
  })

  test('reorder_ratio lets an event be overtaken by the next one', async () => {
    const { url, api } = await start()
    const channel = await open(url)
    await subscribe(url, '/user/ann@example.net')
    await channel.event('CallSubscriptionEvent')
    await control(`${api}/faults`, 'PUT', { reorder_ratio: 1 })
    const callId = await ring(api, 'ann@example.net')
    await control(`${api}/calls/${callId}/local/answer`, 'POST')
    await channel.event('CallAnsweredEvent')
    expect(channel.events.map((event) => event.sequence).slice(0, 3)).toEqual([1, 3, 2])
  })
})

describe('checklist: several XSPs', () => {
  test('heartbeat, ack, refresh and delete at the XSP that does not hold the channel are 404, commands work everywhere', async () => {
    const { url, second, api } = await start({}, { ports: [0, 0] })
    const channel = await open(url)
    const { subscriptionId } = await subscribe(second, '/user/ann@example.net')
    expect(subscriptionId).not.toBe('')
    const event = await channel.event('CallSubscriptionEvent')
    const path = `${EVENTS}/channel/${channel.channelId}`
    expect((await heartbeat(second, channel)).status).toBe(404)
    expect((await acknowledge(second, event.id)).status).toBe(404)
    expect((await ask(second + path, { method: 'PUT', body: '<Channel/>' })).status).toBe(404)
    expect((await ask(second + path, { method: 'DELETE' })).status).toBe(404)
    expect((await heartbeat(url, channel)).status).toBe(200)
    expect((await acknowledge(url, event.id)).status).toBe(200)
    const callId = await ring(api, 'ann@example.net')
    const calls = await ask(`${second}${ACTIONS}/user/ann@example.net/calls`)
    expect(calls.text).toContain(callId)
  })

  test('a client that brings the cookie of this XSP is given no other one', async () => {
    const { url } = await start()
    const first = await ask(`${url}${EVENTS}/versions`)
    const [cookie = ''] = first.headers['set-cookie'] ?? []
    expect(cookie).toMatch(/^JSESSIONID=.*\.xsp1; Path=\/com\.broadsoft\.xsi-events; HttpOnly$/)
    const next = await ask(`${url}${EVENTS}/versions`, { headers: { Cookie: cookie.split(';')[0] ?? '' } })
    expect(next.headers['set-cookie']).toBeUndefined()
    // The cookie spares the server work and the client nothing.
    const without = await ask(`${url}${EVENTS}/versions`, { headers: { Cookie: cookie }, credentials: null })
    expect(without.status).toBe(401)
  })

  test('a subscribe is 404 for subscribe404Ms after the set got its first channel, then accepted', async () => {
    const { url } = await start({ subscribe404Ms: 150 })
    await open(url)
    expect((await subscribe(url, '/user/ann@example.net')).status).toBe(404)
    const later = await eventually(async () => {
      const answer = await subscribe(url, '/user/ann@example.net')
      return answer.status === 200 && answer
    }, 'a subscription')
    expect(later.subscriptionId).not.toBe('')
  })
})

describe('checklist: lifetimes', () => {
  test('granted expires is the asked one clamped to 3600 and the policy, or what the policy says', async () => {
    const { url, api } = await start({ expiresMaxSeconds: 7_200 })
    const grant = async (expires: number | undefined) => {
      const channel = await open(url, { set: `set-${expires}`, ...(expires === undefined ? {} : { expires }) })
      return /<expires>(\d+)</.exec(channel.documents[0] ?? '')?.[1]
    }
    expect(await grant(undefined)).toBe('3600')
    expect(await grant(120)).toBe('3600')
    expect(await grant(5_000)).toBe('5000')
    expect(await grant(9_000)).toBe('7200')
    await control(`${api}/settings`, 'PUT', { grantedExpiresSeconds: 86_400 })
    const channel = await open(url, { set: 'raised', expires: 3_600 })
    expect(channel.documents[0]).toContain('<expires>86400</expires>')
    expect((await subscribe(url, '/user/ann@example.net', { set: 'raised', expires: 120 })).text).toContain(
      '<expires>86400</expires>',
    )
    const refreshed = await ask(`${url}${EVENTS}/channel/${channel.channelId}`, {
      method: 'PUT',
      body: '<Channel xmlns="http://schema.broadsoft.com/xsi"><expires>3600</expires></Channel>',
    })
    expect(refreshed.text).toContain(`<channelId>${channel.channelId}</channelId><expires>86400</expires>`)
  })

  test('a channel at its end is terminated as Expired; a subscription sends SubscriptionTerminatedEvent and is gone', async () => {
    const { url, api } = await start({ grantedExpiresSeconds: 1 })
    const channel = await open(url)
    await control(`${api}/settings`, 'PUT', { grantedExpiresSeconds: null })
    const lasting = await open(url)
    await control(`${api}/settings`, 'PUT', { grantedExpiresSeconds: 1 })
    const { subscriptionId } = await subscribe(url, '/user/ann@example.net')
    await eventually(() => terminations(channel)[0] === 'Expired' && channel.isClosed, 'the end of the channel')
    await eventually(
      () => [...channel.events, ...lasting.events].some((event) => event.type === 'SubscriptionTerminatedEvent'),
      'SubscriptionTerminatedEvent',
    )
    const gone = await ask(`${url}${EVENTS}/subscription/${subscriptionId}`)
    expect([gone.status, gone.text.includes('<errorCode>110862</errorCode>')]).toEqual([403, true])
  })

  test('the channel ends when no heartbeat comes within eventTimeout, and lives as long as they come', async () => {
    const { url } = await start({ eventTimeoutMs: 250 })
    const silent = await open(url, { set: 'silent' })
    const lively = await open(url, { set: 'lively' })
    const beats = setInterval(() => void heartbeat(url, lively).catch(() => undefined), 60)
    await eventually(() => silent.isClosed, 'the end of the silent channel')
    clearInterval(beats)
    expect(terminations(silent)).toEqual(['NonResponsiveChannel'])
    expect(lively.isClosed).toBe(false)
    expect((await heartbeat(url, silent)).status).toBe(404)
  })
})

describe('checklist: acknowledgements', () => {
  test.each([200, 400])('status %i ends the delivery', async (status) => {
    const { url, api, event, standby } = await startWithEvent({ ackTimeoutMs: 100 })
    expect((await acknowledge(url, event.id, status)).bytes).toHaveLength(0)
    const [entry] = await ledgerOf(api)
    expect(entry).toMatchObject({ event_id: event.id, ack_status: status, expired_at: null })
    expect(entry?.acked_at).toBeTypeOf('number')
    await ring(api, 'ann@example.net')
    await standby.event('CallReceivedEvent')
    expect(standby.events.some((seen) => seen.id === event.id)).toBe(false)
  })

  test('status 404 ends the channel as UnknownChannel and sends the same eventID on the next channel of the set', async () => {
    const { url, second, event, first, standby } = await startWithEvent()
    expect((await acknowledge(url, event.id, 404)).status).toBe(200)
    const again = await standby.event('CallSubscriptionEvent')
    expect(again.id).toBe(event.id)
    expect(again.document).toContain(`<xsi:channelId>${standby.channelId}</xsi:channelId>`)
    await eventually(() => terminations(first)[0] === 'UnknownChannel', 'the farewell')
    expect((await acknowledge(second, event.id)).status).toBe(200)
  })

  test('status 481 deletes the subscription and drops the event', async () => {
    const { url, api, event, standby, subscriptionId } = await startWithEvent({ ackTimeoutMs: 100 })
    await acknowledge(url, event.id, 481)
    expect((await ask(`${url}${EVENTS}/subscription/${subscriptionId}`)).status).toBe(403)
    await ring(api, 'ann@example.net')
    const entries = await ledgerOf(api)
    expect(entries.map((entry) => [entry.type, entry.ack_status])).toEqual([['CallSubscriptionEvent', 481]])
    expect(standby.events).toEqual([])
  })

  test('status 500 sends the same eventID on the next channel and keeps the first one', async () => {
    const { url, second, event, first, standby } = await startWithEvent()
    await acknowledge(url, event.id, 500)
    expect((await standby.event('CallSubscriptionEvent')).id).toBe(event.id)
    expect(first.isClosed).toBe(false)
    expect((await acknowledge(second, event.id)).status).toBe(200)
  })

  test('a status outside the enumeration, or a missing reason, is 400', async () => {
    const { url, event } = await startWithEvent()
    expect((await acknowledge(url, event.id, 201)).status).toBe(400)
    const body = `<EventResponse xmlns="http://schema.broadsoft.com/xsi"><eventID>${event.id}</eventID><statusCode>200</statusCode></EventResponse>`
    expect((await ask(`${url}${EVENTS}/channel/eventresponse`, { method: 'POST', body })).status).toBe(400)
    expect((await acknowledge(url, 'unknown')).status).toBe(404)
  })

  test('without an ack the same eventID comes on another channel, and finally every channel ends as NonResponsiveChannel', async () => {
    const { api, event, first, standby } = await startWithEvent({ ackTimeoutMs: 60, redeliveriesMax: 2 })
    expect((await standby.event('CallSubscriptionEvent')).id).toBe(event.id)
    await eventually(() => first.isClosed && standby.isClosed, 'the end of both channels')
    expect(terminations(first)).toEqual(['NonResponsiveChannel'])
    expect(terminations(standby)).toEqual(['NonResponsiveChannel'])
    const [entry] = await ledgerOf(api)
    expect(entry?.emissions.map((emission) => emission.channel_id)).toEqual([
      first.channelId,
      standby.channelId,
      first.channelId,
    ])
  })

  test('events of a set without a channel wait for the next one, and after the retention they are lost and marked', async () => {
    const { url, api } = await start({ retentionWithoutChannelMs: 300 })
    const channel = await open(url)
    await subscribe(url, '/user/ann@example.net')
    await acknowledge(url, (await channel.event('CallSubscriptionEvent')).id)
    channel.close()
    await eventually(
      async () => (await control<{ channels: unknown[] }>(`${api}/channels`, 'GET')).body.channels.length === 0,
      'the channel to be noticed as gone',
    )
    await ring(api, 'ann@example.net')
    const next = await open(url)
    const kept = await next.event('CallReceivedEvent')
    await acknowledge(url, kept.id)
    next.close()
    await eventually(
      async () => (await control<{ channels: unknown[] }>(`${api}/channels`, 'GET')).body.channels.length === 0,
      'the second channel to be noticed as gone',
    )
    await ring(api, 'ann@example.net')
    const lost = await eventually(
      async () => (await ledgerOf(api)).find((entry) => entry.expired_at !== null),
      'a loss',
    )
    expect(lost).toMatchObject({
      type: 'CallReceivedEvent',
      expired_reason: 'no_channel',
      emissions: [],
      acked_at: null,
    })
    expect((await open(url)).events).toEqual([])
  })
})

describe('checklist: channel sets', () => {
  test('the same application with another set ends the first set as DuplicateChannelSet; another application does not', async () => {
    const { url } = await start()
    const first = await open(url, { set: 'one', application: 'app' })
    const other = await open(url, { set: 'two', application: 'other-app' })
    const ofUser = await open(url, { set: 'three', application: 'app', credentials: 'ann@example.net:annpw' })
    const same = await open(url, { set: 'one', application: 'app' })
    expect([first, other, ofUser, same].map((channel) => channel.isClosed)).toEqual([false, false, false, false])
    await open(url, { set: 'four', application: 'app' })
    await eventually(() => first.isClosed && same.isClosed, 'the end of the first set')
    expect(terminations(first)).toEqual(['DuplicateChannelSet'])
    expect([other.isClosed, ofUser.isClosed]).toEqual([false, false])
  })

  test('events go to the lowest priority number, and after its end to the next', async () => {
    const { url, api } = await start()
    const standby = await open(url, { priority: 2 })
    const main = await open(url, { priority: 1 })
    await subscribe(url, '/user/ann@example.net')
    await main.event('CallSubscriptionEvent')
    expect(standby.events).toEqual([])
    expect((await ask(`${url}${EVENTS}/channel/${main.channelId}`, { method: 'DELETE' })).status).toBe(200)
    await eventually(() => terminations(main)[0] === 'ExplicitDelete' && main.isClosed, 'the farewell')
    await ring(api, 'ann@example.net')
    await standby.event('CallReceivedEvent')
    expect((await standby.event('CallSubscriptionEvent')).sequence).toBe(1)
  })

  test('a channel set lists its channels; an unknown one is error 110842; too many channels are refused', async () => {
    const { url } = await start({ channelsPerSetMax: 1 })
    const channel = await open(url, { priority: 3, weight: 20 })
    const list = await ask(`${url}${EVENTS}/channelset/set-1`)
    expect(list.text).toContain(
      `<channel><channelId>${channel.channelId}</channelId><channelSetId>set-1</channelSetId><priority>3</priority><weight>20</weight><expires>3600</expires></channel>`,
    )
    expect((await ask(`${url}${EVENTS}/channelset/none`)).text).toContain('<errorCode>110842</errorCode>')
    expect((await open(url)).status).toBe(403)
  })
})

describe('checklist: subscriptions', () => {
  test.each([
    '/user/ann@example.net',
    '/user/ann%40example.net/subscription',
    '/enterprise/enterprise-1',
    '/serviceprovider/enterprise-1',
    '/enterprise/enterprise-1/group/group-1',
    '/serviceprovider/enterprise-1/group/group-1/',
    '/system',
  ])('POST %s delivers the events of its users with targetId; only the user targets have a snapshot', async (path) => {
    const { url, api } = await start()
    const channel = await open(url)
    expect((await subscribe(url, path)).status).toBe(200)
    await ring(api, 'ann@example.net')
    const event = await channel.event('CallReceivedEvent')
    expect(event.targetId).toBe('ann@example.net')
    expect(event.document).toContain('<xsi:userId>admin@example.net</xsi:userId>')
    const isUser = path.startsWith('/user')
    expect(event.sequence).toBe(isUser ? 2 : 1)
    expect(channel.events.map((seen) => seen.type)).toEqual(
      isUser ? ['CallSubscriptionEvent', 'CallReceivedEvent'] : ['CallReceivedEvent'],
    )
    await ring(api, 'eve@example.org')
    await ring(api, 'ann@example.net')
    await channel.event('CallReceivedEvent', path === '/system' ? 3 : 2)
    const targets = channel.events.filter((seen) => seen.type === 'CallReceivedEvent').map((seen) => seen.targetId)
    expect(targets.includes('eve@example.org')).toBe(path === '/system')
  })

  test('a PUT renews the subscription and brings a new snapshot of the live calls', async () => {
    const { url, api } = await start()
    const channel = await open(url)
    const { subscriptionId } = await subscribe(url, '/user/ann@example.net')
    await channel.event('CallSubscriptionEvent')
    const callId = await ring(api, 'ann@example.net')
    const renewed = await ask(`${url}${EVENTS}/subscription/${subscriptionId}`, {
      method: 'PUT',
      body: '<Subscription xmlns="http://schema.broadsoft.com/xsi"><expires>7200</expires></Subscription>',
    })
    expect(renewed.text).toContain(`<subscriptionId>${subscriptionId}</subscriptionId><expires>7200</expires>`)
    const snapshot = await channel.event('CallSubscriptionEvent', 2)
    expect(snapshot.document).toContain(`<xsi:calls><xsi:call><xsi:callId>${callId}</xsi:callId>`)
    expect(snapshot.document).toMatch(/<\/xsi:calls><xsi:hookStatus>On-Hook<\/xsi:hookStatus><\/xsi:eventData>/)
  })

  test('snapshotBeforeReply writes the snapshot before the POST is answered', async () => {
    const { url } = await start({ snapshotBeforeReply: true })
    const channel = await open(url)
    const { subscriptionId } = await subscribe(url, '/user/ann@example.net')
    expect((await channel.event('CallSubscriptionEvent')).subscriptionId).toBe(subscriptionId)
  })

  test('targetId is left out when owner and target are the same, unless the option says otherwise', async () => {
    const { url, api } = await start()
    const credentials = 'ann@example.net:annpw'
    const channel = await open(url, { credentials })
    await subscribe(url, '/user/ann@example.net', { credentials })
    expect((await channel.event('CallSubscriptionEvent')).targetId).toBeUndefined()
    await control(`${api}/settings`, 'PUT', { omitTargetIdWhenOwner: false })
    await ring(api, 'ann@example.net')
    expect((await channel.event('CallReceivedEvent')).targetId).toBe('ann@example.net')
  })

  test('an unknown package is 400, an unknown user 404, an unknown subscription 403 with error 110862', async () => {
    const { url } = await start()
    await open(url)
    expect((await subscribe(url, '/user/ann@example.net', { event: 'Advanced Calls' })).status).toBe(400)
    expect((await subscribe(url, '/user/nobody@example.net')).status).toBe(404)
    for (const method of ['GET', 'PUT', 'DELETE']) {
      const answer = await ask(`${url}${EVENTS}/subscription/none`, { method })
      expect([answer.status, answer.text.includes('<errorCode>110862</errorCode>')]).toEqual([403, true])
    }
  })

  test('Basic Call has no hold events, Standard Call no redirect', async () => {
    const { url, api } = await start()
    const channel = await open(url)
    const basic = await subscribe(url, '/user/ann@example.net', { event: 'Basic Call' })
    const standard = await subscribe(url, '/user/ann@example.net', { event: 'Standard Call' })
    const callId = await ring(api, 'ann@example.net')
    for (const act of ['answer', 'hold']) await control(`${api}/calls/${callId}/local/${act}`, 'POST')
    await ask(`${url}${ACTIONS}/user/ann@example.net/calls/${callId}/BlindTransfer?address=%2B15550001111`, {
      method: 'PUT',
    })
    await channel.event('CallReleasedEvent', 2)
    const typesOf = (id: string) =>
      new Set(channel.events.filter((event) => event.subscriptionId === id).map((event) => event.type))
    expect(typesOf(basic.subscriptionId).has('CallHeldEvent')).toBe(false)
    expect(typesOf(standard.subscriptionId).has('CallHeldEvent')).toBe(true)
    expect(typesOf(standard.subscriptionId).has('CallRedirectedEvent')).toBe(false)
  })

  test('the same owner, target, event and application replace; the limit refuses more', async () => {
    const { url } = await start({ subscriptionLimit: 2 })
    await open(url)
    const first = await subscribe(url, '/user/ann@example.net')
    const replacing = await subscribe(url, '/user/ann@example.net')
    expect((await subscribe(url, '/user/bob@example.net')).status).toBe(200)
    expect((await subscribe(url, '/user/eve@example.org')).status).toBe(403)
    const list = await ask(`${url}${EVENTS}/subscription?targetId=ann@example.net`)
    expect(list.text).toContain(replacing.subscriptionId)
    expect(list.text).not.toContain(first.subscriptionId)
    expect(list.text).toMatch(
      /<subscriberId>admin@example\.net<\/subscriberId><targetIdType>User<\/targetIdType><targetId>ann@example\.net<\/targetId><event>Advanced Call<\/event><expires>\d+<\/expires><channelSetId>set-1<\/channelSetId><applicationId>app<\/applicationId>/,
    )
    expect((await ask(`${url}${EVENTS}/subscription?targetEntityType=Group`)).status).toBe(400)
  })
})

describe('checklist: dialects', () => {
  test('attribute order, tracking id, country code, unknown types and extra elements follow the options', async () => {
    const { url, api } = await start({ countryCode: '1', trackingIdStyle: 'counter', oldAttributeOrder: true })
    const channel = await open(url)
    await subscribe(url, '/user/ann@example.net')
    await channel.event('CallSubscriptionEvent')
    await control(`${api}/faults`, 'PUT', { unknown_event_ratio: 1, extra_elements: true })
    await ring(api, 'ann@example.net')
    const event = await channel.event('CallReceivedEvent')
    expect(event.document).toMatch(/\?><xsi:Event xsi1:type="xsi:SubscriptionEvent" xmlns:xsi=/)
    expect(event.document).toMatch(/<xsi:extTrackingId>\d+:1<\/xsi:extTrackingId>/)
    expect(event.document).toContain('<xsi:address countryCode="1">tel:+15557770000</xsi:address>')
    expect(event.document).toContain('<xsi:futureEventAttribute future="1">')
    expect(event.document).toContain(
      '<xsi:futureCallAttribute><xsi:value>x</xsi:value></xsi:futureCallAttribute></xsi:call>',
    )
    expect((await channel.event('CallHistoryEvent')).sequence).toBe(event.sequence - 1)
    await control(`${api}/settings`, 'PUT', { countryCode: null, trackingIdStyle: 'uuid', oldAttributeOrder: false })
    await ring(api, 'ann@example.net')
    const other = await channel.event('CallReceivedEvent', 2)
    expect(other.document).toMatch(/<xsi:Event xmlns:xsi="[^"]+" xmlns:xsi1="[^"]+" xsi1:type="xsi:SubscriptionEvent">/)
    expect(other.document).toMatch(/<xsi:extTrackingId>[\w-]{36}<\/xsi:extTrackingId>/)
    expect(other.document).toContain('<xsi:address>tel:+15557770000</xsi:address>')
  })

  test('the agent timestamp is plain text for releases before R19 and a value afterwards', async () => {
    const { url, api } = await start({ plainTimestamps: true })
    const channel = await open(url)
    await subscribe(url, '/user/ann@example.net', { event: 'Call Center Agent' })
    await channel.event('AgentSubscriptionEvent')
    const path = `${api}/users/ann@example.net/events/AgentStateEvent`
    await control(path, 'POST', { agent_state: 'Unavailable' })
    expect((await channel.event('AgentStateEvent')).document).toMatch(
      /<xsi:stateTimestamp>\d{13}<\/xsi:stateTimestamp>/,
    )
    await control(`${api}/settings`, 'PUT', { plainTimestamps: false })
    await control(path, 'POST', { agent_state: 'Available' })
    expect((await channel.event('AgentStateEvent', 2)).document).toMatch(
      /<xsi:stateTimestamp><xsi:value>\d{13}<\/xsi:value><\/xsi:stateTimestamp>/,
    )
  })
})

describe('checklist: actions and connections', () => {
  test('paths are matched without case and with a trailing slash, ids with case', async () => {
    const { url, api } = await start()
    const callId = await ring(api, 'ann@example.net')
    const talk = await ask(`${url}/COM.BroadSoft.xsi-Actions/V2.0/USER/ann%40example.net/CALLS/${callId}/tALK/`, {
      method: 'PUT',
    })
    expect([talk.status, talk.bytes.length, talk.headers['content-length']]).toEqual([200, 0, '0'])
    expect((await ask(`${url}${ACTIONS}/user/Ann@example.net/calls`)).status).toBe(404)
    expect((await ask(`${url}${ACTIONS}/user/ann@example.net/calls/${callId}/Talk`)).status).toBe(405)
    expect((await ask(`${url}${ACTIONS}/user/ann@example.net/nothing`)).status).toBe(404)
  })

  test('calls/new answers 201 with Location and CallStartInfo; MuteTransfer answers 200 with CallStartInfo', async () => {
    const { url, api } = await start({ clickToDialPickupMs: null })
    const dialled = await ask(`${url}${ACTIONS}/user/ann@example.net/calls/New?address=%2B15550001111`, {
      method: 'POST',
    })
    expect(dialled.status).toBe(201)
    const callId =
      /<CallStartInfo xmlns="http:\/\/schema\.broadsoft\.com\/xsi"><callId>(callhalf-\d+:0)<\/callId><externalTrackingId>[\w-]{36}<\/externalTrackingId><\/CallStartInfo>$/.exec(
        dialled.text,
      )?.[1]
    expect(dialled.headers['location']).toBe(`${url}${ACTIONS}/user/ann@example.net/calls/${callId}`)
    const incoming = await ring(api, 'bob@example.net')
    await control(`${api}/calls/${incoming}/local/answer`, 'POST')
    const mute = await ask(`${url}${ACTIONS}/user/bob@example.net/calls/${incoming}/MuteTransfer?address=1001`, {
      method: 'PUT',
    })
    expect([mute.status, mute.text.includes('<CallStartInfo')]).toEqual([200, true])
  })

  test('a call log is a bare root without a namespace in ISO-8859-1; the combined one has the namespace', async () => {
    const { url, api } = await start()
    await control(`${api}/users/ann@example.net/incoming-calls`, 'POST', { from: '+15557770000', name: 'Zoë Ł' })
    const [call] = (await control<{ calls: { call_id: string }[] }>(`${api}/calls`, 'GET')).body.calls
    await control(`${api}/calls/${call?.call_id}/remote/hangup`, 'POST')
    const missed = await ask(`${url}${ACTIONS}/user/ann@example.net/directories/CallLogs/Missed`)
    expect(missed.headers['content-type']).toBe('application/xml;charset=ISO-8859-1')
    expect(missed.bytes.toString('latin1')).toMatch(
      /^<\?xml version="1\.0" encoding="ISO-8859-1"\?><missed><callLogsEntry><phoneNumber>\+15557770000<\/phoneNumber><name>Zoë &#321;<\/name><time>[^<]+<\/time><callLogId>\d+:0<\/callLogId><\/callLogsEntry><\/missed>$/,
    )
    const all = await ask(`${url}${ACTIONS}/user/ann@example.net/directories/CallLogs/`)
    expect(all.text).toContain(
      '<CallLogs xmlns="http://schema.broadsoft.com/xsi"><placed/><received/><missed><callLogsEntry>',
    )
  })

  test('JSON is BadgerFish, by query or by header, errors included', async () => {
    const { url, api } = await start()
    const callId = await ring(api, 'ann@example.net')
    const path = `${url}${ACTIONS}/user/ann@example.net/calls`
    const one = await ask(`${path}?format=json`)
    expect(one.headers['content-type']).toBe('application/json;charset=UTF-8')
    expect(JSON.parse(one.text)).toEqual({
      Calls: {
        '@xmlns': { $: 'http://schema.broadsoft.com/xsi' },
        call: {
          '@inConference': 'false',
          callId: { $: callId },
          uri: { $: `/v2.0/user/ann@example.net/calls/${callId}` },
        },
      },
    })
    await ring(api, 'ann@example.net')
    const two = await ask(path, { headers: { Accept: 'application/json' } })
    expect(JSON.parse(two.text).Calls.call).toHaveLength(2)
    const error = await ask(`${path}/none?format=json`)
    expect(error.status).toBe(404)
    expect(JSON.parse(error.text).ErrorInfo.errorCode).toEqual({ $: '110404' })
  })

  test('bad credentials are 401 with a challenge, which X-BroadWorks-No-AuthChallenge leaves out; out of scope is 403', async () => {
    const { url } = await start()
    const path = `${url}${ACTIONS}/user/ann@example.net/profile`
    for (const credentials of [null, 'admin@example.net:wrong', 'nobody:x', 'bob@example.net:']) {
      const answer = await ask(path, { credentials })
      expect([answer.status, answer.headers['www-authenticate']]).toEqual([401, 'Basic realm="BroadWorks"'])
    }
    const quiet = await ask(path, { credentials: null, headers: { 'X-BroadWorks-No-AuthChallenge': 'true' } })
    expect([quiet.status, quiet.headers['www-authenticate']]).toEqual([401, undefined])
    const own = 'ann@example.net:annpw'
    expect((await ask(path, { credentials: own })).text).toContain('<userId>ann@example.net</userId>')
    expect((await ask(`${url}${ACTIONS}/user/bob@example.net/profile`, { credentials: own })).status).toBe(403)
    await open(url, { credentials: own })
    expect((await subscribe(url, '/system', { credentials: own })).status).toBe(403)
  })

  test.each([401, 403, 404, 503])(
    'http_burst answers the next two requests that match with %i, then all is well',
    async (status) => {
      const { url, api } = await start()
      const path = `${url}${ACTIONS}/user/ann@example.net/calls`
      await control(`${api}/faults`, 'PUT', { http_burst: { status, count: 2, path_includes: '/CALLS' } })
      expect((await ask(`${url}${ACTIONS}/versions`)).status).toBe(200)
      expect([(await ask(path)).status, (await ask(path)).status, (await ask(path)).status]).toEqual([
        status,
        status,
        200,
      ])
    },
  )

  test('the 503 of a burst is an HTML page of 961 bytes, with Retry-After if asked for', async () => {
    const { url, api } = await start()
    await control(`${api}/faults`, 'PUT', { http_burst: { status: 503, count: 1, retry_after_seconds: 7 } })
    const answer = await ask(`${url}${ACTIONS}/versions`)
    expect([answer.bytes.length, answer.text.startsWith('<html>')]).toEqual([961, true])
    expect(answer.headers['retry-after']).toBe('7')
  })

  test('redirect sends the next requests to another XSP with a 302', async () => {
    const { url, second, api } = await start({}, { ports: [0, 0] })
    await control(`${api}/faults`, 'PUT', { redirect: { to_xsp_index: 1, count: 1 } })
    const answer = await ask(`${url}${ACTIONS}/user/ann@example.net/calls?format=json`)
    expect(answer.status).toBe(302)
    expect(answer.headers['location']).toBe(`${second}${ACTIONS}/user/ann@example.net/calls?format=json`)
    expect((await ask(String(answer.headers['location']))).status).toBe(200)
    expect((await ask(`${url}${ACTIONS}/user/ann@example.net/calls`)).status).toBe(200)
  })

  test('an idle ordinary connection is announced with timeout=4 and closed after keepAliveTimeoutMs', async () => {
    const { url } = await start({ keepAliveTimeoutMs: 1_000 })
    expect((await start()).simulator.xspUrls).toHaveLength(1)
    const { port } = new URL(url)
    const socket = connect({ host: '127.0.0.1', port: Number(port) })
    let text = ''
    let closedAt = 0
    socket.on('data', (part) => (text += part.toString('latin1')))
    socket.on('close', () => (closedAt = performance.now()))
    socket.write(`GET ${CHANNEL_PATH} HTTP/1.1\r\nHost: xsp\r\n\r\n`)
    await eventually(() => text.includes('\r\n\r\n'), 'the answer')
    const answeredAt = performance.now()
    expect(text).toMatch(/\r\nKeep-Alive: timeout=1\r\n/i)
    await eventually(() => closedAt > 0, 'the end of the connection', 3_000)
    expect(closedAt - answeredAt).toBeGreaterThan(800)
    expect(closedAt - answeredAt).toBeLessThan(2_500)
  })
})

describe('https', () => {
  test('a certificate made at the start is trusted by a client that is given it, and by no other', async () => {
    const { url, simulator } = await start({}, { https: true })
    expect(url).toMatch(/^https:/)
    const ca = simulator.caCertificate ?? ''
    const answer = await ask(`${url}${EVENTS}/versions`, { ca })
    expect(answer.status).toBe(200)
    expect(String(answer.headers['set-cookie'])).toContain('; Secure; HttpOnly')
    await expect(ask(`${url}${EVENTS}/versions`)).rejects.toThrow(/self-signed/)
  })
})

describe('lifecycle', () => {
  test('stop is idempotent, closes every connection and frees the ports', async () => {
    const { simulator, url, api } = await start()
    const channel = await open(url)
    await simulator.stop(AbortSignal.timeout(1_000))
    await simulator.stop(AbortSignal.timeout(1_000))
    await eventually(() => channel.isClosed, 'the end of the channel')
    await expect(ask(`${api}/healthz`)).rejects.toThrow(/ECONNREFUSED/)
  })

  test('a start on a taken port fails and leaves nothing behind', async () => {
    const { url } = await start()
    const taken = Number(new URL(url).port)
    const other = new Simulator({ ...ADMINISTRATOR, log: silentLogger, ports: [0, taken] })
    await expect(other.start()).rejects.toThrow(/EADDRINUSE/)
    await other.stop(AbortSignal.timeout(1_000))
  })
})
