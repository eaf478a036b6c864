import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { orderOf, workOff } from '../../../../test/support/order-rig.ts'
import { startTestProvisioning, type TestProvisioning } from '../../../../test/support/provisioning.ts'
import { STORES } from '../../../../test/support/records.ts'
import { RequestOffice } from '../../../../test/support/request-rig.ts'
import type { Fault } from '../../../../test/support/scripted-provider.ts'
import { GatewayError } from '../../../core/errors.ts'

describe.each(STORES)('a provisioning request on %s', (store) => {
  let rig: TestProvisioning
  let offices = 0
  beforeAll(async () => {
    rig = await startTestProvisioning(store)
  })
  afterAll(() => rig.stop())

  const open = (script: readonly Fault[] = []) => {
    offices += 1
    const start = `+1212556${String(offices).padStart(2, '0')}00`
    return RequestOffice.open(rig.database, { name: `office${offices}`, start, script })
  }

  test('runs its steps one after the other as orders of the customer, and is complete', async () => {
    const office = await open()
    const requestId = await office.submit({ profileId: await twoSteps(office), items: itemsOf(office.first) })
    expect(await office.find(requestId)).toMatchObject({ status: 'Submitted', account_name: 'office1', links: [] })
    await office.runner.runDue()
    expect(await office.find(requestId)).toMatchObject({ status: 'In Progress', completed_at: null })
    expect(await office.orders()).toEqual(['range acknowledged'])
    await office.settle()
    expect(await office.find(requestId)).toMatchObject({ status: 'Complete', status_note: null, reprocessing: false })
    expect((await office.find(requestId)).completed_at).toBeInstanceOf(Date)
    expect(await office.orders()).toEqual(['range completed', 'add completed'])
    expect(await office.services()).toEqual([office.first, office.first])
  })

  test('goes on by itself when its order has ended, without being looked for', async () => {
    const office = await open()
    const requestId = await office.submit({ profileId: await twoSteps(office), items: itemsOf(office.first) })
    await office.runner.runDue()
    expect(await office.runner.runDue()).toBe(0)
    const [orderId = ''] = await office.openOrders()
    await workOff({ database: office.database, fulfiller: office.engine.fulfiller }, orderId)
    expect(await office.runner.runDue()).toBe(1)
    expect(await office.find(requestId)).toMatchObject({ status: 'In Progress' })
    expect(await office.orders()).toEqual(['range completed', 'add acknowledged'])
  })

  test('orders nothing for a customer whose app the environment is not', async () => {
    const office = await open()
    const profileId = await office.addProfile([{ operation: 'begin', parameters: { Product: office.shop.numbers } }])
    const before = await office.submit({ profileId, internalId: office.first })
    await office.database.query((db) =>
      sql`update customers set app_id = null where customer_id = ${office.shop.customerId}`.execute(db),
    )
    const after = await office.submit({ profileId, internalId: office.first })
    expect(await office.find(after)).toMatchObject({ account_name: null })
    await office.settle()
    for (const requestId of [before, after]) {
      expect(await office.find(requestId)).toMatchObject({
        status: 'In Error',
        status_note: "Step 1, Begin_Service: the account 23330999 is no customer's in this environment",
      })
    }
    expect(await office.orders()).toEqual([])
  })

  test('that is for later is begun later', async () => {
    const office = await open()
    const requestId = await office.submit({
      profileId: await twoSteps(office),
      items: itemsOf(office.first),
      objectStartsAt: Date.now() + 3_600_000,
    })
    expect(await office.runner.runDue()).toBe(0)
    expect(await office.find(requestId)).toMatchObject({ status: 'Submitted' })
  })

  test('that is resubmitted before its start is still begun later', async () => {
    const office = await open()
    const objectStartsAt = Date.now() + 3_600_000
    const requestId = await office.submit({ profileId: await office.addProfile([]), objectStartsAt })
    const change = { environment: office.environment, actor: 'key:test', requestId }
    await office.changes.fail({ ...change, note: 'not like this' })
    await office.runner.runDue()
    await office.changes.resubmit(change)
    expect(await office.runner.runDue()).toBe(0)
    expect(await office.find(requestId)).toMatchObject({ status: 'Submitted', reprocessing: true })
  })

  test('without steps waits to be completed, and then the object is what it says', async () => {
    const office = await open()
    const profileId = await office.addProfile([])
    const requestId = await office.submit({ profileId, objectStatusId: 2 })
    await office.settle()
    expect(await office.find(requestId)).toMatchObject({ status: 'In Progress' })
    const change = { environment: office.environment, actor: 'key:other', requestId }
    await office.changes.complete({ ...change, isForced: false, note: 'done by hand' })
    expect(await office.find(requestId)).toMatchObject({
      status: 'Complete',
      status_note: 'done by hand',
      was_forced: false,
      modified_by: 'key:other',
    })
  })

  test('that began without steps has none, whatever its profile has got since', async () => {
    const office = await open()
    const profileId = await office.addProfile([])
    const requestId = await office.submit({ profileId })
    await office.settle()
    const other = await office.addProfile([{ operation: 'begin', parameters: { Product: office.shop.numbers } }])
    await office.database.query((db) =>
      sql`update scenarios set profile_id = ${profileId} where profile_id = ${other}`.execute(db),
    )
    const change = { environment: office.environment, actor: 'key:test', requestId, note: undefined }
    await office.changes.complete({ ...change, isForced: false })
    expect(await office.find(requestId)).toMatchObject({ status: 'Complete', was_forced: false })
    const fresh = await office.submit({ profileId })
    await expect(office.changes.complete({ ...change, requestId: fresh, isForced: false })).rejects.toMatchObject({
      detail: expect.stringContaining('has steps to do'),
    })
  })

  test('that is read-only and without steps is complete, since nobody may say so', async () => {
    const office = await open()
    const profileId = await office.addProfile([])
    const requestId = await office.submit({ profileId, isReadOnly: true, batchTotal: 1 })
    await office.settle()
    expect(await office.find(requestId)).toMatchObject({ status: 'Complete', modified_by: 'engine' })
  })

  test('whose number another order is about waits for it', async () => {
    const office = await open()
    await office.submit({ profileId: await twoSteps(office), items: itemsOf(office.first) })
    await office.settle()
    const first = await office.submit({ profileId: await renaming(office, 'One') })
    await office.runner.runDue()
    const second = await office.submit({ profileId: await renaming(office, 'Two') })
    expect(await office.runner.runDue()).toBe(1)
    expect(await office.find(second)).toMatchObject({ status: 'In Progress', status_note: null })
    expect(await office.runner.runDue()).toBe(0)
    await office.settle()
    for (const requestId of [first, second]) {
      expect(await office.find(requestId)).toMatchObject({ status: 'Complete' })
    }
    expect((await office.orders()).slice(2)).toEqual(['change completed', 'change completed'])
  })

  test('whose number an order for later is about does not wait for it', async () => {
    const office = await open()
    await office.submit({ profileId: await twoSteps(office), items: itemsOf(office.first) })
    await office.settle()
    const later = { requestedDate: Date.now() + 86_400_000 }
    const changes = { callerName: 'Later' }
    await office.engine.ordering.place(
      orderOf(office.shop, { action: 'change', numbers: [office.first], changes }, later),
    )
    const requestId = await office.submit({ profileId: await renaming(office, 'Now') })
    await office.runner.runDue()
    expect(await office.find(requestId)).toMatchObject({
      status: 'In Error',
      status_note: expect.stringContaining('number_busy'),
    })
  })

  test('whose number stays with another order is in error after a while', async () => {
    const office = await open()
    await office.submit({ profileId: await twoSteps(office), items: itemsOf(office.first) })
    await office.settle()
    await office.submit({ profileId: await renaming(office, 'One') })
    await office.runner.runDue()
    const second = await office.submit({ profileId: await renaming(office, 'Two') })
    await office.createRunner({ busyWaitMs: 0 }).runDue()
    expect(await office.find(second)).toMatchObject({
      status: 'In Error',
      status_note: 'Step 1, Change_Service: number_busy: Another order is changing the number',
    })
  })

  test('whose order is refused is in error, and runs again from there when it is resubmitted', async () => {
    const office = await open(['told twice', 'refuse'])
    const requestId = await office.submit({ profileId: await twoSteps(office), items: itemsOf(office.first) })
    await office.settle()
    const failed = await office.find(requestId)
    expect(failed).toMatchObject({ status: 'In Error' })
    expect(failed.status_note).toMatch(/^Step 2, Enable_Service: /)
    await office.changes.resubmit({ environment: office.environment, actor: 'key:test', requestId })
    expect(await office.find(requestId)).toMatchObject({ status: 'Submitted', reprocessing: true, status_note: null })
    await office.settle()
    expect(await office.find(requestId)).toMatchObject({ status: 'Complete', reprocessing: false })
    expect(await office.orders()).toEqual(['range completed', 'add failed', 'add completed'])
  })

  test('that cannot be ordered is in error and says why', async () => {
    const office = await open()
    const profileId = await office.addProfile([{ operation: 'begin', parameters: { Product: office.shop.numbers } }])
    const bad = [
      await office.submit({ profileId, internalId: '+12125990000' }),
      await office.submit({ profileId: await office.addProfile([{ operation: 'begin' }]) }),
      await office.submit({ profileId, account: { accountNumber: 4_711 } }),
      await office.submit({
        profileId: await office.addProfile([{ operation: 'end', parameters: { Product: office.shop.numbers } }]),
      }),
      await office.submit({
        profileId: await office.addProfile([
          { operation: 'end', parameters: { Product: office.shop.numbers, Number: '@[TN]' } },
        ]),
      }),
    ]
    await office.settle()
    const notes = await Promise.all(bad.map(async (requestId) => (await office.find(requestId)).status_note))
    expect(notes).toEqual([
      'Step 1, Begin_Service: numbers_unavailable: 0 of 1 numbers are available.',
      'Step 1, Begin_Service: Product is required',
      "Step 1, Begin_Service: the account 4711 is no customer's in this environment",
      'Step 1, End_Service: Number is required',
      'Step 1, End_Service: Number refers to TN, which there is not',
    ])
    expect(await office.orders()).toEqual([])
  })

  test('tells nobody a protected value: an order that would show it is not placed', async () => {
    const office = await open()
    await office.submit({ profileId: await twoSteps(office), items: itemsOf(office.first) })
    await office.settle()
    await office.putGlobal({ name: 'Site', value: 'Berlin', isProtected: true })
    const parameters = { Product: office.shop.numbers, Number: office.first, 'CallerName:Global': 'Site' }
    const profileId = await office.addProfile([{ operation: 'change', parameters }])
    const requestId = await office.submit({ profileId })
    await office.settle()
    expect(await office.find(requestId)).toMatchObject({
      status: 'In Error',
      status_note: 'Step 1, Change_Service: CallerName must not be a protected value: orders show it',
    })
    expect((await office.orders()).slice(2)).toEqual([])
  })

  test('finds done what it was to do, and says so', async () => {
    const office = await open()
    const profileId = await twoSteps(office)
    await office.submit({ profileId, items: itemsOf(office.first) })
    await office.settle()
    const again = await office.submit({ profileId, items: itemsOf(office.first) })
    const end = await office.addProfile([
      { operation: 'end', parameters: { Product: office.shop.messaging, Number: office.first } },
      { operation: 'end', parameters: { Product: office.shop.numbers } },
    ])
    await office.settle()
    expect(await office.find(again)).toMatchObject({ status: 'Complete' })
    expect(await office.details(again)).toEqual([
      {
        sent: false,
        reason: `The customer already has a service of ${office.shop.numbers} on ${office.first}.`,
        action: 'Begin_Service',
      },
      {
        sent: false,
        reason: `The customer already has a service of ${office.shop.messaging} on ${office.first}.`,
        action: 'Enable_Service',
      },
    ])
    await office.submit({ profileId: end })
    await office.settle()
    const ended = await office.submit({ profileId: end })
    await office.settle()
    expect(await office.find(ended)).toMatchObject({ status: 'Complete' })
    expect(await office.orders()).toEqual(['range completed', 'add completed', 'delete completed', 'delete completed'])
    expect((await office.details(ended)).map(({ reason }) => reason)).toEqual([
      `The customer no longer has a service of ${office.shop.messaging} on ${office.first}.`,
      `The customer no longer has a service of ${office.shop.numbers} on ${office.first}.`,
    ])
  })

  test('that is regenerated keeps the number that its source has got', async () => {
    const office = await open(['told twice', 'refuse'])
    const profileId = await office.addProfile([
      { operation: 'begin', parameters: { Product: office.shop.numbers, AreaCode: '212' } },
      { operation: 'enable', parameters: { Product: office.shop.messaging } },
    ])
    const sourceId = await office.submit({ profileId, batchTotal: 1 })
    await office.settle()
    const source = await office.find(sourceId)
    expect(source).toMatchObject({ status: 'In Error' })
    const requestId = await office.submit({ profileId, regeneratedFromId: sourceId })
    await office.settle()
    expect(await office.find(requestId)).toMatchObject({
      status: 'Complete',
      regenerated_from_id: sourceId,
      root_regenerated_from_id: sourceId,
      regeneration_count: 1,
      batch_id: source.batch_id,
    })
    expect(await office.find(sourceId)).toMatchObject({
      status: 'Cancelled',
      was_regenerated: true,
      batch_id: null,
    })
    expect(await office.orders()).toEqual(['any completed', 'add failed', 'add completed'])
    expect(new Set(await office.services()).size).toBe(1)
  })

  test('is held while its internal id is not allowed, and goes on when it is', async () => {
    const office = await open()
    await office.putGlobal({ name: 'Site', value: 'Berlin' })
    const profileId = await office.addProfile([
      {
        operation: 'port',
        parameters: { Product: office.shop.numbers, 'Number:Request': 'TN', PIN: '1234', 'City:Global': 'Site' },
      },
    ])
    await office.setSafeguarded(true)
    const requestId = await office.submit({ profileId, items: itemsOf('+12125990001') })
    await office.settle()
    expect(await office.find(requestId)).toMatchObject({
      status: 'Held',
      status_note: 'Held by the safeguard: the internal id is not allowed.',
    })
    expect(await office.orders()).toEqual([])
    expect(await office.details(requestId)).toEqual([
      {
        sent: false,
        reason: 'Held by the safeguard: the internal id is not allowed.',
        action: 'Port_Number',
        parameters: { Product: office.shop.numbers, Number: '+12125990001', PIN: '********', City: 'Berlin' },
      },
    ])
    await office.settle()
    expect(await office.find(requestId)).toMatchObject({ status: 'Held' })
    await office.setSafeguarded(false)
    await office.settle()
    expect((await office.find(requestId)).status_note).toMatch(/LosingCarrier is required/)
  })

  test('is held before its next step when the safeguard is switched on meanwhile', async () => {
    const office = await open()
    const requestId = await office.submit({ profileId: await twoSteps(office), items: itemsOf(office.first) })
    await office.runner.runDue()
    await office.setSafeguarded(true)
    await office.settle()
    expect(await office.find(requestId)).toMatchObject({ status: 'Held' })
    expect(await office.orders()).toEqual(['range completed'])
    await office.setSafeguarded(false)
    await office.settle()
    expect(await office.find(requestId)).toMatchObject({ status: 'Complete' })
    expect(await office.orders()).toEqual(['range completed', 'add completed'])
  })

  test('that somebody puts in error has its open order cancelled', async () => {
    const office = await open()
    const requestId = await office.submit({ profileId: await twoSteps(office), items: itemsOf(office.first) })
    await office.runner.runDue()
    const change = { environment: office.environment, actor: 'key:test', requestId }
    await office.changes.fail({ ...change, note: 'lost connectivity' })
    await expect(office.changes.resubmit(change)).rejects.toMatchObject({ code: 'invalid_request' })
    await office.settle()
    expect(await office.find(requestId)).toMatchObject({ status: 'In Error', status_note: 'lost connectivity' })
    expect(await office.orders()).toEqual(['range cancelled'])
    await office.changes.resubmit(change)
    await office.settle()
    expect(await office.find(requestId)).toMatchObject({ status: 'Complete' })
    expect(await office.orders()).toEqual(['range cancelled', 'range completed', 'add completed'])
  })

  test('that is completed by force while it waits is left alone', async () => {
    const office = await open()
    const requestId = await office.submit({ profileId: await twoSteps(office), items: itemsOf(office.first) })
    await office.runner.runDue()
    const change = { environment: office.environment, actor: 'key:test', requestId }
    await expect(office.changes.complete({ ...change, isForced: false, note: undefined })).rejects.toMatchObject({
      code: 'invalid_request',
    })
    await office.changes.complete({ ...change, isForced: true, note: undefined })
    await office.settle()
    expect(await office.find(requestId)).toMatchObject({ status: 'Complete', was_forced: true })
    expect(await office.orders()).toEqual(['range completed'])
  })

  test('of a process that died is finished by another, each step once, wherever it died', async () => {
    const office = await open()
    const requestId = await office.submit({ profileId: await twoSteps(office), items: itemsOf(office.first) })
    const gone = new GatewayError('store_unavailable')
    // Before the order, after it was placed but before anybody heard of it, and at the second step.
    for (const dies of ['before', 'after', 'before', 'after'] as const) {
      const dying = office.createRunner({
        ordering: {
          cancel: () => Promise.reject(gone),
          async place(...args) {
            if (dies === 'after') await office.engine.ordering.place(...args)
            throw gone
          },
        },
      })
      await dying.runDue()
      expect(await office.runner.runDue()).toBe(0)
      expect(await office.find(requestId)).toMatchObject({ status: 'In Progress' })
      for (const orderId of await office.openOrders()) {
        await workOff({ database: office.database, fulfiller: office.engine.fulfiller }, orderId)
      }
      await expireLeases(office)
    }
    await office.settle()
    expect(await office.find(requestId)).toMatchObject({ status: 'Complete' })
    expect(await office.orders()).toEqual(['range completed', 'add completed'])
  })

  test('is worked on by one of many, however they race', async () => {
    const office = await open()
    const profileId = await office.addProfile([{ operation: 'begin', parameters: { Product: office.shop.numbers } }])
    const requests = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        office.submit({ profileId, internalId: `${office.first.slice(0, -2)}${index + 10}` }),
      ),
    )
    const runners = Array.from({ length: 3 }, () => office.createRunner())
    for (let round = 0; round < 4; round += 1) {
      const claimed = await Promise.all(runners.map((runner) => runner.runDue()))
      for (const orderId of await office.openOrders()) {
        await workOff({ database: office.database, fulfiller: office.engine.fulfiller }, orderId)
      }
      if (claimed.every((count) => count === 0)) break
    }
    for (const requestId of requests) expect(await office.find(requestId)).toMatchObject({ status: 'Complete' })
    expect(await office.orders()).toEqual(requests.map(() => 'range completed'))
    expect(await office.services()).toHaveLength(10)
  })
})

/** Begins service on the number that the request names, then puts text on it. */
const twoSteps = (office: RequestOffice) =>
  office.addProfile([
    { operation: 'begin', parameters: { Product: office.shop.numbers, 'Number:Request': 'TN' } },
    { operation: 'enable', parameters: { Product: office.shop.messaging, ExternalID: 'site-#[1 + 1]' } },
  ])
/** Changes the first number's service. */
const renaming = (office: RequestOffice, callerName: string) =>
  office.addProfile([
    {
      operation: 'change',
      parameters: { Product: office.shop.numbers, Number: office.first, CallerName: callerName },
    },
  ])
const itemsOf = (number: string) => [{ keyName: 'TN', value: number }]

const expireLeases = (office: RequestOffice) =>
  office.database.query((db) =>
    sql`update provisioning_requests set leased_until = null, due_at = now()
      where environment_id = ${office.environment.environmentId} and status_id in (1, 2)`.execute(db),
  )
