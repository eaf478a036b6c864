import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { expect, test, vi } from 'vitest'
import { BroadsoftRig, PASSWORD } from '../../test/support/broadsoft-rig.ts'
import type { Instance } from '../../test/support/broadsoft-rig.ts'
import { untilHolds } from '../../test/support/until.ts'
import type { Logger } from '../core/logger.ts'

const USER_1 = 'user1@example.net'
const SLOW = 20_000

const XML = '<?xml version="1.0" encoding="UTF-8"?>'
const XSI = 'xmlns="http://schema.broadsoft.com/xsi"'
const CHANNEL = `${XML}\n<Channel ${XSI}><channelId>channel-1</channelId><expires>3600</expires></Channel>`

type EventParts = {
  readonly id: string
  readonly sequence: number | string
  readonly type?: string
  readonly data?: string
  readonly subscription?: string
}

const event = ({ id, sequence, type = 'HookStatusEvent', data = '', subscription = 'sub-1' }: EventParts): string =>
  `${XML}<xsi:Event xmlns:xsi="http://schema.broadsoft.com/xsi" xmlns:xsi1="http://www.w3.org/2001/XMLSchema-instance" xsi1:type="xsi:SubscriptionEvent">` +
  `<xsi:eventID>${id}</xsi:eventID><xsi:sequenceNumber>${sequence}</xsi:sequenceNumber><xsi:userId>admin@example.net</xsi:userId>` +
  `<xsi:externalApplicationId>app-1</xsi:externalApplicationId><xsi:subscriptionId>${subscription}</xsi:subscriptionId>` +
  `<xsi:targetId>${USER_1}</xsi:targetId><xsi:eventData xsi1:type="xsi:${type}">${data}</xsi:eventData></xsi:Event>`

const snapshot = (id: string, sequence: number): string => event({ id, sequence, type: 'CallSubscriptionEvent' })

/** An XSP that says on its channels exactly what a test tells it to. */
class ScriptedXsp implements AsyncDisposable {
  readonly #server: Server
  readonly streams: ServerResponse[] = []
  readonly acks: { readonly id: string; readonly status: string }[] = []
  /** `METHOD path` of every request but channel add, heartbeats and acknowledgements. */
  readonly requests: string[] = []
  heartbeats = 0
  /** What the next channel says first. */
  greeting = CHANNEL
  /** Answers heartbeats on the stream. */
  isEchoing = true
  /** Breaks the connection of so many acknowledgements. */
  ackBreaks = 0
  /** Called with each refresh of the channel; its status is answered. */
  onRefresh: () => number = () => 200

  private constructor() {
    this.#server = createServer((req, res) => void this.#serve(req, res))
  }

  static async start(): Promise<ScriptedXsp> {
    const xsp = new ScriptedXsp()
    await new Promise<void>((resolve) => xsp.#server.listen(0, '127.0.0.1', resolve))
    return xsp
  }

  get url(): string {
    const address = this.#server.address()
    return `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`
  }

  say(text: string): void {
    this.streams.at(-1)?.write(text)
  }

  ackOf(id: string): string | undefined {
    return this.acks.find((ack) => ack.id === id)?.status
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    let body = ''
    for await (const part of req) body += String(part)
    const path = req.url ?? ''
    if (path.includes('async')) {
      this.streams.push(res)
      res.writeHead(200, { 'content-type': 'text/xml;charset=UTF-8' })
      res.write(this.greeting)
      return
    }
    if (path.endsWith('/heartbeat')) {
      this.heartbeats += 1
      if (this.isEchoing) this.say(`${XML}<ChannelHeartBeat ${XSI}/>`)
    } else if (path.endsWith('/eventresponse')) {
      if (this.ackBreaks > 0) {
        this.ackBreaks -= 1
        req.socket.destroy()
        return
      }
      const [, id = ''] = /<eventID>(.*)<\/eventID>/.exec(body) ?? []
      const [, status = ''] = /<statusCode>(.*)<\/statusCode>/.exec(body) ?? []
      this.acks.push({ id, status })
    } else {
      this.requests.push(`${req.method} ${path}`)
      if (req.method === 'DELETE') this.streams.at(-1)?.end()
      if (req.method === 'PUT' && path.includes('/channel/')) res.statusCode = this.onRefresh()
      if (path.includes('/subscription?')) res.write(`${XML}<SubscriptionList ${XSI}/>`)
      else
        res.write(
          `${XML}<Subscription ${XSI}><subscriptionId>sub-1</subscriptionId><expires>3600</expires></Subscription>`,
        )
    }
    res.end()
  }
}

type Scene = AsyncDisposable & { readonly xsp: ScriptedXsp; readonly instance: Instance }

async function startScene(prepare: (xsp: ScriptedXsp) => void = () => undefined, log?: Logger): Promise<Scene> {
  const xsp = await ScriptedXsp.start()
  const rig = await BroadsoftRig.start({ users: 1 })
  prepare(xsp)
  const instance = await rig.startAdapter({ xsp: [xsp.url], heartbeat_seconds: 0.5 }, { log })
  return {
    xsp,
    instance,
    [Symbol.asyncDispose]: async () => {
      await rig[Symbol.asyncDispose]()
      await xsp[Symbol.asyncDispose]()
    },
  }
}

/** A scene where user 1 is subscribed and confirmed by the event `e1` with sequence number 1. */
async function startConfirmed(log?: Logger): Promise<Scene> {
  const scene = await startScene(undefined, log)
  await untilHolds(() => expect(scene.xsp.requests).toContain(`POST /com.broadsoft.xsi-events/v2.0/user/${USER_1}`))
  scene.xsp.say(snapshot('e1', 1))
  await untilHolds(() => expect(scene.instance.adapter.isReady()).toBe(true))
  return scene
}

const refreshes = ({ xsp }: Scene) => xsp.requests.filter((request) => request.startsWith('PUT')).length

test.each([
  ['text outside of a document', 'hello', 'protocol_error'],
  ['a document that is not closed as it was opened', '<Channel></Chanel>', 'protocol_error'],
  ['a document of more than 1 MiB', `<Channel>${' '.repeat(1_100_000)}</Channel>`, 'protocol_error'],
  ['an id that no path can hold', CHANNEL.replace('channel-1', 'a/b'), 'protocol_error'],
  ['an empty id', CHANNEL.replace('channel-1', ''), 'protocol_error'],
  ['an id of 300 characters', CHANNEL.replace('channel-1', 'c'.repeat(300)), 'protocol_error'],
  ['another document than Channel', `<SubscriptionList ${XSI}/>`, 'protocol_error'],
  [
    'an ErrorInfo',
    `<ErrorInfo ${XSI}><summaryEnglish>No.</summaryEnglish><errorCode>1</errorCode></ErrorInfo>`,
    'refused',
  ],
])(
  'a channel that begins with %s is given up and opened again after a pause',
  { timeout: SLOW },
  async (_what, greeting, reason) => {
    await using scene = await startScene((xsp) => (xsp.greeting = greeting))
    const { instance, xsp } = scene
    await untilHolds(async () => expect(await instance.metric('callhalf_channel_ends_total', { reason })).toBe(1))
    xsp.greeting = CHANNEL
    await untilHolds(() => expect(instance.adapter.channels()[0]?.state).toBe('open'))
    expect(xsp.streams.length).toBeGreaterThanOrEqual(2)
  },
)

test('broken XML in the middle of a channel ends it, and it is deleted at the server', { timeout: SLOW }, async () => {
  await using scene = await startConfirmed()
  scene.xsp.say('<xsi:Event><a></b></xsi:Event>')
  await untilHolds(async () =>
    expect(await scene.instance.metric('callhalf_channel_ends_total', { reason: 'protocol_error' })).toBe(1),
  )
  expect(scene.xsp.requests).toContain('DELETE /com.broadsoft.xsi-events/v2.0/channel/channel-1')
})

test('an event without a usable sequence number is answered 200 and has its subscriber confirmed anew', async () => {
  await using scene = await startConfirmed()
  const before = refreshes(scene)
  scene.xsp.say(event({ id: 'e2', sequence: 'two' }))
  await untilHolds(() => expect(scene.xsp.ackOf('e2')).toBe('200'))
  await untilHolds(() => expect(refreshes(scene)).toBe(before + 1))
  expect(await scene.instance.metric('callhalf_channel_events_total', { outcome: 'malformed' })).toBe(1)
})

test('an event of a type that nobody knows is answered 200 and counted', async () => {
  await using scene = await startConfirmed()
  scene.xsp.say(event({ id: 'e2', sequence: 2, type: 'CallHistoryEvent' }))
  await untilHolds(() => expect(scene.xsp.ackOf('e2')).toBe('200'))
  expect(await scene.instance.metric('callhalf_channel_unknown_documents_total')).toBe(1)
})

test('an event of a subscription that is not known yet is stored and answered 200', async () => {
  await using scene = await startConfirmed()
  scene.xsp.say(event({ id: 'x1', sequence: 1, type: 'CallSubscriptionEvent', subscription: 'sub-new' }))
  await untilHolds(() => expect(scene.xsp.ackOf('x1')).toBe('200'))
  expect(scene.instance.sink.snapshotsOf(USER_1).map(({ upstream }) => upstream)).toEqual([
    { generation: 1, sequence: 1 },
    { generation: 2, sequence: 1 },
  ])
})

test('a number missing from a subscription has its subscriber confirmed anew, once', async () => {
  await using scene = await startConfirmed()
  const before = refreshes(scene)
  for (const [id, sequence] of [
    ['e3', 3],
    ['e4', 4],
  ] as const)
    scene.xsp.say(event({ id, sequence }))
  await untilHolds(() => expect(refreshes(scene)).toBe(before + 1))
  scene.xsp.say(snapshot('e5', 5))
  await untilHolds(() => expect(scene.xsp.ackOf('e5')).toBe('200'))
  expect(await scene.instance.metric('callhalf_channel_gaps_total')).toBe(1)
  expect(refreshes(scene)).toBe(before + 1)
})

test('numbers that overtake each other are no gap', async () => {
  await using scene = await startConfirmed()
  const before = refreshes(scene)
  for (const [id, sequence] of [
    ['e3', 3],
    ['e2', 2],
    ['e4', 4],
  ] as const)
    scene.xsp.say(event({ id, sequence }))
  const { heartbeats } = scene.xsp
  // Two heartbeats are longer than the time that a missing number is given.
  await untilHolds(() => expect(scene.xsp.heartbeats).toBe(heartbeats + 2))
  expect(refreshes(scene)).toBe(before)
  expect(await scene.instance.metric('callhalf_channel_gaps_total')).toBe(0)
})

test('an acknowledgement whose connection breaks is sent again', async () => {
  await using scene = await startConfirmed()
  scene.xsp.ackBreaks = 4
  scene.xsp.say(event({ id: 'e2', sequence: 2 }))
  await untilHolds(() => expect(scene.xsp.ackOf('e2')).toBe('200'))
})

test('an ErrorEvent on the stream does not end the channel', async () => {
  await using scene = await startConfirmed()
  scene.xsp.say(
    `${XML}<xsi:Event xmlns:xsi="http://schema.broadsoft.com/xsi" xmlns:xsi1="http://www.w3.org/2001/XMLSchema-instance" xsi1:type="xsi:ErrorEvent"><xsi:errorCode>1</xsi:errorCode><xsi:errorMessage>Foreign content</xsi:errorMessage></xsi:Event>`,
  )
  scene.xsp.say(event({ id: 'e2', sequence: 2 }))
  await untilHolds(() => expect(scene.xsp.ackOf('e2')).toBe('200'))
  expect(scene.xsp.streams.length).toBe(1)
})

test('documents cut into single bytes are read as if they came whole', async () => {
  await using scene = await startConfirmed()
  for (const byte of Buffer.from(snapshot('e2', 2) + event({ id: 'e3', sequence: 3 })))
    scene.xsp.streams.at(-1)?.write(Buffer.of(byte))
  await untilHolds(() => expect(scene.xsp.ackOf('e3')).toBe('200'))
  expect(scene.instance.sink.snapshotsOf(USER_1).length).toBe(2)
})

test('a heartbeat that is answered 200 but not echoed ends the channel', { timeout: SLOW }, async () => {
  await using scene = await startConfirmed()
  scene.xsp.isEchoing = false
  await untilHolds(async () =>
    expect(await scene.instance.metric('callhalf_channel_ends_total', { reason: 'silent' })).toBe(1),
  )
  expect(scene.xsp.heartbeats).toBeGreaterThan(0)
})

test('a channel that never says its id is given up', { timeout: SLOW }, async () => {
  await using scene = await startScene((xsp) => (xsp.greeting = XML))
  await untilHolds(async () =>
    expect(await scene.instance.metric('callhalf_channel_ends_total', { reason: 'unreachable' })).toBe(1),
  )
})

test('a step of the wall clock does not end a channel', { timeout: SLOW }, async () => {
  const statuses: number[] = []
  await using scene = await startScene((xsp) => {
    xsp.greeting = CHANNEL.replace('3600', '4')
    xsp.onRefresh = () => {
      // The first refresh fails, so that the channel must look at its clock again.
      statuses.push(statuses.length === 0 ? 503 : 200)
      return statuses.at(-1) ?? 200
    }
  })
  await untilHolds(() => expect(scene.instance.adapter.channels()[0]?.state).toBe('open'))
  const now = Date.now.bind(Date)
  vi.spyOn(Date, 'now').mockImplementation(() => now() + 3_600_000)
  await untilHolds(() => expect(statuses).toEqual([503, 200]))
  expect(await scene.instance.metric('callhalf_channel_ends_total')).toBe(0)
})

test('no log line holds the credentials', { timeout: SLOW }, async () => {
  const lines: string[] = []
  const note = (fields: object, message: string) => void lines.push(message + JSON.stringify(fields, errorsToo))
  const log: Logger = { debug: note, info: note, warn: note, error: note, child: () => log }
  await using scene = await startConfirmed(log)
  scene.xsp.say('garbage')
  await untilHolds(() => expect(scene.instance.adapter.channels()[0]?.state).toBe('waiting'))
  expect(lines.length).toBeGreaterThan(3)
  const encoded = Buffer.from(`admin@example.net:${PASSWORD}`).toString('base64')
  expect(
    lines.filter((line) => line.includes(PASSWORD) || line.includes(encoded) || /authorization/i.test(line)),
  ).toEqual([])
})

const errorsToo = (_key: string, value: unknown): unknown =>
  value instanceof Error
    ? Object.fromEntries(Object.getOwnPropertyNames(value).map((name) => [name, Reflect.get(value, name)]))
    : value
