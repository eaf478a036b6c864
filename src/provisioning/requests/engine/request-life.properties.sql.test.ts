import * as fc from 'fast-check'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { workOff } from '../../../../test/support/order-rig.ts'
import { startTestProvisioning, type TestProvisioning } from '../../../../test/support/provisioning.ts'
import { STORES } from '../../../../test/support/records.ts'
import { RequestOffice } from '../../../../test/support/request-rig.ts'
import { GatewayError, isGatewayError } from '../../../core/errors.ts'
import { requestMayBecome, type RequestStatusId } from '../model/status.ts'

/** What may happen to the requests of an office; `at` picks one of them. */
const happening = fc.oneof(
  { weight: 3, arbitrary: fc.record({ what: fc.constant('submit' as const), at: fc.nat(4) }) },
  { weight: 4, arbitrary: fc.record({ what: fc.constantFrom('run', 'work orders', 'die'), at: fc.nat(4) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      what: fc.constantFrom('fail', 'complete', 'force', 'resubmit', 'regenerate', 'hold all', 'let go'),
      at: fc.nat(4),
    }),
  },
)
const faults = fc.array(fc.constantFrom('told twice' as const, 'refuse', 'accepted', 'some rejected'), { maxLength: 6 })

describe.each(STORES)('whatever happens to provisioning requests, on %s', (store) => {
  let rig: TestProvisioning
  let offices = 0
  beforeAll(async () => {
    rig = await startTestProvisioning(store)
  })
  afterAll(() => rig.stop())

  test('they move only as they may, have one open order at most, and come to rest', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(happening, { minLength: 5, maxLength: 25 }), faults, async (happenings, script) => {
        offices += 1
        const start = `+121255${String(offices + 800).padStart(3, '0')}00`
        const office = await RequestOffice.open(rig.database, { name: `life${offices}`, start, script })
        const life = new Life(office, await profileOf(office))
        for (const { what, at } of happenings) {
          await life.happen(what, at)
          expect(await life.whatIsWrong()).toEqual([])
        }
        await office.setSafeguarded(false)
        await office.settle()
        expect(await life.whatIsWrong()).toEqual([])
        expect(await life.whatIsLeft()).toEqual([])
      }),
      { numRuns: 12 },
    )
  }, 120_000)
})

/** Begins service on the number that is the object's id, and puts text on it. */
const profileOf = (office: RequestOffice) =>
  office.addProfile([
    { operation: 'begin', parameters: { Product: office.shop.numbers } },
    { operation: 'enable', parameters: { Product: office.shop.messaging } },
  ])

class Life {
  readonly #office: RequestOffice
  readonly #profileId: number
  readonly #requests: number[] = []

  constructor(office: RequestOffice, profileId: number) {
    this.#office = office
    this.#profileId = profileId
  }

  async happen(what: string, at: number): Promise<void> {
    const { changes, runner } = this.#office
    const requestId = this.#requests[at % Math.max(1, this.#requests.length)] ?? 0
    const change = { environment: this.#office.environment, actor: 'key:test', requestId }
    const note = undefined
    switch (what) {
      case 'submit':
        return this.#submit(at)
      case 'run':
        return void (await runner.runDue())
      case 'work orders':
        return this.#workOrders()
      case 'die':
        return this.#die()
      case 'hold all':
        return this.#office.setSafeguarded(true)
      case 'let go':
        return this.#office.setSafeguarded(false)
      case 'fail':
        return allowRefusal(changes.fail({ ...change, note }))
      case 'complete':
        return allowRefusal(changes.complete({ ...change, note, isForced: false }))
      case 'force':
        return allowRefusal(changes.complete({ ...change, note, isForced: true }))
      case 'resubmit':
        return allowRefusal(changes.resubmit(change))
      case 'regenerate':
        return allowRefusal(this.#submit(at, requestId))
      default:
        throw new Error(`nobody knows ${what}`)
    }
  }

  /** What must be so at every moment. */
  async whatIsWrong(): Promise<readonly unknown[]> {
    const { environmentId } = this.#office.environment
    const { rows: moves } = await this.#office.database.query((db) =>
      sql<{ from: RequestStatusId; to: RequestStatusId }>`
        select (before->>'statusId')::integer as from, (after->>'statusId')::integer as to from audit
        where chain = ${`environment:${environmentId}`} and action = 'change_status'`.execute(db),
    )
    const { rows: wrong } = await this.#office.database.query((db) =>
      sql<{ request_id: number }>`
        select request_id from provisioning_requests r where environment_id = ${environmentId} and (
          (select count(*) from request_orders join orders using (order_id)
            where request_orders.request_id = r.request_id and completed_at is null) > 1
          or (status_id in (3, 5) and due_at is not null)
          or exists (select from request_steps s where s.request_id = r.request_id
            and s.state = 'running' and s.order_id is null)
          or exists (select from request_steps s where s.request_id = r.request_id and r.status_id = 3
            and not r.was_forced and s.state <> 'done'))`.execute(db),
    )
    return [...moves.filter(({ from, to }) => !requestMayBecome(from, to)), ...wrong]
  }

  /** When nothing is left to do: nothing is under way, and no number was bought twice. */
  async whatIsLeft(): Promise<readonly unknown[]> {
    const statuses = await Promise.all(this.#requests.map(async (id) => (await this.#office.find(id)).status))
    // To this provider a number with two services, one on the other, is a second line.
    const { violations } = this.#office.provider
    const { rows } = await this.#office.database.query((db) =>
      sql<{ count: number }>`select count(*)::integer as count from order_items
        where customer_id = ${this.#office.shop.customerId} and state = 'completed'
        group by e164, product_id having count(*) > 1`.execute(db),
    )
    return [
      ...statuses.filter((status) => !['Complete', 'In Error', 'Cancelled'].includes(status)),
      ...violations.filter((violation) => !violation.startsWith('a second line')),
      ...rows,
    ]
  }

  async #submit(at: number, regeneratedFromId?: number): Promise<void> {
    const internalId = `${this.#office.first.slice(0, -2)}1${at}`
    const batch = at === 0 ? { batchTotal: 1 } : {}
    const more = regeneratedFromId === undefined ? batch : { regeneratedFromId }
    this.#requests.push(await this.#office.submit({ profileId: this.#profileId, internalId, ...more }))
  }

  async #workOrders(): Promise<void> {
    for (const orderId of await this.#office.openOrders()) {
      await workOff({ database: this.#office.database, fulfiller: this.#office.engine.fulfiller }, orderId)
    }
  }

  /** A runner that dies just before or just after it has placed an order; its leases run out at once. */
  async #die(): Promise<void> {
    const gone = new GatewayError('store_unavailable')
    const { ordering } = this.#office.engine
    let isLate = false
    const dying = this.#office.createRunner({
      ordering: {
        cancel: () => Promise.reject(gone),
        async place(...args) {
          isLate = !isLate
          if (isLate) await ordering.place(...args)
          throw gone
        },
      },
    })
    await dying.runDue()
    await this.#office.database.query((db) =>
      sql`update provisioning_requests set leased_until = null
        where environment_id = ${this.#office.environment.environmentId}`.execute(db),
    )
  }
}

/** What the state of a request does not allow is refused, and nothing else. */
async function allowRefusal(work: Promise<void>): Promise<void> {
  await work.catch((error: unknown) => {
    if (!isGatewayError(error, 'invalid_request', 'resource_not_found')) throw error
  })
}
