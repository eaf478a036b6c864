import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createEngine, openShop, orderOf, type OrderShop } from '../../../test/support/order-rig.ts'
import { startTestProvisioning } from '../../../test/support/provisioning.ts'
import { STORES, type StoreName } from '../../../test/support/records.ts'
import { RequestOffice } from '../../../test/support/request-rig.ts'
import { ScriptedProvider } from '../../../test/support/scripted-provider.ts'
import { claimRequests, endClaims as endRequestClaims } from '../requests/store/request-rows.ts'
import type { ProvisioningDatabase, Queries } from '../store/database.ts'
import { claimDue, endClaims } from '../store/fulfilments.ts'

type Claimed = {
  /** With a token that is so much older; resolves with how many claims were ended. */
  readonly end: (queries: Queries, older: number) => Promise<number>
  /** Its row: `from … where …`. */
  readonly row: ReturnType<typeof sql>
}

/** What there is to be claimed, over a store of its own. */
class ClaimsRig {
  readonly database: ProvisioningDatabase
  readonly stop: () => Promise<void>
  readonly #office: RequestOffice
  readonly #shop: OrderShop
  readonly #provider = new ScriptedProvider('scripted-claims', [])

  static async start(store: StoreName): Promise<ClaimsRig> {
    const provisioning = await startTestProvisioning(store)
    const { database } = provisioning
    const office = await RequestOffice.open(database, { name: 'claims', start: '+12125580000' })
    const shop = await openShop(database, { name: 'c', start: '+12125581000', provider: 'scripted-claims' })
    return new ClaimsRig({ database, stop: () => provisioning.stop(), office, shop })
  }

  private constructor(parts: Pick<ClaimsRig, 'database' | 'stop'> & { office: RequestOffice; shop: OrderShop }) {
    this.database = parts.database
    this.stop = parts.stop
    this.#office = parts.office
    this.#shop = parts.shop
  }

  async claim(kind: 'fulfilment' | 'request', leaseMs: number): Promise<Claimed> {
    await this.#leaveNothingDue()
    return kind === 'fulfilment' ? this.#claimFulfilment(leaseMs) : this.#claimRequest(leaseMs)
  }

  end({ end }: Claimed, older = 0): Promise<number> {
    return this.database.query((db) => end(db, older))
  }

  /** Until the lease is over. */
  async leftMs({ row }: Claimed): Promise<number> {
    const left = sql`(extract(epoch from leased_until - now()) * 1000)::double precision`
    const { rows } = await this.database.query((db) => sql<{ ms: number }>`select ${left} as ms ${row}`.execute(db))
    return rows[0]?.ms ?? Number.NaN
  }

  #leaveNothingDue(): Promise<void> {
    return this.database.transaction(async (tx) => {
      await tx.updateTable('provisioning_requests').set({ due_at: null }).execute()
      await tx
        .updateTable('fulfilments')
        .set({ due_at: sql<Date>`now() + interval '1 hour'` })
        .execute()
    })
  }

  async #claimFulfilment(leaseMs: number): Promise<Claimed> {
    const { ordering } = createEngine(this.database, this.#provider)
    await ordering.place(orderOf(this.#shop, { action: 'any', quantity: 1, filter: {} }))
    const due = { provider: this.#provider.id, limit: 9, leaseMs }
    const claim = theOnly(await this.database.query((db) => claimDue(db, due)))
    return {
      end: async (queries, older) =>
        (await endClaims(queries, [{ ...claim, leaseToken: claim.leaseToken - older }])).length,
      row: sql`from fulfilments where fulfilment_id = ${claim.fulfilmentId}`,
    }
  }

  async #claimRequest(leaseMs: number): Promise<Claimed> {
    await this.#office.submit({ profileId: await this.#office.addProfile([]) })
    const claim = theOnly(await this.database.query((db) => claimRequests(db, { limit: 9, leaseMs })))
    return {
      end: async (queries, older) =>
        (await endRequestClaims(queries, [{ ...claim, leaseToken: claim.leaseToken - older }])).length,
      row: sql`from provisioning_requests where request_id = ${claim.requestId}`,
    }
  }
}

function theOnly<Item>(items: readonly Item[]): Item {
  const [item, ...others] = items
  if (item === undefined || others.length > 0) throw new Error(`${items.length} are due`)
  return item
}

const HOUR_MS = 3_600_000
const KINDS = ['fulfilment', 'request'] as const

describe.each(STORES)('claims, on %s', (store) => {
  let rig: ClaimsRig
  beforeAll(async () => {
    rig = await ClaimsRig.start(store)
  })
  afterAll(() => rig.stop())

  test.each(KINDS)('of a %s end a second later', async (kind) => {
    const claimed = await rig.claim(kind, HOUR_MS)
    expect(await rig.end(claimed)).toBe(1)
    expect(await rig.leftMs(claimed)).toBeLessThanOrEqual(1_000)
  })

  test.each(KINDS)('of a %s stay if somebody else has claimed it since', async (kind) => {
    const claimed = await rig.claim(kind, HOUR_MS)
    expect(await rig.end(claimed, 1)).toBe(0)
    expect(await rig.leftMs(claimed)).toBeGreaterThan(1_000_000)
  })

  test.each(KINDS)('of a %s that are over are not made longer', async (kind) => {
    const claimed = await rig.claim(kind, 0)
    expect(await rig.end(claimed)).toBe(0)
    expect(await rig.leftMs(claimed)).toBeLessThanOrEqual(0)
  })

  test('of a fulfilment end later after attempts at its provider', async () => {
    const claimed = await rig.claim('fulfilment', HOUR_MS)
    await rig.database.query((db) => db.updateTable('fulfilments').set({ attempts: 10 }).execute())
    expect(await rig.end(claimed)).toBe(1)
    const leftMs = await rig.leftMs(claimed)
    expect(leftMs).toBeGreaterThan(100_000)
    expect(leftMs).toBeLessThanOrEqual(1_024_000)
  })
})

// PGlite has one connection, so that nothing is ever locked by another one.
describe('claims, on a store with several connections', () => {
  let rig: ClaimsRig
  beforeAll(async () => {
    rig = await ClaimsRig.start('postgresql')
  })
  afterAll(() => rig.stop())

  test.each(KINDS)('of a %s stay as long as a transaction has its row, and nobody waits for that', async (kind) => {
    const claimed = await rig.claim(kind, HOUR_MS)
    await rig.database.transaction(async (tx) => {
      await sql`select ${claimed.row} for update`.execute(tx)
      expect(await rig.end(claimed)).toBe(0)
    })
    expect(await rig.end(claimed)).toBe(1)
  })
})
