import * as v from 'valibot'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ApiClient } from '../../src/cli/api-client.ts'
import { BatchEventPayloadSchema, RequestEventPayloadSchema } from '../../src/core/provisioning-request-event.ts'
import type { Gateway } from '../../src/gateway.ts'
import { makeGatewayPlace, type GatewayPlace } from '../support/gateway-place.ts'
import { startGateway } from '../support/installation.ts'
import { STORES } from '../support/records.ts'
import { until } from '../support/until.ts'
import { WebhookReceiver } from '../support/webhook-receiver.ts'

const ENVIRONMENT = 'Story'
const ACCOUNT = 23_330_999
const LOCAL = 'prd_us-local'
const TEXT = 'prd_text-enablement'
const CALLBACK = { callbackId: 1, relativePath: 'lines/ended', service: 'Billing', serviceVersion: '2' }

type Fields = Readonly<Record<string, unknown>>
const Row = v.record(v.string(), v.unknown())
const Page = v.looseObject({ value: v.array(Row) })

describe.each(STORES)('a line that is ordered by the IDI API alone, on %s', (store) => {
  let place: GatewayPlace
  let gateway: Gateway
  let receiver: WebhookReceiver
  let admin: ApiClient
  let api: ApiClient
  let customerId: string

  beforeAll(async () => {
    place = await makeGatewayPlace(store)
    gateway = await startGateway(place.dataDir, {
      ...place.env,
      CALLHALF_SANDBOX_DELAY_MS: '20',
      CALLHALF_SANDBOX_CATALOGUE: 'on',
    })
    receiver = await new WebhookReceiver().start()
    admin = new ApiClient({ baseUrl: gateway.url, key: gateway.adminKey })
    const app = await asked(admin, 'POST', '/admin/apps', { name: 'billing' })
    const appId = String(app['app_id'])
    const calls = new ApiClient({ baseUrl: gateway.url, key: String(app['api_key']) })
    const webhook = { url: receiver.url, event_types: ['provisioning_request.*', 'provisioning_batch.*'] }
    await calls.call('POST', `/apps/${appId}/webhooks`, webhook)
    const customer = { name: 'Acme', country: 'US', currency: 'USD', appId }
    customerId = String((await asked(admin, 'POST', '/customers', customer))['id'])
    const key = await asked(admin, 'POST', `/admin/apps/${appId}/provisioning-keys`, {})
    api = new ApiClient({ baseUrl: gateway.url, key: String(key['provisioning_key']) })
    const path = `/admin/provisioning/environments/${ENVIRONMENT}`
    await admin.call('PUT', path, { appId })
    await admin.call('PUT', `${path}/accounts/${ACCOUNT}`, { customerId })
    const linkType = {
      name: 'Line orders',
      provisioningRequestCallback: CALLBACK,
      provisioningRequestBatchCallback: { ...CALLBACK, callbackId: 2 },
    }
    await admin.call('PUT', `${path}/link-types/7`, linkType)
  })
  afterAll(async () => {
    await gateway.stop()
    await receiver.stop()
    await place[Symbol.asyncDispose]()
  })

  const post = async (path: string, body?: unknown) => (await api.call('POST', at(path), body)).body
  const make = async (path: string, body: unknown) => v.parse(Row, await post(path, body))
  const list = async (path: string) => v.parse(Page, (await api.call('GET', at(path))).body).value
  const read = (id: unknown) => asked(api, 'GET', at(`provisioningRequest/${String(id)}`))
  const reach = (id: unknown, status: string) =>
    until(`request ${String(id)} to be ${status}`, async () => {
      const request = await read(id)
      return request['status'] === status ? request : undefined
    })
  const script = (...faults: readonly Fields[]) => admin.call('PUT', '/admin/provisioning/sandbox/faults', { faults })
  const ended = () =>
    receiver.received.map(({ body }) =>
      v.parse(v.union([RequestEventPayloadSchema, BatchEventPayloadSchema]), JSON.parse(body)),
    )

  test('it is held, allowed, fails, is resubmitted and regenerated, and its batch is closed', async () => {
    const definition = await make('provisionableObjectDefinition', {
      code: 'LINE',
      name: 'A line with text',
      dataDefinitions: [
        { name: 'TN', dataTypeID: 7, isRequired: true, isVisible: true },
        { name: 'Label', dataTypeID: 3, isRequired: true, isVisible: true, defaultValue: "#[concat('Line ', @[TN])]" },
      ],
    })
    const [begin] = await list(`provider/${await providerId()}/action?$filter=name eq 'BeginService'`)
    const [enable] = await list(`provider/${await providerId()}/action?$filter=name eq 'EnableService'`)
    const number = { name: 'Number', scope: 'Request', value: 'TN' }
    const profile = await make('profile', {
      name: 'Lines',
      scenarios: [
        { providerActionID: begin?.['providerActionID'], parameters: [{ name: 'Product', value: LOCAL }, number] },
        {
          providerActionID: enable?.['providerActionID'],
          parameters: [
            { name: 'Product', scope: 'Literal', value: TEXT },
            number,
            { name: 'ExternalID', scope: 'Literal', value: '@[provisionedObjectInternalID]' },
          ],
        },
      ],
    })
    const { profileID } = profile
    await post(`profile/${String(profileID)}/provisionableObjectDefinition`, [
      { provisionableObjectDefinitionID: definition['provisionableObjectDefinitionID'] },
    ])
    const requestOf = (internalId: string, tn: string, more: object = {}) => ({
      accountInformation: { accountNumber: ACCOUNT },
      extendedInformationItems: [{ keyName: 'TN', value: tn }],
      profileID,
      provisionedObjectCode: 'LINE',
      provisionedObjectInternalID: internalId,
      provisionedObjectTransitionID: 1,
      provisioningRequestLinks: [{ linkTypeID: 7, linkValue: `lines/${internalId}` }],
      ...more,
    })

    // The safeguard of a new environment is on: nothing is sent, and it is written down what would have been.
    const first = await make(
      'provisioningRequest',
      requestOf('SITE-1', '+12065550142', { provisioningRequestBatchTotalObjectCount: 2 }),
    )
    const firstId = first['provisioningRequestID']
    const batchId = first['provisioningRequestBatchID']
    expect(first).toMatchObject({ status: 'Submitted', accountInformation: { accountNumber: ACCOUNT, name: 'Acme' } })
    await reach(firstId, 'Held')
    expect(await details(firstId)).toEqual([
      ['BeginService', false, expect.stringContaining('"Number":"+12065550142"')],
      ['EnableService', false, expect.stringContaining('"ExternalID":"SITE-1"')],
    ])
    expect((await api.call('GET', `/customers/${customerId}/orders`)).body).toEqual([])

    // Allowed, its second step is refused by the carrier; resubmitted, it goes on with it.
    await script({ fault: 'refuse', productId: TEXT, requests: 1 })
    await post('safeguard/allowedInternalID', [{ allowedInternalID: 'SITE-1' }, { allowedInternalID: 'SITE-2' }])
    expect(await reach(firstId, 'In Error')).toMatchObject({
      statusNote: expect.stringMatching(/^Step 2, Enable_Service: /),
    })
    await post(`provisioningRequest/${String(firstId)}/resubmit`)
    expect(await reach(firstId, 'Complete')).toMatchObject({ reprocessing: false })

    // Another one fails in the same way and is regenerated: what its source had done is not done again.
    await script({ fault: 'refuse', productId: TEXT, requests: 1 })
    const second = await make(
      'provisioningRequest',
      requestOf('SITE-2', '+12065550143', { provisioningRequestBatchID: batchId }),
    )
    const secondId = second['provisioningRequestID']
    await reach(secondId, 'In Error')
    expect(await post(`provisioningRequestBatch/${String(batchId)}/complete`)).toEqual({ isOpen: true, wasOpen: true })
    const third = await make(
      'provisioningRequest',
      requestOf('SITE-2', '+12065550143', { regeneratedFromProvisioningRequestID: secondId }),
    )
    const thirdId = third['provisioningRequestID']
    expect(third).toMatchObject({ regenerationCount: 1, provisioningRequestBatchID: batchId })
    await reach(thirdId, 'Complete')
    expect(await read(secondId)).toMatchObject({ status: 'Cancelled', wasRegenerated: true })
    expect((await details(thirdId))[0]).toEqual([
      'BeginService',
      false,
      expect.stringContaining('already has a service'),
    ])
    expect(await post(`provisioningRequestBatch/${String(batchId)}/complete`)).toEqual({
      isOpen: false,
      wasOpen: false,
    })

    // What went to the carrier and came back is with the request, and so is what its items came to.
    expect(await details(thirdId)).toEqual(
      expect.arrayContaining([
        ['EnableService', false, expect.any(String)],
        ['EnableService', true, expect.any(String)],
      ]),
    )
    const items = `provisioningRequest/${String(thirdId)}/computedExtendedInformationItem`
    await post(`${items}/snapshot`)
    expect(await list(`${items}/snapshot?$select=keyName,value`)).toEqual([
      { keyName: 'TN', value: '+12065550143' },
      { keyName: 'Label', value: 'Line +12065550143' },
    ])

    // The objects are known, and the other API has the same lines.
    const known = v.parse(
      Page,
      await post('provisionedObject/extendedInformationItem', [{ code: 'LINE', internalID: 'SITE-1' }]),
    )
    expect(known.value).toContainEqual({
      code: 'LINE',
      internalID: 'SITE-1',
      keyName: 'Label',
      value: 'Line +12065550142',
    })
    const { body: services } = await api.call('GET', `/customers/${customerId}/products`)
    const lines = v
      .parse(v.array(Row), services)
      .map(
        (service) => `${String(service['number'])} ${String(service['catalogProductId'])} ${String(service['state'])}`,
      )
    expect(new Set(lines)).toEqual(
      new Set(['+12065550142', '+12065550143'].flatMap((tn) => [`${tn} ${LOCAL} active`, `${tn} ${TEXT} active`])),
    )
    expect(lines).toHaveLength(4)

    // Whoever the link type names is told of each end, and of the batch once for each link.
    const told = await until('all ends to be told', () => (ended().length >= 7 ? ended() : undefined))
    const ends = told.flatMap((event) =>
      event.event === 'provisioning_request.ended' ? [[event.provisioning_request_id, event.status]] : [],
    )
    expect(ends.filter(([id]) => id === firstId)).toEqual([
      [firstId, 'In Error'],
      [firstId, 'Complete'],
    ])
    expect(ends.filter(([id]) => id === secondId)).toEqual([
      [secondId, 'In Error'],
      [secondId, 'Cancelled'],
    ])
    expect(ends.filter(([id]) => id === thirdId)).toEqual([[thirdId, 'Complete']])
    const batches = told.filter(({ event }) => event === 'provisioning_batch.ended')
    expect(batches.map(({ link }) => link.link_value)).toEqual(['lines/SITE-1', 'lines/SITE-2'])
    expect(batches[0]).toMatchObject({
      environment: ENVIRONMENT,
      provisioning_request_batch_id: batchId,
      callback: { callback_id: 2, service: 'Billing', service_version: '2', relative_path: 'lines/ended' },
    })
  })

  const providerId = async () =>
    String((await list("provider?$filter=contains(tolower(name), 'sandbox')"))[0]?.['providerID'])

  /** Action, direction and content of each call detail, in order. */
  const details = async (requestId: unknown) => {
    const path = `provisioningRequest/${String(requestId)}/providerCallDetail`
    const rows = await list(`${path}?$orderby=providerCallDetailID`)
    return Promise.all(
      rows.map(async (row) => {
        const detail = await asked(api, 'GET', at(`${path}/${String(row['providerCallDetailID'])}`))
        return [detail['providerAction'], detail['isResponse'], detail['content']]
      }),
    )
  }
})

const asked = async (client: ApiClient, method: 'GET' | 'POST', path: string, body?: unknown): Promise<Fields> =>
  v.parse(Row, (await client.call(method, path, body)).body)
const at = (path: string) => `/ProvisioningManagement/2X/${ENVIRONMENT}/api/${path}`
