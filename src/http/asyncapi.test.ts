import { readFile } from 'node:fs/promises'
import { Hono } from 'hono'
import * as v from 'valibot'
import { beforeAll, describe, expect, test } from 'vitest'
import { CLOSE_CODES } from '../streams/close-codes.ts'
import { ServerFrameSchema } from '../streams/protocol.ts'
import { generateAsyncApi } from './asyncapi.ts'
import type { Authenticator } from './authentication.ts'
import type { HttpEnv } from './context.ts'
import { operationFactory } from './operation.ts'
import { addAsyncApiRoute } from './routes/asyncapi.ts'

const Ref = v.strictObject({ $ref: v.pipe(v.string(), v.startsWith('#/')) })
const refs = v.pipe(v.array(Ref), v.minLength(1))
const record = <Schema extends v.GenericSchema>(schema: Schema) => v.record(v.string(), schema)
const anything = v.looseObject({})

/** What AsyncAPI 3.0.0 requires of the objects that we use, and the only members that they may have. */
const Reply = v.strictObject({ channel: Ref, messages: refs })
const Message = v.strictObject({
  name: v.string(),
  title: v.string(),
  summary: v.string(),
  payload: Ref,
  correlationId: v.optional(Ref),
})
const DocumentSchema = v.strictObject({
  asyncapi: v.literal('3.0.0'),
  info: v.strictObject({
    title: v.string(),
    version: v.string(),
    description: v.string(),
    license: v.strictObject({ name: v.string(), url: v.string() }),
  }),
  defaultContentType: v.literal('application/json'),
  servers: record(
    v.strictObject({
      host: v.string(),
      protocol: v.picklist(['ws', 'http']),
      description: v.string(),
      security: refs,
    }),
  ),
  channels: record(
    v.strictObject({
      address: v.string(),
      title: v.string(),
      description: v.string(),
      servers: refs,
      parameters: record(v.strictObject({ description: v.string() })),
      messages: record(Ref),
      bindings: v.optional(v.strictObject({ ws: anything })),
      'x-close-codes': record(v.strictObject({ name: v.string(), action: v.string(), meaning: v.string() })),
    }),
  ),
  operations: record(
    v.strictObject({
      action: v.picklist(['send', 'receive']),
      summary: v.string(),
      channel: Ref,
      messages: refs,
      reply: v.optional(Reply),
      bindings: v.optional(v.strictObject({ http: anything })),
    }),
  ),
  components: v.strictObject({
    schemas: record(anything),
    messages: record(Message),
    correlationIds: record(
      v.strictObject({ description: v.string(), location: v.pipe(v.string(), v.startsWith('$message.payload#/')) }),
    ),
    securitySchemes: record(
      v.variant('type', [
        v.strictObject({ type: v.literal('http'), scheme: v.string(), description: v.string() }),
        v.strictObject({
          type: v.literal('httpApiKey'),
          in: v.picklist(['query', 'header', 'cookie']),
          name: v.string(),
          description: v.string(),
        }),
      ]),
    ),
  }),
})

let document: v.InferOutput<typeof DocumentSchema>

beforeAll(async () => {
  document = v.parse(DocumentSchema, await generateAsyncApi())
})

/** What a `$ref` stands for; undefined when there is nothing. */
const resolve = (ref: string): unknown =>
  ref
    .slice(2)
    .split('/')
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce<unknown>((at, part) => (Object(at) as Record<string, unknown>)[part], document)

function* refsIn(value: unknown): Generator<string> {
  if (typeof value !== 'object' || value === null) return
  for (const [key, each] of Object.entries(value)) {
    if (key === '$ref' && typeof each === 'string') yield each
    else yield* refsIn(each)
  }
}

describe('the AsyncAPI document', () => {
  test('refers to nothing that is not in it', () => {
    const all = [...refsIn(document)]
    expect(all.length).toBeGreaterThan(50)
    expect(all.filter((ref) => resolve(ref) === undefined)).toEqual([])
  })

  test('has in each operation only messages of its channel', () => {
    for (const { channel, messages, reply } of Object.values(document.operations)) {
      for (const { $ref } of messages) expect($ref.startsWith(`${channel.$ref}/messages/`)).toBe(true)
      for (const { $ref } of reply?.messages ?? [])
        expect($ref.startsWith(`${reply?.channel.$ref}/messages/`)).toBe(true)
    }
  })

  test('has every parameter of an address, and no other', () => {
    for (const { address, parameters } of Object.values(document.channels)) {
      expect([...address.matchAll(/\{(.+?)\}/g)].map(([, name]) => name)).toEqual(Object.keys(parameters))
    }
  })

  test('has every frame that there is, sent or received over the WebSocket or as a server-sent event', () => {
    const types = ServerFrameSchema.options.map(({ entries }) => entries.type.literal)
    const used = Object.values(document.operations).flatMap(({ messages, reply }) => [
      ...messages,
      ...(reply?.messages ?? []),
    ])
    const names = new Set(used.map(({ $ref }) => $ref.slice($ref.lastIndexOf('/') + 1)))
    expect([...names].toSorted()).toEqual([...types, 'subscribe', 'filter', 'command', 'dial'].toSorted())
  })

  test('describes a message by its schema, down to the constant that tells it apart', () => {
    const payloads = Object.values(document.components.messages).map(({ name, payload }) => {
      const { properties } = v.parse(v.looseObject({ properties: record(anything) }), resolve(payload.$ref))
      return [name, Object(properties['type'] ?? properties['op'])['const'] ?? Object(properties['op'])['enum']]
    })
    expect(Object.fromEntries(payloads)).toEqual({
      subscribe: 'subscribe',
      filter: 'filter',
      command: ['answer', 'hold', 'resume', 'end'],
      dial: 'dial',
      subscribed: 'subscribed',
      event: 'event',
      gap: 'gap',
      snapshot: 'snapshot',
      filtered: 'filtered',
      coalesced: 'coalesced',
      reply: 'reply',
      ping: 'ping',
      close: 'close',
    })
  })

  test('has every close code, with what to do', () => {
    for (const channel of Object.values(document.channels)) {
      expect(channel['x-close-codes']).toEqual(
        Object.fromEntries(
          Object.entries(CLOSE_CODES).map(([name, { code, action, meaning }]) => [code, { name, action, meaning }]),
        ),
      )
    }
  })

  test('is served, and is docs/asyncapi.json', async () => {
    const app = new Hono<HttpEnv>()
    const authenticator = { requireApp: () => Promise.reject(new Error('not asked')), requireAdmin: () => undefined }
    addAsyncApiRoute(app, operationFactory(authenticator as unknown as Authenticator))
    const response = await app.request('/asyncapi.json')
    expect(response.headers.get('content-type')).toBe('application/json')
    const recorded = await readFile(new URL('../../docs/asyncapi.json', import.meta.url), 'utf8')
    expect(await response.json()).toEqual(JSON.parse(recorded))
  })
})

describe('docs/stream-protocol.md', () => {
  test('has every close code with its name, and no other', async () => {
    const page = await readFile(new URL('../../docs/stream-protocol.md', import.meta.url), 'utf8')
    const rows = [...page.matchAll(/^\| (4\d{3}) \| `(\w+)` /gm)].map(([, code, name]) => `${code} ${name}`)
    expect(rows).toEqual(Object.entries(CLOSE_CODES).map(([name, { code }]) => `${code} ${name}`))
  })

  test('has every frame of the gateway', async () => {
    const page = await readFile(new URL('../../docs/stream-protocol.md', import.meta.url), 'utf8')
    const types = ServerFrameSchema.options.map(({ entries }) => entries.type.literal)
    const rows = new Set([...page.matchAll(/^\| `(\w+)`(?:, `recovered: \w+`)? +\|/gm)].map(([, type]) => type))
    expect(types.filter((type) => type !== 'close' && !rows.has(type))).toEqual([])
    expect(page).toContain('{"type": "close", "code": 4001')
  })
})
