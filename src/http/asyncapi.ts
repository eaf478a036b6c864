import { resolver } from 'hono-openapi'
import type * as v from 'valibot'
import { VERSION } from '../core/version.ts'
import { CLOSE_CODES } from '../streams/close-codes.ts'
import {
  FilterFrameSchema,
  SUBPROTOCOL,
  ServerFrameSchema,
  SubscribeFrameSchema,
  TOKEN_SUBPROTOCOL_PREFIX,
} from '../streams/protocol.ts'
import { CallCommandFrameSchema, DialFrameSchema } from './stream-commands.ts'

const DESCRIPTION = `The events of an app as they happen: the same events, with the same payload, as its webhooks.
Over a WebSocket an app also sends commands on its calls. docs/stream-protocol.md says how to open a stream,
how to resume one, and how to keep a mirror of the live calls.

Ignore message types, event types and fields that you do not know.`

type ServerFrameType = v.InferOutput<typeof ServerFrameSchema>['type']

/** What the messages of the gateway are for, by type. */
const SERVER_MESSAGES: Readonly<Record<ServerFrameType, { readonly name: string; readonly summary: string }>> = {
  subscribed: { name: 'Subscribed', summary: 'The stream begins: resumed, or with a snapshot of the live calls' },
  event: { name: 'Event', summary: 'Something has happened; `data` is the payload of the webhook' },
  gap: { name: 'Gap', summary: 'Events were lost; a snapshot follows' },
  snapshot: { name: 'Snapshot', summary: 'The live calls, in place of all that was known of them' },
  filtered: { name: 'Filtered', summary: 'The filter has changed; the live calls that it wants' },
  coalesced: { name: 'Coalesced', summary: 'The client was slow, and changes that later ones overtook are left out' },
  reply: { name: 'Reply', summary: 'The answer to a command' },
  ping: { name: 'Ping', summary: 'A sign of life, with how far the stream is complete' },
  close: { name: 'Close', summary: 'The last event of server-sent events, in place of a close code' },
}

/** What is sent unasked, over a WebSocket and as server-sent events, where a ping is a comment. */
const UNASKED = ['event', 'gap', 'snapshot', 'coalesced'] as const satisfies readonly ServerFrameType[]

const CLIENT_MESSAGES = [
  { key: 'subscribe', name: 'Subscribe', summary: 'The first message of a client', schema: SubscribeFrameSchema },
  { key: 'filter', name: 'SetFilter', summary: 'Changes which events are sent', schema: FilterFrameSchema },
  { key: 'command', name: 'Command', summary: 'A command on a call', schema: CallCommandFrameSchema },
  { key: 'dial', name: 'Dial', summary: 'A call to place', schema: DialFrameSchema },
] as const

const WEBSOCKET_SERVER = { $ref: '#/servers/websocket' }
const HTTP_SERVER = { $ref: '#/servers/http' }
const PARAMETERS = { app_id: { description: 'The app' } }

/** The AsyncAPI 3.0 document of the streams, from the schemas that validate what goes over them. */
export async function generateAsyncApi(): Promise<object> {
  const client = CLIENT_MESSAGES.map(({ key, name, summary, schema }) => ({ key, name, summary, schema }))
  const server = ServerFrameSchema.options.map((schema) => {
    const type = schema.entries.type.literal
    return { key: type, ...SERVER_MESSAGES[type], schema }
  })
  const schemas: Record<string, unknown> = {}
  const messages: Record<string, object> = {}
  for (const { key, name, summary, schema } of [...client, ...server]) {
    messages[name] = {
      name: key,
      title: name,
      summary,
      payload: await describePayload(`Stream${name}`, schema, schemas),
      ...('request_id' in schema.entries && { correlationId: { $ref: '#/components/correlationIds/requestId' } }),
    }
  }
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Callhalf streams',
      version: VERSION,
      description: DESCRIPTION,
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    defaultContentType: 'application/json',
    servers: describeServers(),
    channels: describeChannels(),
    operations: describeOperations(),
    components: {
      schemas: Object.fromEntries(Object.entries(schemas).toSorted(([a], [b]) => (a < b ? -1 : 1))),
      messages,
      correlationIds: {
        requestId: { description: 'Tells answers apart', location: '$message.payload#/request_id' },
      },
      securitySchemes: SECURITY_SCHEMES,
    },
  }
}

/** A reference to the schema under its own name, or under `name` if it has none; collects what it refers to. */
async function describePayload(
  name: string,
  schema: v.GenericSchema,
  schemas: Record<string, unknown>,
): Promise<object> {
  const described = await resolver(schema).toOpenAPISchema()
  Object.assign(schemas, described.components?.schemas)
  if ('$ref' in described.schema) return described.schema
  schemas[name] = described.schema
  return { $ref: `#/components/schemas/${name}` }
}

const SECURITY_SCHEMES = {
  apiKey: { type: 'http', scheme: 'bearer', description: 'A key of the app, or the admin key' },
  tokenSubprotocol: {
    type: 'httpApiKey',
    in: 'header',
    name: 'Sec-WebSocket-Protocol',
    description: `A stream token, as the second of two subprotocols: ${SUBPROTOCOL}, ${TOKEN_SUBPROTOCOL_PREFIX}<token>`,
  },
  tokenQuery: {
    type: 'httpApiKey',
    in: 'query',
    name: 'token',
    description: 'A stream token: `POST /apps/{app_id}/stream-tokens` issues it, and it opens one stream',
  },
}

const security = (names: readonly (keyof typeof SECURITY_SCHEMES)[]) =>
  names.map((name) => ({ $ref: `#/components/securitySchemes/${name}` }))

function describeServers() {
  const host = '127.0.0.1:8080'
  return {
    websocket: {
      host,
      protocol: 'ws',
      description: 'Wherever the gateway is; `wss` behind TLS',
      security: security(['apiKey', 'tokenSubprotocol', 'tokenQuery']),
    },
    http: {
      host,
      protocol: 'http',
      description: 'Server-sent events of the same gateway; `https` behind TLS',
      security: security(['apiKey', 'tokenQuery']),
    },
  }
}

const text = (description: string) => ({ type: 'string', description })
const TOKEN_QUERY = { token: text('A stream token, in place of the subprotocol or the header Authorization') }
const FILTER_QUERY = {
  after: text('The position to resume after: `epoch:offset`; the header Last-Event-ID counts more'),
  subscriber_id: text('Of events about a subscriber, only those about this one; may be repeated'),
  event_type: text('Only events of this type, exact or by prefix (`call.*`); may be repeated'),
}

/** The codes with which the gateway ends a stream, in the reason as JSON: `{code, retry_after_ms?, detail?}`. */
const closeCodes = () =>
  Object.fromEntries(
    Object.entries(CLOSE_CODES).map(([name, { code, action, meaning }]) => [code, { name, action, meaning }]),
  )

/** By the key that each has in its channel. */
const refs = (keys: readonly (readonly [key: string, name: string])[]) =>
  Object.fromEntries(keys.map(([key, name]) => [key, { $ref: `#/components/messages/${name}` }]))
const named = (types: readonly ServerFrameType[]) => types.map((type) => [type, SERVER_MESSAGES[type].name] as const)

function describeChannels() {
  return {
    stream: {
      address: '/apps/{app_id}/stream',
      title: 'WebSocket',
      description:
        'Opened with the subprotocol; every message is JSON text. The client subscribes first, within 10 seconds.',
      servers: [WEBSOCKET_SERVER],
      parameters: PARAMETERS,
      messages: refs([
        ...CLIENT_MESSAGES.map(({ key, name }) => [key, name] as const),
        ...named(['subscribed', ...UNASKED, 'filtered', 'reply', 'ping']),
      ]),
      bindings: {
        ws: {
          method: 'GET',
          query: { type: 'object', properties: TOKEN_QUERY },
          headers: {
            type: 'object',
            properties: {
              'Sec-WebSocket-Protocol': text(
                `\`${SUBPROTOCOL}\`, and \`${TOKEN_SUBPROTOCOL_PREFIX}<token>\` in a browser`,
              ),
            },
          },
          bindingVersion: '0.1.0',
        },
      },
      'x-close-codes': closeCodes(),
    },
    serverSentEvents: {
      address: '/apps/{app_id}/stream',
      title: 'Server-sent events',
      description:
        'For a request with `Accept: text/event-stream`: `event` is the type of the message, `data` the message, ' +
        '`id` its position. Pings are comments.',
      servers: [HTTP_SERVER],
      parameters: PARAMETERS,
      messages: refs(named(['subscribed', ...UNASKED, 'close'])),
      'x-close-codes': closeCodes(),
    },
  }
}

const channel = (name: string) => ({ $ref: `#/channels/${name}` })
const messages = (name: string, keys: readonly string[]) =>
  keys.map((key) => ({ $ref: `#/channels/${name}/messages/${key}` }))

/** An operation of a client, and the message that answers it. */
const answered = (keys: readonly string[], by: string) => ({
  action: 'receive',
  channel: channel('stream'),
  messages: messages('stream', keys),
  reply: { channel: channel('stream'), messages: messages('stream', [by]) },
})

function describeOperations() {
  return {
    subscribe: { summary: 'Starts or resumes the stream', ...answered(['subscribe'], 'subscribed') },
    setFilter: { summary: 'Changes which events are sent', ...answered(['filter'], 'filtered') },
    command: { summary: 'Does something with a call', ...answered(['command', 'dial'], 'reply') },
    tell: {
      action: 'send',
      summary: 'Tells what happens',
      channel: channel('stream'),
      messages: messages('stream', [...UNASKED, 'ping']),
    },
    tellServerSentEvents: {
      action: 'send',
      summary: 'Tells what happens, over a plain HTTP response',
      channel: channel('serverSentEvents'),
      messages: messages('serverSentEvents', ['subscribed', ...UNASKED, 'close']),
      bindings: {
        http: {
          method: 'GET',
          query: { type: 'object', properties: { ...FILTER_QUERY, ...TOKEN_QUERY } },
          bindingVersion: '0.3.0',
        },
      },
    },
  }
}
