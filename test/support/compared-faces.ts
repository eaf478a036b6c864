import { sql, type Transaction } from 'kysely'
import { parseQuery } from '../../src/provisioning/odata/query.ts'
import type { ItemState } from '../../src/provisioning/model/order.ts'
import { Requests } from '../../src/provisioning/requests/store/requests.ts'
import { ProvisionedObjects } from '../../src/provisioning/requests/store/provisioned-objects.ts'
import type { ProvisioningDatabase } from '../../src/provisioning/store/database.ts'
import { Lines, type LineState } from '../../src/provisioning/store/lines.ts'
import { Orders } from '../../src/provisioning/store/orders.ts'
import type { ProvisioningSchema } from '../../src/provisioning/store/schema.ts'
import { Services } from '../../src/provisioning/store/services.ts'

/** Customers of one environment, and the numbers and products that they have to do with. */
export type ComparedScene = {
  readonly environmentId: number
  readonly customerIds: readonly string[]
  readonly numbers: readonly string[]
  /** The product of the numbers, and the one that enables them for texts. */
  readonly numberProduct: string
  readonly textProduct: string
}

/** What the APIs call the same state of an item: IDI the status of its request, Zipwhip the line that it begins. */
const NAMES: Readonly<Record<ItemState, { readonly idi: string; readonly zipwhip?: readonly LineState['state'][] }>> = {
  acknowledged: { idi: 'Submitted', zipwhip: ['scheduled', 'pending'] },
  inProgress: { idi: 'In Progress', zipwhip: ['pending'] },
  pending: { idi: 'In Progress', zipwhip: ['pending'] },
  compensating: { idi: 'In Progress', zipwhip: ['pending'] },
  held: { idi: 'Held', zipwhip: ['held'] },
  failed: { idi: 'In Error', zipwhip: ['failed'] },
  completed: { idi: 'Complete' },
  cancelled: { idi: 'Cancelled' },
}

/**
 * In what the three APIs disagree at this moment, in words: all are asked in one transaction, which sees one state
 * of the database.
 */
export function disagreements(database: ProvisioningDatabase, scene: ComparedScene): Promise<readonly string[]> {
  return database.query((db) =>
    db
      .transaction()
      .setIsolationLevel('repeatable read')
      .execute(async (tx) => {
        const seen = await look(tx, scene)
        return [
          ...compareServices(seen, scene),
          ...compareLines(seen, scene),
          ...compareOrders(seen),
          ...compareOwnRequests(seen),
          ...compareOwnRequests(seen),
        ]
      }),
  )
}

type Snapshot = Transaction<ProvisioningSchema>
type Seen = Awaited<ReturnType<typeof look>>

const keyOf = (...parts: readonly string[]) => parts.join(' ')

async function look(tx: Snapshot, scene: ComparedScene) {
  const database: ProvisioningDatabase = { query: (work) => work(tx), transaction: (work) => work(tx) }
  const { customerIds, numbers } = scene
  const services = []
  const orders = []
  const lines = new Map<string, LineState>()
  for (const customerId of customerIds) {
    services.push(...(await new Services(database).list(customerId, { limit: 500 })).items)
    const list = await new Orders(database).list(customerId, { limit: 500 })
    for (const { orderId } of list.items) orders.push(await new Orders(database).find(customerId, orderId))
    for (const number of numbers) {
      const line = await new Lines(database).find(customerId, number)
      if (line !== undefined) lines.set(keyOf(customerId, number), line)
    }
  }
  const states = await tx
    .selectFrom('numbers')
    .select(['e164', 'state', 'customer_id'])
    .where('e164', 'in', [...numbers])
    .execute()
  return {
    services,
    orders,
    lines,
    states,
    objects: await readObjects(database, scene),
    requests: await readRequests(tx, database, scene),
    untold: await countUntold(tx, scene),
  }
}

/** By both searches, which must find the same: state and customer of every object. */
async function readObjects(
  database: ProvisioningDatabase,
  { environmentId, numbers, numberProduct, textProduct }: ComparedScene,
) {
  const objects = new ProvisionedObjects({ database, secret: Buffer.alloc(32, 7) })
  const $top = '500'
  const expanded = await objects.searchExpanded(
    environmentId,
    parseQuery({ $filter: "name in ('State','Customer')", $top }),
  )
  const named = numbers.flatMap((internalId) => [numberProduct, textProduct].map((code) => ({ code, internalId })))
  const query = parseQuery({ $filter: "keyName in ('State','Customer')", $top })
  const items = await objects.search(environmentId, { objects: named, query })
  const toMap = (rows: typeof items.rows) =>
    new Map(rows.map((row) => [keyOf(row.code, row.internal_id, row.key_name), row.value]))
  return { expanded: toMap(expanded.rows), items: toMap(items.rows) }
}

type Request = { readonly status: string; readonly isOpen: boolean; readonly total: number }
type RequestOfItem = Request & { readonly members: number }

/** By order and number, as the search shows them; callers' own requests by their ids. */
async function readRequests(tx: Snapshot, database: ProvisioningDatabase, { environmentId }: ComparedScene) {
  const requests = new Requests({ database, secret: Buffer.alloc(32, 7) })
  const { rows } = await requests.search(environmentId, parseQuery({ $top: '500' }))
  const batches = new Map(
    (
      await tx
        .selectFrom('request_batches')
        .select(['batch_id', 'is_open'])
        .where('environment_id', '=', environmentId)
        .execute()
    ).map((batch) => [batch.batch_id, batch.is_open]),
  )
  const mirrored = rows.filter((row) => row.created_by === 'order')
  const members = Map.groupBy(mirrored, (row) => row.batch_id)
  const ofItems = new Map<string, RequestOfItem>()
  for (const row of mirrored) {
    const [link] = row.links
    ofItems.set(keyOf(link?.linkValue ?? '', row.internal_id ?? ''), {
      status: row.status,
      isOpen: batches.get(row.batch_id ?? 0) ?? false,
      total: row.total_object_count ?? 0,
      members: members.get(row.batch_id)?.length ?? 0,
    })
  }
  const own = rows.filter((row) => row.created_by !== 'order')
  return { ofItems, count: mirrored.length, own: new Map(own.map((row) => [row.request_id, row.status])) }
}

/** How often a provider was sent something about an item, or answered, of which its request has no detail. */
async function countUntold(tx: Snapshot, { environmentId }: ComparedScene): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*) as count from provisioning_requests r
      join order_items i on i.item_id = r.order_item_id
      join provider_calls c on c.fulfilment_id = i.fulfilment_id and c.action <> 'poll'
    where r.environment_id = ${environmentId} and not exists (
      select from call_details d where d.request_id = r.request_id and d.call_id = c.call_id)`.execute(tx)
  return rows[0]?.count ?? 0
}

/** Whose each number and each line is, by each API. */
function compareServices(seen: Seen, scene: ComparedScene): readonly string[] {
  const { numbers, customerIds, numberProduct, textProduct } = scene
  return numbers.flatMap((number) =>
    [numberProduct, textProduct].flatMap((product) => {
      const zilkr = seen.services.find((service) => service.number === number && service.productId === product)
      const { expanded, items } = seen.objects
      const state = expanded.get(keyOf(product, number, 'State'))
      const idi = state === 'active' ? expanded.get(keyOf(product, number, 'Customer')) : undefined
      const isSame = ['State', 'Customer'].every(
        (key) => expanded.get(keyOf(product, number, key)) === items.get(keyOf(product, number, key)),
      )
      const other =
        product === textProduct
          ? customerIds.find((id) => seen.lines.get(keyOf(id, number))?.state === 'active')
          : (seen.states.find((row) => row.e164 === number && row.state === 'in_service')?.customer_id ?? undefined)
      return [
        ...[other, idi]
          .filter((customer) => customer !== zilkr?.customerId)
          .map((customer) => `${product} on ${number} is of ${zilkr?.customerId}, and elsewhere of ${customer}`),
        ...(isSame ? [] : [`${product} on ${number} is not the same by both IDI searches`]),
      ]
    }),
  )
}

/** How lines that have not begun stand with Zipwhip, and their requests with IDI. */
function compareLines(seen: Seen, { customerIds, numbers, textProduct }: ComparedScene): readonly string[] {
  return customerIds.flatMap((customerId) =>
    numbers.flatMap((number) => {
      const line = seen.lines.get(keyOf(customerId, number))
      if (line?.state === 'active') return []
      const added = seen.orders
        .filter((order) => order.customerId === customerId && order.productId === textProduct)
        .flatMap((order) => order.items.filter((item) => item.number === number).map((item) => ({ ...item, order })))
        .toSorted((one, other) => (one.itemId < other.itemId ? -1 : 1))
        .at(-1)
      const isAdd = added?.order.action === 'add'
      const names = added !== undefined && isAdd ? NAMES[added.state] : undefined
      // A line whose end is under way, or has failed, is in service: that is compared elsewhere.
      const fits =
        names?.zipwhip === undefined ? line === undefined : line !== undefined && names.zipwhip.includes(line.state)
      return fits ? [] : [`texts on ${number} are ${line?.state} of ${customerId}, and their request ${names?.idi}`]
    }),
  )
}

/** How each item of each order stands, and that no request is missing, too many, or in a batch that is not the order. */
function compareOrders({ orders, requests, untold }: Seen): readonly string[] {
  const mirrored = orders.filter((order) => order.face !== 'idi')
  const items = mirrored.flatMap((order) => order.items.map((item) => ({ ...item, order })))
  const wrong = items.flatMap(({ number, state, order }) => {
    const request = requests.ofItems.get(keyOf(order.orderId, number))
    const isFinal = order.completedAt !== undefined
    const standsAlone = order.partialAllowed || order.action === 'delete' || order.action === 'deleteAll'
    const isDone = state !== 'completed' || isFinal || standsAlone
    const count = order.items.length
    const expected: RequestOfItem = {
      status: isDone ? NAMES[state].idi : 'In Progress',
      isOpen: !isFinal,
      total: count,
      members: count,
    }
    return JSON.stringify(request) === JSON.stringify(expected)
      ? []
      : [`${number} of ${order.orderId} is ${JSON.stringify(expected)}, and its request ${JSON.stringify(request)}`]
  })
  return [
    ...wrong,
    ...(requests.count === items.length ? [] : [`there are ${items.length} items and ${requests.count} requests`]),
    ...(untold === 0 ? [] : [`${untold} calls of providers are not in the details of requests`]),
  ]
}

/**
 * A request that a caller made looks at its order when that has ended: it is not ahead of it, and in error only when
 * the order is not, or no longer, on its way.
 */
function compareOwnRequests({ orders, requests }: Seen): readonly string[] {
  return orders
    .filter((order) => order.face === 'idi')
    .flatMap((order) => {
      const status = requests.own.get(Number(order.metadata['provisioningRequestID']))
      const expected = order.completedAt === undefined ? ['In Progress'] : ['In Progress', ENDS[order.state]]
      return expected.includes(status) ? [] : [`order ${order.orderId} is ${order.state}, and its request ${status}`]
    })
}

const ENDS: Readonly<Record<string, string>> = { completed: 'Complete', failed: 'In Error', cancelled: 'In Error' }
