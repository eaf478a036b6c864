import * as v from 'valibot'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { STATUS_CODES } from '../../src/faces/zipwhip/codes.ts'
import { textField } from '../support/checked-request.ts'
import { STORES } from '../support/records.ts'
import { until } from '../support/until.ts'
import { ZIPWHIP_BASE, ZIPWHIP_CALLS, ZIPWHIP_FORMS } from '../support/zipwhip-calls.ts'
import { dateIn, ZipwhipScene } from '../support/zipwhip-scene.ts'

const DAY_MS = 86_400_000
const ID = expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/)
const DATE = expect.stringMatching(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\+00:00$/)
/** The date of the document's samples, which is past. */
const SAMPLE_DATE = '2014-05-08T17:35:16+00:00'

describe.each(STORES)('the Zipwhip API on %s', (store) => {
  let scene: ZipwhipScene
  beforeAll(async () => {
    scene = await ZipwhipScene.start({ store })
    const entries = [{ prefix: '+12065551', lineType: 'landline' }]
    await scene.rig.admin('POST', '/admin/provisioning/line-types', { source: 'tests', asOf: SAMPLE_DATE, entries })
  })
  afterAll(() => scene.stop())

  it('has the five primary calls and the secondary ones, each by GET and by POST, and nothing else', async () => {
    expect(ZIPWHIP_CALLS.filter(({ isPrimary }) => isPrimary)).toHaveLength(5)
    const { body } = await scene.rig.request('GET', '/openapi.json')
    const { paths } = v.parse(v.looseObject({ paths: v.record(v.string(), v.record(v.string(), v.unknown())) }), body)
    const described = Object.entries(paths).flatMap(([path, methods]) =>
      path.startsWith('/api/') ? Object.keys(methods).map((method) => `${method} ${path}`) : [],
    )
    const expected = ZIPWHIP_CALLS.flatMap(({ path }) => ['get', 'post'].map((way) => `${way} ${ZIPWHIP_BASE}/${path}`))
    expect(described.toSorted()).toEqual(expected.toSorted())
    expect(described).toHaveLength(20)
  })

  describe.each(ZIPWHIP_FORMS)('by %s', (form) => {
    it.each(ZIPWHIP_CALLS)('answers $path of a line in service', async ({ path, needsNumber }) => {
      const number = await scene.beginLine()
      const { status } = await scene.call(path, needsNumber ? { phone_number: number } : {}, { form })
      expect(status).toBe(200)
    })

    it('reproduces the samples', async () => {
      const number = '+12065551212'
      const eligible = await scene.call('provision/eligible', { phone_number: number }, { form })
      expect(eligible).toMatchObject({ status: 200 })
      expect(eligible.body).toEqual({ eligible: 'true', error: 'false', status_code: 100, transaction_id: ID })

      // With the space that the samples have before the number.
      const request = { phone_number: ` ${number}`, effective_date: SAMPLE_DATE, vendor_customer_id: 'Acme_0123456' }
      const added = await scene.call('provision/add', request, { form })
      expect(added.body).toEqual({
        transaction_id: ID,
        status_code: '100',
        status_desc: 'Successful Request',
        error: 'false',
        effective_date: '2014-05-08T17:35:16+00:00',
        password: expect.stringMatching(/^[\w-]{12}$/),
      })

      await scene.reach(number, 'provisioned')
      const status = await scene.call('provision/status', { phone_number: number }, { form })
      expect(status.body).toEqual({
        transaction_id: added.body['transaction_id'],
        status_code: '100',
        status_desc: 'Successful Request',
        error: 'false',
        account_status: 'provisioned',
        last_updated: DATE,
      })

      const again = await scene.call('provision/eligible', { phone_number: number }, { form })
      expect(again.body).toEqual({
        eligible: 'false',
        error: 'false',
        status_code: '113',
        status_desc: 'Ineligible - Number already provisioned by your Org',
        transaction_id: ID,
      })
      const others = await scene.call('provision/eligible', { phone_number: number }, { form, by: scene.other })
      expect(others.body).toEqual({
        eligible: 'false',
        error: 'false',
        status_code: '112',
        status_desc: 'Ineligible - Number already provisioned by another Org',
        transaction_id: ID,
      })
      const mobile = await scene.call('provision/eligible', { phone_number: scene.oddNumber('0188') }, { form })
      expect(mobile.body).toEqual({
        eligible: 'false',
        error: 'false',
        status_code: '111',
        status_desc: 'Ineligible - Mobile Number',
        transaction_id: ID,
      })

      const done = {
        transaction_id: ID,
        status_code: '100',
        status_desc: 'Successful Request',
        error: 'false',
        effective_date: '2014-05-08T17:35:16+00:00',
      }
      const updated = await scene.call('provision/update', { ...request, vendor_customer_id: 'Acme_2' }, { form })
      expect(updated.body).toEqual(done)
      await until('the change is made', async () => (await scene.vendorIdOf(number)) === 'Acme_2' || undefined)
      const reason = 'Customer cancelled service.'
      const ended = { phone_number: ` ${number}`, effective_date: SAMPLE_DATE, reason }
      expect((await scene.call('provision/delete', ended, { form })).body).toEqual(done)
      await until('it has ended', async () => {
        const code = await scene.codeOf('provision/eligible', { phone_number: number })
        return code === '100' || undefined
      })
    })
  })

  it('reads a plus sign that nobody escaped, a key as bearer, and ignores parameters that it does not know', async () => {
    const number = await scene.beginLine()
    const path = `${ZIPWHIP_BASE}/provision/status?phone_number=${number}&account_name=Acme&feature_package=zipwhip_api`
    const { body } = await scene.rig.request('GET', path, { key: scene.own.key })
    expect(body).toMatchObject({ status_code: '100', account_status: 'provisioned' })
  })

  it('answers the secondary calls as the published samples do', async () => {
    const number = await scene.beginLine()
    const textable = await scene.call('enum/textable', { phone_number: number })
    expect(textable.body).toEqual({
      error: 'false',
      provider: 'callhalf',
      status_code: '100',
      status_desc: 'Successful Request',
      textable: true,
      transaction_id: ID,
      type: 'landline',
    })
    const tollFree = await scene.call('enum/textable', { phone_number: '+18005550123' })
    expect(tollFree.body).toMatchObject({ provider: 'unknown', textable: false, type: 'tollfree' })
    const mobile = await scene.call('enum/mobile', { phone_number: scene.oddNumber('0188') })
    expect(mobile.body).toEqual({ transaction_id: ID, is_mobile: true })
    const [first, second] = await Promise.all([
      scene.call('account/get-sessionkey', { phone_number: number }),
      scene.call('account/get-sessionkey', { phone_number: number }),
    ])
    expect(first.body).toEqual({ success: true, response: expect.stringMatching(/^[\w-]{32}$/) })
    expect(second.body['response']).not.toBe(first.body['response'])
    const report = await scene.call('provision/stop', { phone_number: number })
    expect(report.body).toEqual({
      transaction_id: ID,
      status_code: '100',
      status_desc: 'Successful Request',
      error: 'false',
      numbers: [],
    })
  })

  it('tells numbers that cannot be provisioned apart', async () => {
    const codeOf = (number: string) => scene.codeOf('provision/eligible', { phone_number: number })
    expect(await codeOf('2065550123')).toBe('110')
    expect(await codeOf('+1206555')).toBe('110')
    expect(await codeOf(scene.oddNumber('0188'))).toBe('111')
    expect(await codeOf(scene.oddNumber('0189'))).toBe('112')
    expect(await codeOf(scene.oddNumber('0187'))).toBe('114')
    expect(await codeOf('+14255550123')).toBe('115')
    expect(await codeOf('+442079460000')).toBe('116')
    const refused = await scene.call('provision/add', { phone_number: scene.oddNumber('0188') })
    expect(refused).toMatchObject({ status: 200, body: { status_code: '111', error: 'true' } })
    expect(refused.body).not.toHaveProperty('password')
  })

  it('gives a number that two organizations add at once to one of them', async () => {
    for (let round = 0; round < 8; round += 1) {
      const number = scene.freshNumber()
      const codes = await Promise.all(
        [scene.own, scene.other].map((by) => scene.codeOf('provision/add', { phone_number: number }, { by })),
      )
      expect(codes.toSorted()).toEqual(['100', '112'])
      expect(await scene.countOrders(number)).toBe(1)
    }
  })

  it('places one order however often, and in whatever form, the same add is sent', async () => {
    const number = scene.freshNumber()
    const answers = await Promise.all(
      Array.from({ length: 6 }, (_, turn) =>
        scene.transactionOf(
          'provision/add',
          { phone_number: number, vendor_customer_id: 'Acme_1' },
          { form: ZIPWHIP_FORMS[turn % 3] ?? 'GET' },
        ),
      ),
    )
    await scene.reach(number, 'provisioned')
    answers.push(await scene.transactionOf('provision/add', { phone_number: number }))
    expect(new Set(answers).size).toBe(1)
    expect(await scene.countOrders(number)).toBe(1)
    const another = { phone_number: number, vendor_customer_id: 'Acme_2' }
    expect(await scene.codeOf('provision/add', another)).toBe('113')
  })

  it('sees what is ordered, ported or set aside for an order through the other API', async () => {
    const { own, other, rig } = scene
    const order = async (product: string, verb: string, body: object) => {
      const path = `/customers/${own.customerId}/orders/${product}/numbers/${verb}`
      const placed = await rig.request('POST', path, { key: own.key, body })
      return textField(placed, 'id')
    }
    const numbersOf = async (orderId: string) => {
      const { items } = v.parse(
        v.looseObject({ items: v.array(v.looseObject({ number: v.string() })) }),
        (await rig.request('GET', `/customers/${own.customerId}/orders/${orderId}`, { key: own.key })).body,
      )
      return items.map(({ number }) => number)
    }
    const filter = { areaCode: '215' }
    const ordered = await order('prd_us-local', 'any', { quantity: 1, filter })
    const later = await order('prd_us-local', 'any', { quantity: 1, filter, requestedDate: dateIn(DAY_MS) })
    const ported = await order('prd_us-local', 'port', {
      numbers: ['+12065551313'],
      losingCarrier: { name: 'Example Telecom' },
      authorizedBy: { name: 'Tommy Tutone' },
      address: { line1: '1 Example Street', city: 'Seattle', postalCode: '98101', country: 'US' },
    })
    for (const orderId of [ordered, later, ported]) {
      for (const number of await numbersOf(orderId)) {
        expect(await scene.codeOf('provision/eligible', { phone_number: number })).toBe('100')
        expect(await scene.codeOf('provision/eligible', { phone_number: number }, { by: other })).toBe('112')
        expect(await scene.codeOf('provision/add', { phone_number: number }, { by: other })).toBe('112')
        expect(await scene.codeOf('provision/status', { phone_number: number })).toBe('404')
      }
    }
    // The organization's own number can be text enabled.
    const [number = ''] = await numbersOf(ordered)
    await scene.beginLine(number)
    expect(await scene.codeOf('provision/eligible', { phone_number: number })).toBe('113')
  })

  it('begins a line at its effective date', async () => {
    const number = scene.freshNumber()
    const date = new Date(Date.now() + 1_500).toISOString()
    const added = await scene.call('provision/add', { phone_number: number, effective_date: date })
    expect(added.body).toMatchObject({ status_code: '100', effective_date: date })
    const pending = await scene.call('provision/status', { phone_number: number })
    expect(pending.body).toMatchObject({
      status_code: '101',
      error: 'false',
      account_status: 'Pending Activation',
      transaction_id: added.body['transaction_id'],
    })
    expect(Date.now()).toBeLessThan(Date.parse(date))
    await scene.reach(number, 'provisioned')
    expect(Date.now()).toBeGreaterThan(Date.parse(date))
  })

  it('cancels a line that has not begun, when it is deleted', async () => {
    const number = scene.freshNumber()
    const date = dateIn(30 * DAY_MS)
    const begun = await scene.transactionOf('provision/add', { phone_number: number, effective_date: date })
    expect(await scene.transactionOf('provision/add', { phone_number: number, effective_date: date })).toBe(begun)
    expect(await scene.codeOf('provision/add', { phone_number: number })).toBe('113')
    expect(await scene.codeOf('provision/update', { phone_number: number, vendor_customer_id: 'x' })).toBe('409')
    expect(await scene.codeOf('provision/eligible', { phone_number: number }, { by: scene.other })).toBe('112')
    const after = { phone_number: number, effective_date: dateIn(31 * DAY_MS) }
    expect(await scene.codeOf('provision/delete', after)).toBe('409')
    expect(await scene.transactionOf('provision/delete', { phone_number: number })).toBe(begun)
    expect(await scene.codeOf('provision/status', { phone_number: number })).toBe('404')
    expect(await scene.codeOf('provision/delete', { phone_number: number })).toBe('404')
    expect(await scene.codeOf('provision/eligible', { phone_number: number }, { by: scene.other })).toBe('100')
    expect(await scene.transactionOf('provision/add', { phone_number: number })).not.toBe(begun)
  })

  it('lets a later request take the place of one that is scheduled', async () => {
    const number = await scene.beginLine()
    const date = dateIn(DAY_MS)
    const renamed = { phone_number: number, vendor_customer_id: 'later', effective_date: date }
    const change = await scene.transactionOf('provision/update', renamed)
    expect(await scene.transactionOf('provision/update', renamed)).toBe(change)
    const ending = await scene.transactionOf('provision/delete', { phone_number: number, effective_date: date })
    expect(ending).not.toBe(change)
    expect(await scene.transactionOf('provision/delete', { phone_number: number, effective_date: date })).toBe(ending)
    expect(await scene.codeOf('provision/update', renamed)).toBe('409')
    const { body } = await scene.call('provision/status', { phone_number: number })
    expect(body['account_status']).toBe('provisioned')
    await scene.endLine(number)
    expect(await scene.countOrders(number)).toBe(4)
  })

  it('does not take a line away that is being set up, and answers a repetition of its end alike', async () => {
    const slow = scene.oddNumber('0198')
    await scene.transactionOf('provision/add', { phone_number: slow })
    const { body } = await scene.call('provision/status', { phone_number: slow })
    expect(body).toMatchObject({ status_code: '101', account_status: 'Pending Activation' })
    expect(await scene.codeOf('provision/delete', { phone_number: slow })).toBe('409')

    const number = await scene.beginLine()
    const ends = await Promise.all([1, 2, 3].map(() => scene.call('provision/delete', { phone_number: number })))
    const done = ends.filter((end) => end.body['status_code'] === '100')
    expect(new Set(done.map((end) => end.body['transaction_id'])).size).toBe(1)
    expect(await scene.countOrders(number)).toBe(2)
  })

  it('says Unknown when the carrier refuses, and tries again with the next add', async () => {
    const number = scene.oddNumber('0196')
    const first = await scene.transactionOf('provision/add', { phone_number: number })
    await scene.reach(number, 'Unknown')
    expect(await scene.codeOf('provision/update', { phone_number: number, vendor_customer_id: 'x' })).toBe('404')
    expect(await scene.codeOf('provision/delete', { phone_number: number })).toBe('404')
    expect(await scene.codeOf('account/get-sessionkey', { phone_number: number })).toBe('404')
    expect(await scene.transactionOf('provision/add', { phone_number: number })).not.toBe(first)
  })

  it('shows the lines of an organization to no other one', async () => {
    const number = await scene.beginLine()
    const { other: by } = scene
    for (const path of [
      'provision/status',
      'provision/update',
      'provision/delete',
      'account/get-sessionkey',
    ] as const) {
      const { status, body } = await scene.call(path, { phone_number: number }, { by })
      expect([path, status, body['status_code']]).toEqual([path, 404, '404'])
    }
    await scene.reach(number, 'provisioned')
  })

  it('has a code for everything that goes wrong', async () => {
    const { own, rig } = scene
    const wide = { ...own, key: await rig.issueKey(own.appId) }
    const number = await scene.beginLine()
    expect(await scene.codeOf('provision/status', { phone_number: 'x' })).toBe('400')
    expect(await scene.codeOf('provision/status', { phone_number: number, api_key: 'x' })).toBe('401')
    expect(await scene.codeOf('provision/status', { phone_number: number }, { by: wide })).toBe('403')
    const dated = { phone_number: scene.freshNumber(), effective_date: 'tomorrow' }
    expect(await scene.codeOf('provision/add', dated)).toBe('422')
    const put = await rig.request('PUT', `${ZIPWHIP_BASE}/provision/status`)
    expect(put).toMatchObject({ status: 405, body: { status_code: '405', error: 'true' } })
    expect(put.headers.get('allow')).toBe('GET, POST')
    scene.codes.add('405')
    for (const path of ['', '/', '/provision', '/provision/nothing', '/Provision/eligible', '/provision/add/7']) {
      const missing = await rig.request('GET', `/api/20140925${path}`)
      expect(missing).toMatchObject({ status: 404, body: { status_code: '406', error: 'true' } })
      expect(missing.headers.get('cache-control')).toBe('no-store')
    }
    expect(await rig.request('GET', '/api/20140926/provision/add')).toMatchObject({ body: { code: 'route_not_found' } })
    scene.codes.add('406')
    await rig.database.query((db) =>
      db
        .insertInto('line_credentials')
        .values(
          Array.from({ length: 1_000 }, (_, turn) => ({
            hash: `${number} ${turn}`,
            customer_id: own.customerId,
            e164: number,
            kind: 'session_key' as const,
          })),
        )
        .execute(),
    )
    expect(await scene.codeOf('account/get-sessionkey', { phone_number: number })).toBe('429')
    await setMessagingActive(scene, false)
    expect(await scene.codeOf('provision/eligible', { phone_number: number })).toBe('503')
    await setMessagingActive(scene, true)
    await renameTable(scene, 'messaging_opt_outs', 'mislaid')
    expect(await scene.codeOf('provision/stop', {})).toBe('500')
    await renameTable(scene, 'mislaid', 'messaging_opt_outs')
    await rig.admin('PUT', `/admin/customers/${own.customerId}/status`, { status: 'suspended' })
    expect(await scene.codeOf('provision/add', { phone_number: scene.freshNumber() })).toBe('403')
    await rig.admin('PUT', `/admin/customers/${own.customerId}/status`, { status: 'active' })
  })

  it('has given every code of its table', () => {
    const table = Object.values(STATUS_CODES).map(({ code }): string => code)
    expect([...scene.codes].toSorted()).toEqual(table.toSorted())
  })
})

const setMessagingActive = (scene: ZipwhipScene, isActive: boolean) =>
  scene.rig.database.query((db) =>
    db.updateTable('products').set({ is_active: isActive }).where('kind', '=', 'messaging').execute(),
  )

const renameTable = (scene: ZipwhipScene, from: string, to: string) =>
  scene.rig.database.query((db) => db.schema.alterTable(from).renameTo(to).execute())
