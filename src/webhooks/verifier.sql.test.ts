import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import * as v from 'valibot'
import { startTestRecords } from '../../test/support/records.ts'
import type { TestRecords } from '../../test/support/records.ts'
import { createDeliverer } from '../../test/support/webhook-engine.ts'
import { WebhookReceiver } from '../../test/support/webhook-receiver.ts'
import { systemClock } from '../core/clock.ts'
import type { Endpoint, EndpointChange } from '../core/endpoint.ts'
import { ENDPOINT_DEFAULTS } from '../core/endpoint.ts'
import { ShardSchema } from '../core/ids.ts'
import { silentLogger } from '../core/logger.ts'
import { Apps } from '../records/apps.ts'
import { RecordsDirectory } from '../records/directory.ts'
import { Endpoints } from '../records/endpoints.ts'
import { CredentialCache } from './credential-cache.ts'
import type { Deliverer } from './deliverer.ts'
import { generateSecret } from './signature.ts'
import { Verifier } from './verifier.ts'

const Challenge = v.pipe(v.string(), v.parseJson(), v.object({ data: v.object({ challenge: v.string() }) }))

let stored: TestRecords
let directory: RecordsDirectory
let apps: Apps
let endpoints: Endpoints
let deliverer: Deliverer
const receiver = new WebhookReceiver()

beforeAll(async () => {
  stored = await startTestRecords('pglite')
  directory = new RecordsDirectory({ records: stored.records, clock: stored.clock, log: silentLogger })
  await directory.start()
  apps = new Apps(stored.records, directory)
  endpoints = new Endpoints(stored.records, directory)
  deliverer = createDeliverer()
  deliverer.start()
})
afterAll(async () => {
  await deliverer.stop()
  await directory.stop()
  await stored.stop()
})
beforeEach(() => receiver.start())
afterEach(() => receiver.stop())

/** An unverified endpoint, whose challenge is answered once `meanwhile` is over. */
async function verifyAfter(
  registered: { readonly failoverUrl?: string },
  meanwhile: (endpoint: Endpoint) => Promise<unknown>,
) {
  const { app } = await apps.create({ name: 'crm', shard: v.parse(ShardSchema, 'main') })
  const endpoint = await endpoints.create({
    ...ENDPOINT_DEFAULTS,
    ...registered,
    appId: app.appId,
    url: receiver.url,
    enabled: true,
    verified: false,
    secret: generateSecret(),
  })
  receiver.answer((res, { body }) => {
    void meanwhile(endpoint).finally(() => res.writeHead(200).end(v.parse(Challenge, body).data.challenge))
  })
  const verifier = new Verifier({
    deliverer,
    credentials: new CredentialCache(endpoints, systemClock),
    endpoints,
    clock: systemClock,
  })
  const { verified } = await verifier.verify(endpoint)
  const found = await endpoints.find(app.appId, endpoint.endpointId)
  const listed = directory.endpointsOf(app.appId).find(({ endpointId }) => endpointId === endpoint.endpointId)
  return { verified, recorded: found?.verified, isSentTo: listed?.enabled }
}

test('a proven endpoint is verified in the records and gets events', async () => {
  const proven = { verified: true, recorded: true, isSentTo: true }
  expect(await verifyAfter({}, () => Promise.resolve())).toEqual(proven)
  expect(await verifyAfter({ failoverUrl: `${receiver.url}/second` }, () => Promise.resolve())).toEqual(proven)
})

test.each<[string, { readonly failoverUrl?: string }, EndpointChange]>([
  ['another URL', {}, { url: 'https://victim.example.net/' }],
  ['a new failover URL', {}, { failoverUrl: 'https://victim.example.net/' }],
])('an endpoint that got %s while it proved itself stays unverified', async (_what, registered, change) => {
  const apply = ({ appId, endpointId }: Endpoint) => endpoints.update(appId, endpointId, change)
  expect(await verifyAfter(registered, apply)).toEqual({ verified: false, recorded: false, isSentTo: false })
})
