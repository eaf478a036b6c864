import { sql } from 'kysely'
import * as v from 'valibot'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { dumpProvisioning } from '../support/provisioning-dump.ts'
import { STORES } from '../support/records.ts'
import { serveApp } from '../support/serve-app.ts'
import { ZIPWHIP_BASE, ZIPWHIP_CALLS, type ZipwhipPath } from '../support/zipwhip-calls.ts'
import { dateIn, ZipwhipScene } from '../support/zipwhip-scene.ts'

const DAY_MS = 86_400_000
const CONTENTS = [
  'orders',
  'order_items',
  'fulfilments',
  'services',
  'line_credentials',
  'audit',
  'provisioning_outbox',
]
const Document = v.looseObject({ paths: v.record(v.string(), v.record(v.string(), v.unknown())) })
/** As the OpenAPI document describes the parameters of a call. */
const Operation = v.looseObject({
  parameters: v.array(
    v.looseObject({
      name: v.string(),
      required: v.boolean(),
      schema: v.looseObject({ maxLength: v.optional(v.number()) }),
    }),
  ),
})

describe.each(STORES)('bad input to the Zipwhip API on %s', (store) => {
  let scene: ZipwhipScene
  /** In service, so that nothing but the input is wrong. */
  let line: string
  let before: Readonly<Record<string, string>>
  beforeAll(async () => {
    scene = await ZipwhipScene.start({ store })
    line = await scene.beginLine()
  })
  afterAll(() => scene.stop())
  beforeEach(async () => {
    before = await contents()
  })
  afterEach(async () => {
    const after = await contents()
    const changed = CONTENTS.filter((table) => after[table] !== before[table])
    if (changed.length > 0) throw new Error(`something has changed: ${changed.join(', ')}`)
  })

  const contents = () => dumpProvisioning(scene.rig.database, CONTENTS)
  const parametersOf = async (path: ZipwhipPath) => {
    const { body } = await scene.rig.request('GET', '/openapi.json')
    const { paths } = v.parse(Document, body)
    return v.parse(Operation, paths[`${ZIPWHIP_BASE}/${path}`]?.['get']).parameters
  }

  describe.each(ZIPWHIP_CALLS)('$path', ({ path, needsNumber }) => {
    const good = () => (needsNumber ? { phone_number: line } : {})

    it('names a parameter that is missing, too long, or no text', async () => {
      const parameters = await parametersOf(path)
      expect(parameters.map(({ name }) => name)).toContain('phone_number')
      for (const { name, required, schema } of parameters.filter((parameter) => parameter.name !== 'api_key')) {
        const wrong: string[] = ['nul \0']
        if (schema.maxLength !== undefined) wrong.push('1'.repeat(schema.maxLength + 1))
        const calls: Record<string, string>[] = wrong.map((value) => ({ ...good(), [name]: value }))
        if (required) calls.push({})
        for (const parametersGiven of calls) {
          const { status, body } = await scene.call(path, parametersGiven)
          const expected = name === 'effective_date' ? [422, '422'] : [400, '400']
          expect([name, status, body['status_code']]).toEqual([name, ...expected])
          expect(body['status_desc']).toContain(`${name}: `)
        }
      }
    })

    it('takes no number that is none', async () => {
      for (const number of [
        '',
        '+',
        '+0123456789',
        '+1234567890123456',
        '12065550',
        '(206) 555-0100',
        '++12065550100',
      ]) {
        const { status, body } = await scene.call(path, { phone_number: number })
        const expected = path === 'provision/eligible' ? [200, '110'] : [400, '400']
        expect([number, status, body['status_code']]).toEqual([number, ...expected])
      }
    })

    it('wants a key that is somebody’s', async () => {
      for (const key of ['', 'x', 'a'.repeat(24), 'a'.repeat(600)]) {
        const { status, body, headers } = await scene.call(path, { ...good(), api_key: key })
        expect([status, body['status_code']]).toEqual([401, '401'])
        expect(headers.get('www-authenticate')).toBe('Bearer realm="callhalf"')
      }
      const none = await scene.rig.request('GET', `${ZIPWHIP_BASE}/${path}?phone_number=%2B12065550100`)
      expect(none).toMatchObject({ status: 401, body: { status_code: '401', error: 'true' } })
    })

    it('does nothing for HEAD, for a prefetch, or for a form that is none', async () => {
      const target = `${ZIPWHIP_BASE}/${path}?${new URLSearchParams({ api_key: scene.own.key, ...good() }).toString()}`
      const head = await scene.rig.fetch(new Request(`http://gateway.example.net${target}`, { method: 'HEAD' }))
      expect([head.status, head.headers.get('allow'), await head.text()]).toEqual([405, 'GET, POST', ''])
      for (const purpose of ['prefetch', 'prefetch;prerender', 'preview']) {
        const { status } = await scene.call(path, good(), { headers: { 'sec-purpose': purpose } })
        expect(status).toBe(403)
      }
      const headers = { 'content-type': 'application/json' }
      const json = await scene.call(path, good(), { form: 'POST', headers })
      expect([json.status, json.body['status_code']]).toEqual([400, '400'])
      const large = await scene.call(path, { ...good(), other: 'x'.repeat(70_000) }, { form: 'POST' })
      expect([large.status, large.headers.get('connection')]).toEqual([400, 'close'])
    })
  })

  it.each([
    'tomorrow',
    '2026-02-30T00:00:00Z',
    '2026-13-01T00:00:00Z',
    '2026-01-01T24:00:00Z',
    '2026-01-01',
    '2026-01-01T00:00:00',
    '2026-01-01T00:00:00+99:00',
    '',
  ])('does not take %j for an effective date', async (date) => {
    for (const path of ['provision/add', 'provision/update', 'provision/delete'] as const) {
      const { status, body } = await scene.call(path, { phone_number: line, effective_date: date })
      expect([path, status, body['status_code']]).toEqual([path, 422, '422'])
      expect(body['status_desc']).toContain('effective_date: ')
    }
  })

  it('does not schedule anything more than a year ahead', async () => {
    for (const path of ['provision/add', 'provision/update', 'provision/delete'] as const) {
      const late = { phone_number: line, effective_date: dateIn(366 * DAY_MS) }
      expect((await scene.call(path, late)).body['status_code']).toBe('422')
    }
  })

  it('refuses lines of others, and keys that are of no customer or of several', async () => {
    const { own, other, rig } = scene
    const second = await rig.addCustomer(own.appId)
    before = await contents()
    const keys = [await rig.issueKey(own.appId), await rig.issueKey(own.appId, [own.customerId, second])]
    before = await contents()
    for (const { path, needsNumber } of ZIPWHIP_CALLS) {
      const parameters = needsNumber ? { phone_number: line } : {}
      for (const key of keys) {
        expect(await scene.codeOf(path, parameters, { by: { ...own, key } })).toBe('403')
      }
    }
    for (const path of ['provision/update', 'provision/delete', 'provision/status'] as const) {
      expect(await scene.codeOf(path, { phone_number: line, vendor_customer_id: 'x' }, { by: other })).toBe('404')
    }
    expect(await scene.codeOf('provision/add', { phone_number: line }, { by: other })).toBe('112')
  })
})

describe.each(STORES)('secrets of the Zipwhip API on %s', (store) => {
  let scene: ZipwhipScene
  beforeAll(async () => {
    scene = await ZipwhipScene.start({ store })
  })
  afterAll(() => scene.stop())

  it('are in no log line, measurement, description or row', async () => {
    const { own, rig } = scene
    const number = scene.freshNumber()
    const { body } = await scene.call('provision/add', { phone_number: number })
    await scene.reach(number, 'provisioned')
    const session = await scene.call('account/get-sessionkey', { phone_number: number })
    for (const { path } of ZIPWHIP_CALLS) {
      for (const parameters of [
        { phone_number: number },
        { phone_number: 'x' },
        { phone_number: number, api_key: '' },
      ]) {
        await scene.call(path, parameters)
        await scene.call(path, parameters, { form: 'POST' })
      }
    }
    // What fails for a mistake of ours is logged with its error.
    await rig.database.query((db) => db.schema.alterTable('messaging_opt_outs').renameTo('mislaid').execute())
    expect(await scene.codeOf('provision/stop', {})).toBe('500')
    await rig.database.query((db) => db.schema.alterTable('mislaid').renameTo('messaging_opt_outs').execute())
    // And what a client sends to the wrong place.
    const server = await serveApp(rig.fetch)
    await fetch(`${server.url}${ZIPWHIP_BASE}/provision/nothing?api_key=${own.key}`)
    await fetch(`${server.url}${ZIPWHIP_BASE}/provision/stop?api_key=${own.key}`, { method: 'DELETE' })
    server.stop()

    const metrics = await rig.registry.metrics()
    const description = JSON.stringify((await rig.request('GET', '/openapi.json')).body)
    const rows = await everyRow(scene)
    expect(rig.logLines.some((logged) => logged.includes('zipwhip call failed'))).toBe(true)
    expect(rows).toContain(number)
    expect(metrics).toContain('/api/20140925/provision/add')
    for (const secret of [own.key, body['password'], session.body['response']]) {
      const text = v.parse(v.pipe(v.string(), v.minLength(10)), secret)
      for (const shown of [...rig.logLines, metrics, description, rows]) expect(shown).not.toContain(text)
    }
  })

  it('are good while the line is in service', async () => {
    const { own, other, rig } = scene
    const verify = async (secret: unknown) =>
      (await rig.admin('POST', '/admin/provisioning/line-credentials/verify', { secret })).body
    const number = scene.freshNumber()
    const date = new Date(Date.now() + 700).toISOString()
    const { body } = await scene.call('provision/add', { phone_number: number, effective_date: date })
    expect(await verify(body['password'])).toEqual({ isGood: false })
    await scene.reach(number, 'provisioned')
    const owner = { isGood: true, customerId: own.customerId, number }
    expect(await verify(body['password'])).toEqual({ ...owner, kind: 'password' })
    const session = await scene.call('account/get-sessionkey', { phone_number: number })
    expect(await verify(session.body['response'])).toEqual({ ...owner, kind: 'session_key' })
    const again = await scene.call('provision/add', { phone_number: number })
    expect(await verify(body['password'])).toEqual({ isGood: false })
    expect(await verify(again.body['password'])).toEqual({ ...owner, kind: 'password' })
    expect(await verify(session.body['response'])).toMatchObject({ isGood: true })
    await scene.endLine(number)
    expect(await verify(session.body['response'])).toEqual({ isGood: false })
    // The next line on the number has secrets of its own.
    await scene.beginLine(number)
    expect(await verify(session.body['response'])).toEqual({ isGood: false })
    expect(await verify(again.body['password'])).toEqual({ isGood: false })
    const key = await rig.request('POST', '/admin/provisioning/line-credentials/verify', {
      key: other.key,
      body: { secret: 'x' },
    })
    expect(key.status).toBe(401)
  })

  it('reports whose recipients asked for no more messages, and for messages again', async () => {
    const { rig, other } = scene
    const [first, second] = [await scene.beginLine(), await scene.beginLine()]
    const put = (...optOuts: readonly object[]) => rig.admin('PUT', '/admin/provisioning/opt-outs', { optOuts })
    const put1 = await put(
      word(first, 'stop', '2026-01-01T00:00:00Z'),
      word(second, 'stop', '2026-01-02T00:00:00Z'),
      word('+15550100009', 'stop', '2026-01-02T00:00:00Z'),
    )
    expect(put1.status).toBe(204)
    await put(word(first, 'unstop', '2026-01-03T00:00:00Z'), word(second, 'unstop', '2026-01-01T00:00:00Z'))
    const report = async (...call: Parameters<ZipwhipScene['call']>) => (await scene.call(...call)).body['numbers']
    const stopped = {
      phone_number: '+15550100001',
      line: second,
      state: 'stop',
      last_updated: '2026-01-02T00:00:00+00:00',
    }
    const unstopped = { ...stopped, line: first, state: 'unstop', last_updated: '2026-01-03T00:00:00+00:00' }
    expect(await report('provision/stop', {})).toEqual([stopped])
    expect(await report('provision/unstop', {})).toEqual([unstopped])
    expect(await report('provision/stop', { phone_number: first })).toEqual([])
    expect(await report('provision/stop', { from: '2026-01-02T00:00:01Z' })).toEqual([])
    expect(await report('provision/stop', { to: '2026-01-01T23:59:59Z' })).toEqual([])
    expect(await report('provision/stop', { from: '2026-01-02T00:00:00Z', to: '2026-01-02T00:00:00Z' })).toEqual([
      stopped,
    ])
    expect(await report('provision/stop', {}, { by: other })).toEqual([])

    const many = Array.from({ length: 1_000 }, (_, turn) => ({
      ...word(first, 'stop', '2026-01-04T00:00:00Z'),
      number: `+1555${String(turn).padStart(7, '0')}`,
    }))
    expect((await put(...many)).status).toBe(204)
    expect(await report('provision/stop', { phone_number: first })).toHaveLength(1_000)
    const refused = [await put(), await put(...many, ...many), await put(word(first, 'stop', dateIn(DAY_MS)))]
    expect(refused.map(({ status }) => status)).toEqual([400, 400, 400])
    expect((await put(word('x', 'stop', '2026-01-01T00:00:00Z'))).body).toMatchObject({
      errors: [{ field: 'optOuts.0.line', message: expect.any(String) }],
    })
  })
})

describe('the Zipwhip API for clients that look at bodies only', () => {
  let scene: ZipwhipScene
  beforeAll(async () => {
    scene = await ZipwhipScene.start({ store: 'pglite', provisioning: { zipwhipAlwaysOk: true } })
  })
  afterAll(() => scene.stop())

  it('answers errors with status 200', async () => {
    const answers = [
      await scene.call('provision/status', { phone_number: '+12065550100' }),
      await scene.call('provision/status', { phone_number: 'x' }),
      await scene.call('provision/status', { phone_number: '+12065550100', api_key: 'x' }),
    ]
    expect(answers.map(({ status, body }) => [status, body['status_code'], body['error']])).toEqual([
      [200, '404', 'true'],
      [200, '400', 'true'],
      [200, '401', 'true'],
    ])
    expect(await scene.rig.request('GET', '/api/20140925/nothing')).toMatchObject({
      status: 200,
      body: { status_code: '406', error: 'true' },
    })
  })
})

/** What a recipient asked a line for. */
const word = (line: string, state: string, at: string) => ({ line, number: '+15550100001', state, at })

/** What every table of the database has in it. */
async function everyRow({ rig }: ZipwhipScene): Promise<string> {
  return rig.database.query(async (db) => {
    const { rows: tables } = await sql<{ table_name: string }>`
      select table_name from information_schema.tables where table_schema = 'public'`.execute(db)
    const texts = await Promise.all(
      tables.map(async ({ table_name: name }) => {
        const { rows } = await sql<{ row: unknown }>`select to_jsonb(t) as row from ${sql.table(name)} as t`.execute(db)
        return JSON.stringify(rows)
      }),
    )
    return texts.join('\n')
  })
}
