/**
 * Orders telephone numbers the way it should be done: look for some, hold them while somebody makes up their mind,
 * order what is held, and wait for the end.
 *
 *   CALLHALF_PROVISIONING_KEY=… node examples/order-numbers.ts --area 212 [--count 2] [--country US]
 *     [--customer cus_…] [--give-back] [--url http://127.0.0.1:8080]
 *
 * Without a customer it makes one; with `--give-back` it ends the services at once. What it shows: an
 * Idempotency-Key for everything that must not happen twice, so that a request whose answer was lost can simply be
 * sent again; problem details as they are meant to be read; and an order as something that takes its time.
 * A real app does not poll as this one does but takes webhooks: see webhook-receiver.ts. Needs nothing but Node.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    url: { type: 'string', default: 'http://127.0.0.1:8080' },
    customer: { type: 'string' },
    country: { type: 'string', default: 'US' },
    area: { type: 'string' },
    count: { type: 'string', default: '2' },
    'give-back': { type: 'boolean', default: false },
  },
})
const key = process.env['CALLHALF_PROVISIONING_KEY']
if (key === undefined) {
  process.stderr.write('usage: CALLHALF_PROVISIONING_KEY=… node examples/order-numbers.ts --area 212 [--count 2]\n')
  process.exit(2)
}

const ATTEMPTS = 5
const FINAL: ReadonlySet<string> = new Set(['completed', 'partial', 'failed', 'cancelled'])

type Money = { readonly amount: string; readonly currency: string }
type Available = { readonly number: string; readonly productId: string; readonly oneTime?: Money }
type Reservation = { readonly id: string; readonly expiresAt: string }
type Order = {
  readonly id: string
  readonly state: string
  readonly outcomeReason?: string
  readonly oneTime: Money
  readonly items: readonly { readonly number: string; readonly state: string }[]
}

/**
 * One request. What changes something is sent with a key of its own, and sent again with the same key when no answer
 * came or the gateway says that it is worth another try: it is carried out once, whatever becomes of the answers.
 */
async function call<Answer>(method: string, path: string, body?: object): Promise<Answer> {
  const headers = {
    authorization: `Bearer ${key}`,
    ...(body !== undefined && { 'content-type': 'application/json', 'idempotency-key': randomUUID() }),
  }
  for (let attempt = 1; ; attempt += 1) {
    const response = await fetch(new URL(path, values.url), {
      method,
      headers,
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(20_000),
    }).catch(() => undefined)
    const answer: unknown = response === undefined ? undefined : await response.json().catch(() => undefined)
    // Checked by nobody here: a real app parses what it gets.
    if (response?.ok === true) return answer as Answer
    const retryAfter = response?.headers.get('retry-after')
    const isWorthIt = response === undefined || retryAfter !== null
    if (!isWorthIt || attempt === ATTEMPTS) throw new Error(`${method} ${path}: ${sayProblem(answer)}`)
    await wait(retryAfter === null || retryAfter === undefined ? 1_000 : Number(retryAfter) * 1_000)
  }
}

/** Problem details (RFC 9457): `code` is for programs, the rest for people. */
function sayProblem(answer: unknown): string {
  if (typeof answer !== 'object' || answer === null) return 'no answer'
  const { code, title, detail } = answer as { code?: string; title?: string; detail?: string }
  return `${code ?? 'unknown'}: ${detail ?? title ?? ''}`
}

async function follow(customer: string, placed: Order): Promise<Order> {
  let order = placed
  let told = ''
  for (;;) {
    if (order.state !== told) process.stdout.write(`order ${order.id}: ${order.state}\n`)
    if (FINAL.has(order.state)) return order
    told = order.state
    await wait(500)
    order = await call<Order>('GET', `${customer}/orders/${order.id}`)
  }
}

async function main(): Promise<void> {
  const count = Number(values.count)
  const { id } =
    values.customer === undefined
      ? await call<{ readonly id: string }>('POST', '/customers', { name: 'Example', country: 'US', currency: 'USD' })
      : { id: values.customer }
  const customer = `/customers/${id}`

  const query = new URLSearchParams({ country: values.country, currency: 'USD', limit: String(count) })
  if (values.area !== undefined) query.set('areaCode', values.area)
  const found = await call<readonly Available[]>('GET', `/numbers?${query.toString()}`)
  const productId = found[0]?.productId
  // An order is for one product.
  const wanted = found.filter((number) => number.productId === productId)
  if (productId === undefined || wanted.length < count) throw new Error(`there are only ${wanted.length} such numbers`)
  for (const { number, oneTime } of wanted) {
    process.stdout.write(`${number} for ${oneTime?.amount ?? '?'} ${oneTime?.currency ?? ''}\n`)
  }

  // From here on nobody else gets them, until the reservation ends.
  const numbers = wanted.map(({ number }) => number)
  const reservation = await call<Reservation>('POST', `${customer}/reservations`, { numbers })
  process.stdout.write(`held until ${reservation.expiresAt}\n`)

  const orders = `${customer}/orders/${productId}/numbers`
  const placed = await call<Order>('POST', `${orders}/reserve`, { reservationId: reservation.id })
  const order = await follow(customer, placed)
  if (order.state !== 'completed') throw new Error(order.outcomeReason ?? order.state)
  process.stdout.write(`in service: ${order.items.map(({ number }) => number).join(' ')}\n`)

  if (!values['give-back']) return
  const ending = await call<Order>('POST', `${orders}/delete`, { numbers, reason: 'only an example' })
  await follow(customer, ending)
}

await main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
})
