/**
 * Receives Callhalf's webhooks the way it should be done, and prints one line per event.
 *
 *   node examples/webhook-receiver.ts --secret whsec_… [--secret whsec_…] [--public-key whpk_…] [--port 9000]
 *
 * What it shows: verify over the raw body, answer at once and work afterwards, drop repetitions, never let
 * an older event overwrite what is known of a call, do not act on what came too late, and answer the
 * challenge that proves that this URL wants the webhooks. Needs nothing but Node.
 */
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { parseArgs } from 'node:util'
import { verifyWebhook, WebhookError } from './verify-webhook.ts'
import type { WebhookMessage } from './verify-webhook.ts'

const { values } = parseArgs({
  options: {
    secret: { type: 'string', multiple: true, default: [] },
    'public-key': { type: 'string', multiple: true, default: [] },
    port: { type: 'string', default: '9000' },
  },
})
const { secret: secrets, 'public-key': publicKeys } = values
if (secrets.length + publicKeys.length === 0) {
  process.stderr.write(
    'usage: node examples/webhook-receiver.ts --secret whsec_… [--public-key whpk_…] [--port 9000]\n',
  )
  process.exit(2)
}

const BODY_BYTES_MAX = 262_144
const REMEMBERED_MAX = 10_000

/**
 * The ids of what was taken in. A webhook may come more than once, always with the same id; a replay has it,
 * too. A real receiver keeps them where a restart does not lose them, in the transaction that does the
 * work, for some days.
 */
const seen = new Set<string>()

/** Where each live call's newest event stands, by subscriber and call. */
const newest = new Map<string, Place>()
type Place = { readonly epoch: number; readonly sequence: number }

async function receive(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const message = verifyWebhook({ headers: req.headers, body: await readBody(req), secrets, publicKeys })
  const challenge = challengeIn(message)
  if (challenge !== undefined) {
    // Whoever can verify and echo this owns the URL.
    res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ challenge }))
    return
  }
  // A repetition is answered like the first: the sender only wants to know that it arrived.
  const isRepetition = seen.has(message.id)
  remember(message.id)
  // 202: taken in. The sender waits for nothing but this, and the next event of the call waits for it, too.
  res.writeHead(202).end()
  if (!isRepetition) work(message)
}

/** What takes long belongs here, behind the answer; in a real receiver behind a queue of its own. */
function work(message: WebhookMessage): void {
  const { type, payload, skipped, expiresAt } = message
  // Our own queue may have been slow, or this was replayed. A phone that rang an hour ago needs no pop-up.
  if (expiresAt !== undefined && Date.now() > expiresAt) return print(message, 'expired: not acted on')
  if (!type.startsWith('call.')) return print(message)
  // Between two attempts nothing passes within a call, so what is out of order says so; but a process of
  // ours may have taken two events in at once. An older state never overwrites a newer one.
  if (!keepIfNewer(message)) return print(message, 'older than what is known: kept for the history only')
  // Nothing is missing that matters for the state, because each event has the whole call. Whoever needs
  // every single change asks for those skipped with POST /apps/{app_id}/deliveries/{delivery_id}/replay.
  if (skipped.length > 0) return print(message, `not delivered before: ${skipped.join(', ')}`)
  if (textOf(payload, 'state') === 'ringing') return print(message, 'somebody should answer')
  print(message)
}

/** Whether the event is newer than what is known of its call; it is the newest from then on. */
function keepIfNewer({ payload, position, sequence = 0 }: WebhookMessage): boolean {
  const key = `${textOf(payload, 'network_id')} ${textOf(payload, 'subscriber_id')} ${textOf(payload, 'call_id')}`
  // Sequence numbers begin anew with a new epoch (when the gateway had to read its calls again), so the
  // epoch counts first. Holes in the numbers are no loss: a filter leaves out, too.
  const place = { epoch: position?.epoch ?? 0, sequence }
  const known = newest.get(key)
  const isNewer =
    known === undefined || place.epoch > known.epoch || (place.epoch === known.epoch && place.sequence > known.sequence)
  if (!isNewer) return false
  newest.delete(key)
  newest.set(key, place)
  if (newest.size > REMEMBERED_MAX) newest.delete(newest.keys().next().value ?? '')
  return true
}

function remember(id: string): void {
  seen.add(id)
  if (seen.size > REMEMBERED_MAX) seen.delete(seen.keys().next().value ?? '')
}

/** The text to echo when this is no event but the question whether the URL wants webhooks at all. */
function challengeIn({ payload }: WebhookMessage): string | undefined {
  if (fieldOf(payload, 'type') !== 'webhook.challenge') return undefined
  const challenge = fieldOf(fieldOf(payload, 'data'), 'challenge')
  return typeof challenge === 'string' ? challenge : undefined
}

async function readBody(req: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of req) {
    if (!Buffer.isBuffer(chunk)) continue
    bytes += chunk.length
    if (bytes > BODY_BYTES_MAX) throw new Error('the body is too large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function print({ type, payload, sequence }: WebhookMessage, remark = ''): void {
  process.stdout.write(
    `${[new Date().toISOString(), type, ...describe(type, payload, sequence), remark].join(' ').trim()}\n`,
  )
}

/** Whom it is about, and what. */
function describe(type: string, payload: unknown, sequence: number | undefined): readonly string[] {
  const text = (name: string): string => textOf(payload, name)
  switch (type.slice(0, type.indexOf('.'))) {
    case 'subscriber':
      return [text('subscriber_id'), text('subscriber_number')]
    case 'order':
      return [text('customer_id'), text('order_id'), text('state')]
    case 'number':
      return [text('customer_id'), text('number'), text('state')]
    default:
      return [text('subscriber_id'), text('call_id'), `#${sequence ?? '-'}`, text('direction'), text('remote_number')]
  }
}

const fieldOf = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined

function textOf(payload: unknown, name: string): string {
  const value = fieldOf(payload, name)
  return typeof value === 'string' ? value : '-'
}

const server = createServer((req, res) => {
  receive(req, res).catch((error: unknown) => {
    process.stderr.write(`refused: ${error instanceof Error ? error.message : String(error)}\n`)
    // 401 tells the sender to try again later; a wrong secret of ours is mended without losing anything.
    if (!res.headersSent) res.writeHead(error instanceof WebhookError ? 401 : 400).end()
  })
})
server.listen(Number(values.port), () => {
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : values.port
  process.stdout.write(`listening on port ${port}\n`)
})
