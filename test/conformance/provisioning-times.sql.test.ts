import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { textField } from '../support/checked-request.ts'
import { STORES } from '../support/records.ts'
import { CUSTOMER, LOCAL, PORTED, SITE, ZilkrRig } from '../support/zilkr-rig.ts'

/** Well-formed, and of no day, or of a year that a database does not know in this form. */
const IMPOSSIBLE = [
  '2027-02-30T12:00:00Z',
  '2027-13-01T12:00:00Z',
  '2027-01-01T25:00:00Z',
  '2027-01-01T24:00:00Z',
  '2027-01-01T12:00:00+16:00',
  '0000-06-01T00:00:00Z',
  '0001-01-01T00:00:00+01:00',
  '9999-12-31T23:59:59-01:00',
]
const REMOTE = ['0001-01-01T00:00:00Z', '0099-02-28T00:00:00Z', '9999-12-31T23:59:59Z']

describe.each(STORES)('times in provisioning requests, on %s', (store) => {
  let rig: ZilkrRig
  let key: string
  let customer: string
  beforeAll(async () => {
    rig = await ZilkrRig.start(store)
    ;({ key } = await rig.addApp())
    customer = `/customers/${await rig.make(key, '/customers', CUSTOMER)}`
    for (const name of ['North', 'South']) await rig.make(key, `${customer}/productLocations`, { ...SITE, name })
  })
  afterAll(() => rig.stop())

  const statusOf = async (method: string, path: string, body?: unknown) =>
    (await rig.as(key)(method, path, body)).status

  test.each(IMPOSSIBLE)('%s is refused wherever a time is taken', async (time) => {
    const orders = `${customer}/orders/${LOCAL}/numbers`
    const port = { ...PORTED, numbers: ['+16465550142'] }
    const past = encodeURIComponent(time)
    expect(await statusOf('POST', `${orders}/any`, { quantity: 1, requestedDate: time })).toBe(400)
    expect(await statusOf('POST', `${orders}/port`, { ...port, requestedFocDate: time })).toBe(400)
    const signed = { ...port, authorizedBy: { name: 'Ada Jones', signedAt: time } }
    expect(await statusOf('POST', `${orders}/port`, signed)).toBe(400)
    expect(await statusOf('GET', `${customer}/productLocations?createdAt=${past}`)).toBe(400)
    const entries = [{ prefix: '+1999', lineType: 'mobile' }]
    const imported = await rig.api.admin('POST', '/admin/provisioning/line-types', { source: 'x', asOf: time, entries })
    expect(imported.status).toBe(400)
  })

  test.each(REMOTE)('%s is a time like any other', async (time) => {
    const order = { quantity: 1, requestedDate: time }
    expect(await statusOf('POST', `${customer}/orders/${LOCAL}/numbers/any`, order)).toBe(422)
    expect(await statusOf('GET', `${customer}/productLocations?createdAt=${encodeURIComponent(time)}`)).toBe(200)
  })

  test.each(['0000-06-01 00:00:00+00', '2027-02-30 00:00:00+00', '0001-01-01 00:00:00+23:59'])(
    'a cursor that names %s is refused',
    async (time) => {
      const cursor = Buffer.from(JSON.stringify(['createdAt,id', time, 'loc_1'])).toString('base64url')
      const list = `${customer}/productLocations?sort=createdAt&cursor=${cursor}`
      expect(await statusOf('GET', list)).toBe(400)
    },
  )

  test('a cursor of a page by time goes on after it', async () => {
    const list = `${customer}/productLocations?sort=createdAt&limit=1`
    const first = await rig.as(key)('GET', list)
    const next = /^<([^>]+)>/.exec(first.headers.get('link') ?? '')?.[1] ?? ''
    const second = await rig.as(key)('GET', next)
    expect(second.status).toBe(200)
    expect(JSON.stringify(second.body)).not.toContain(JSON.stringify(first.body).slice(1, 40))
  })

  test('a line that begins or ends in the year 1 does so at once, and there is no year 0', async () => {
    const customerId = customer.split('/')[2] ?? ''
    const own = await rig.issueKey(await appIdOf(customerId), [customerId])
    const add = (date: string) =>
      rig.api.request(
        'GET',
        `/api/20140925/provision/add?api_key=${own}&phone_number=%2B12065550101&effective_date=${encodeURIComponent(date)}`,
      )
    for (const date of IMPOSSIBLE) expect([date, (await add(date)).status]).toEqual([date, 422])
    expect((await add('0001-01-01T00:00:00Z')).body).toMatchObject({ status_code: '100' })
    const stop = `/api/20140925/provision/stop?api_key=${own}&from=${encodeURIComponent('0000-06-01T00:00:00Z')}`
    expect((await rig.api.request('GET', stop)).status).toBe(400)
  })

  const appIdOf = async (customerId: string) =>
    textField(await rig.api.admin('GET', `/customers/${customerId}`), 'appId')
})
