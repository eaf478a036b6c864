import { readFile } from 'node:fs/promises'
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'

const OperationSchema = v.looseObject({
  operationId: v.string(),
  summary: v.string(),
  tags: v.array(v.string()),
  description: v.optional(v.string()),
  security: v.optional(v.array(v.record(v.string(), v.array(v.string())))),
  responses: v.record(
    v.string(),
    v.looseObject({ description: v.string(), headers: v.optional(v.record(v.string(), v.unknown())) }),
  ),
})
const HeaderSchema = v.looseObject({ name: v.string(), in: v.literal('header'), required: v.optional(v.boolean()) })
const DocumentSchema = v.looseObject({
  openapi: v.literal('3.1.0'),
  paths: v.record(v.string(), v.record(v.string(), OperationSchema)),
  webhooks: v.record(v.string(), v.looseObject({ post: OperationSchema })),
  components: v.looseObject({ schemas: v.record(v.string(), v.looseObject({})) }),
})

/** `npm run check:openapi` proves that the file is what the code says; here is what it must say. */
const text = await readFile(new URL('../../docs/openapi.json', import.meta.url), 'utf8')
const document = v.parse(DocumentSchema, JSON.parse(text))
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ name: `${method.toUpperCase()} ${path}`, operation })),
)

const statusesOf = (name: string) =>
  Object.keys(operations.find((each) => each.name === name)?.operation.responses ?? {})

const headersOf = (name: string) =>
  v
    .parse(v.array(HeaderSchema), document.webhooks[name]?.post['parameters'])
    .map(({ name: header, required }) => (required === true ? header : `${header}?`))

describe('the OpenAPI document', () => {
  it('has the operations of the calls API document, marked as such, with its statuses', () => {
    const marked = operations
      .filter(({ operation }) => operation.description?.startsWith('Part of the calls API document.'))
      .map(({ name, operation }) => `${name} ${Object.keys(operation.responses).find((status) => status < '300')}`)
    expect(marked.toSorted()).toEqual([
      'DELETE /apps/{app_id}/calls/{call_id} 204',
      'GET /apps/{app_id}/calls 200',
      'GET /apps/{app_id}/subscribers/{subscriber_id}/calls 200',
      'POST /apps/{app_id}/calls 201',
      'PUT /apps/{app_id}/calls/{call_id}/answer 204',
      'PUT /apps/{app_id}/calls/{call_id}/hold 204',
      'PUT /apps/{app_id}/calls/{call_id}/resume 204',
    ])
    const parts = Object.values(document.webhooks).filter(({ post }) =>
      post.description?.startsWith('Part of the calls API document'),
    )
    expect(parts.map(({ post }) => post.operationId)).toEqual(['callEvent', 'subscriberEvent'])
  })

  it('says that what must match a pattern is text, also where it becomes something else inside', () => {
    const wrong: string[] = []
    const look = (value: unknown, path: string): void => {
      if (typeof value !== 'object' || value === null) return
      const { type, pattern } = value as { readonly type?: unknown; readonly pattern?: unknown }
      if (typeof pattern === 'string' && typeof type === 'string' && type !== 'string') wrong.push(path)
      for (const [key, entry] of Object.entries(value)) look(entry, `${path}/${key}`)
    }
    look(document, '')
    expect(wrong).toEqual([])
  })

  it('has exactly these paths besides those of the provisioning documents', () => {
    const ours = Object.keys(document.paths).filter((path) => !PROVISIONING.test(path))
    expect(ours.toSorted()).toEqual([
      '/admin/apps',
      '/admin/apps/{app_id}',
      '/admin/apps/{app_id}/keys',
      '/admin/apps/{app_id}/keys/{key_id}',
      '/admin/apps/{app_id}/provisioning-keys',
      '/admin/apps/{app_id}/provisioning-keys/{key_id}',
      '/admin/apps/{app_id}/subscribers',
      '/admin/apps/{app_id}/subscribers/{subscriber_id}',
      '/admin/customers/{customerId}/connections/{connectionId}',
      '/admin/customers/{customerId}/invoices/{invoiceId}',
      '/admin/customers/{customerId}/status',
      '/admin/deliveries',
      '/admin/events',
      '/admin/networks',
      '/admin/networks/{network_id}',
      '/admin/networks/{network_id}/channels',
      '/admin/networks/{network_id}/channels/restart',
      '/admin/provisioning/audit',
      '/admin/provisioning/cities/{cityId}',
      '/admin/provisioning/environments',
      '/admin/provisioning/environments/{environment}',
      '/admin/provisioning/environments/{environment}/accounts',
      '/admin/provisioning/environments/{environment}/accounts/{accountNumber}',
      '/admin/provisioning/environments/{environment}/link-types/{linkTypeId}',
      '/admin/provisioning/held-orders',
      '/admin/provisioning/held-orders/{orderId}/resume',
      '/admin/provisioning/line-credentials/verify',
      '/admin/provisioning/line-types',
      '/admin/provisioning/numbers',
      '/admin/provisioning/opt-outs',
      '/admin/provisioning/products/{productId}',
      '/admin/provisioning/sandbox/faults',
      '/admin/webhooks',
      '/apps/{app_id}/calls',
      '/apps/{app_id}/calls/{call_id}',
      '/apps/{app_id}/calls/{call_id}/answer',
      '/apps/{app_id}/calls/{call_id}/hold',
      '/apps/{app_id}/calls/{call_id}/resume',
      '/apps/{app_id}/deliveries',
      '/apps/{app_id}/deliveries/{delivery_id}',
      '/apps/{app_id}/deliveries/{delivery_id}/replay',
      '/apps/{app_id}/events',
      '/apps/{app_id}/stream',
      '/apps/{app_id}/stream-tokens',
      '/apps/{app_id}/subscribers/{subscriber_id}/calls',
      '/apps/{app_id}/webhooks',
      '/apps/{app_id}/webhooks/{webhook_id}',
      '/apps/{app_id}/webhooks/{webhook_id}/deliveries',
      '/apps/{app_id}/webhooks/{webhook_id}/replay',
      '/apps/{app_id}/webhooks/{webhook_id}/rotate-secret',
      '/apps/{app_id}/webhooks/{webhook_id}/test',
      '/apps/{app_id}/webhooks/{webhook_id}/verify',
      '/asyncapi.json',
      '/docs',
      '/healthz',
      '/metrics',
      '/openapi.json',
      '/readyz',
    ])
  })

  it.each([
    'PUT /apps/{app_id}/calls/{call_id}/answer',
    'PUT /apps/{app_id}/calls/{call_id}/hold',
    'PUT /apps/{app_id}/calls/{call_id}/resume',
    'DELETE /apps/{app_id}/calls/{call_id}',
    'POST /apps/{app_id}/calls',
  ])('says that %s may be refused with 429', (name) => {
    expect(statusesOf(name)).toContain('429')
  })

  it.each(['POST /admin/apps', 'POST /admin/networks', 'PATCH /admin/networks/{network_id}'])(
    'says of no conflict that %s cannot have: names need not be unique',
    (name) => {
      expect(statusesOf(name)).toContain('401')
      expect(statusesOf(name)).not.toContain('409')
    },
  )

  it('has all that opening a stream looks at', () => {
    const found = document.paths['/apps/{app_id}/stream']?.['get']?.['parameters']
    const parameters = v.parse(v.array(v.looseObject({ name: v.string(), in: v.string() })), found)
    expect(parameters.map(({ name, in: place }) => `${place} ${name}`)).toEqual([
      'path app_id',
      'query after',
      'query subscriber_id',
      'query event_type',
      'query token',
      'header Last-Event-ID',
    ])
  })

  it.each(['callEvent', 'subscriberEvent', 'subscriberDeparture', 'orderEvent', 'numberEvent'])(
    "says what a receiver's answer to %s does",
    (name) => {
      const responses = Object.entries(document.webhooks[name]?.post.responses ?? {})
      expect(
        responses.map(([status, { description, headers }]) => [status, description, Object.keys(headers ?? {})]),
      ).toEqual([
        ['200', 'Received. Any other 2xx says the same.', ['webhook-delivery']],
        ['410', 'Gone: the webhook is disabled and what is pending for it is dropped.', []],
        [
          '429',
          'Not received, and nothing is to be sent to this webhook for a while.',
          ['Retry-After', 'webhook-delivery'],
        ],
        ['503', 'Not received: this event is not to be sent for a while.', ['Retry-After', 'webhook-delivery']],
        ['default', 'Not received: it is tried again until it expires, redirects included.', ['webhook-delivery']],
      ])
    },
  )

  it('has every header that a webhook carries', () => {
    const message = ['id', 'timestamp', 'signature'].map((name) => `webhook-${name}`)
    const always = [...message, 'callhalf-event', 'callhalf-attempt', 'callhalf-target?']
    const event = ['callhalf-position', 'callhalf-age-ms', 'callhalf-expires', 'callhalf-replay?', 'callhalf-test?']
    const call = ['callhalf-sequence', 'callhalf-call-id', 'callhalf-skipped?', 'callhalf-parked?']
    expect(headersOf('callEvent')).toEqual([...always, ...event, ...call])
    expect(headersOf('subscriberEvent')).toEqual([...always, ...event])
    expect(headersOf('subscriberDeparture')).toEqual([...always, ...event])
    expect(headersOf('orderEvent')).toEqual([...always, ...event])
    expect(headersOf('numberEvent')).toEqual([...always, ...event])
    expect(headersOf('challenge')).toEqual(always)
  })

  it('has tags for all operations, and no others', () => {
    const used = [
      ...operations.map(({ operation }) => operation),
      ...Object.values(document.webhooks).map(({ post }) => post),
    ]
    const names = v.parse(v.array(v.looseObject({ name: v.string() })), document['tags']).map(({ name }) => name)
    expect(new Set(used.flatMap(({ tags }) => tags))).toEqual(new Set(names))
  })

  it('names every operation once', () => {
    const ids = operations.map(({ operation }) => operation.operationId)
    expect(new Set(ids).size).toBe(ids.length)
  })

  it('refers only to components that it has', () => {
    const references = [...text.matchAll(/"\$ref": "([^"]+)"/g)].map(([, reference = '']) => reference)
    expect(references.length).toBeGreaterThan(100)
    const missing = references.filter((reference) => {
      const [, name] = /^#\/components\/schemas\/(\w+)$/.exec(reference) ?? []
      return name === undefined || !Object.hasOwn(document.components.schemas, name)
    })
    expect(missing).toEqual([])
  })

  it('says which key each operation needs, and that errors are problem documents but for the envelopes of the Zipwhip and IDI APIs', () => {
    for (const { name, operation } of operations) {
      const keys = operation.security?.flatMap((requirement) => Object.keys(requirement))
      const expected = keysFor(name.slice(name.indexOf(' ') + 1))
      expect([name, keys]).toEqual([name, expected])
      for (const [status, response] of Object.entries(operation.responses)) {
        if (status < '400' || name === 'GET /readyz') continue
        const [type, schema] = errorOf(name)
        const content = { [`application/${type}`]: { schema: { $ref: `#/components/schemas/${schema}` } } }
        expect([name, status, response['content']]).toEqual([name, status, content])
      }
    }
  })

  it('forbids unknown fields in every request body', () => {
    for (const name of [
      'PlaceCall',
      'NewWebhook',
      'WebhookChange',
      'RotateSecret',
      'TestWebhook',
      'ReplayFilter',
      'NewNetwork',
      'NewApp',
      'NewApiKey',
      'PutSubscriber',
    ]) {
      expect([name, document.components.schemas[name]?.['additionalProperties']]).toEqual([name, false])
    }
  })

  it('requires of a call to place what the document requires', () => {
    expect(document.components.schemas['PlaceCall']?.['required']).toEqual([
      'subscriber_id',
      'subscriber_number',
      'remote_number',
    ])
  })
})

/** The paths of the documents that Callhalf did not write; their own tests list them. */
const PROVISIONING = /^\/(?:customers|products|countries|numbers|api|ProvisioningManagement)(?:\/|$)/

function errorOf(name: string): readonly [string, string] {
  if (name.includes(' /api/20140925/')) return ['json', 'ZipwhipError']
  if (name.includes(' /ProvisioningManagement/')) return ['json', 'IdiErrors']
  return ['problem+json', 'Problem']
}

function keysFor(path: string): readonly string[] {
  if (path.startsWith('/admin/')) return ['adminKey']
  if (path.startsWith('/apps/')) return ['apiKey', 'adminKey']
  if (path.startsWith('/api/')) return []
  return PROVISIONING.test(path) ? ['provisioningKey', 'adminKey'] : []
}
