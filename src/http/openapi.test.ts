import { readFile } from 'node:fs/promises'
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'

const OperationSchema = v.looseObject({
  operationId: v.string(),
  summary: v.string(),
  tags: v.array(v.string()),
  description: v.optional(v.string()),
  security: v.optional(v.array(v.record(v.string(), v.array(v.string())))),
  responses: v.record(v.string(), v.looseObject({ description: v.string() })),
})
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
    expect(Object.keys(document.webhooks)).toEqual(['callEvent', 'subscriberEvent'])
  })

  it('has exactly these paths', () => {
    expect(Object.keys(document.paths).toSorted()).toEqual([
      '/admin/apps',
      '/admin/apps/{app_id}',
      '/admin/apps/{app_id}/keys',
      '/admin/apps/{app_id}/keys/{key_id}',
      '/admin/apps/{app_id}/subscribers',
      '/admin/apps/{app_id}/subscribers/{subscriber_id}',
      '/admin/networks',
      '/admin/networks/{network_id}',
      '/admin/networks/{network_id}/channels',
      '/admin/networks/{network_id}/channels/restart',
      '/apps/{app_id}/calls',
      '/apps/{app_id}/calls/{call_id}',
      '/apps/{app_id}/calls/{call_id}/answer',
      '/apps/{app_id}/calls/{call_id}/hold',
      '/apps/{app_id}/calls/{call_id}/resume',
      '/apps/{app_id}/stream',
      '/apps/{app_id}/stream-tokens',
      '/apps/{app_id}/subscribers/{subscriber_id}/calls',
      '/apps/{app_id}/webhooks',
      '/apps/{app_id}/webhooks/{webhook_id}',
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
      'query token',
      'header Last-Event-ID',
    ])
  })

  it("says what a receiver's answer does", () => {
    for (const { post } of Object.values(document.webhooks)) {
      expect(Object.entries(post.responses).map(([status, { description }]) => [status, description])).toEqual([
        ['200', 'Received. Any other 2xx says the same.'],
        ['410', 'Gone: the webhook is disabled and what is pending for it is dropped.'],
        ['default', 'Not received: it is tried again for 72 hours, redirects included.'],
      ])
    }
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

  it('says which key each operation needs, and that errors are problem documents', () => {
    for (const { name, operation } of operations) {
      const keys = operation.security?.flatMap((requirement) => Object.keys(requirement))
      const expected = name.includes(' /admin/') ? ['adminKey'] : name.includes(' /apps/') ? ['apiKey', 'adminKey'] : []
      expect([name, keys]).toEqual([name, expected])
      for (const [status, response] of Object.entries(operation.responses)) {
        if (status < '400' || name === 'GET /readyz') continue
        expect([name, status, response['content']]).toEqual([
          name,
          status,
          { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
        ])
      }
    }
  })

  it('forbids unknown fields in every request body', () => {
    for (const name of [
      'PlaceCall',
      'NewWebhook',
      'WebhookChange',
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
