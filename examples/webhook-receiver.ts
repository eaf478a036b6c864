/**
 * Receives Callhalf's webhooks, verifies them, and prints one line per event.
 *
 *   node examples/webhook-receiver.ts --secret whsec_… --port 9000
 *
 * Needs nothing but Node. Any Standard Webhooks library does the same as `isAuthentic`.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { parseArgs } from 'node:util'

const { values } = parseArgs({ options: { secret: { type: 'string' }, port: { type: 'string', default: '9000' } } })
if (values.secret === undefined) {
  process.stderr.write('usage: node examples/webhook-receiver.ts --secret whsec_… [--port 9000]\n')
  process.exit(2)
}
const key = Buffer.from(values.secret.replace(/^whsec_/, ''), 'base64')
const BODY_BYTES_MAX = 65_536
const TOLERANCE_SECONDS = 300

/** The last ids seen: a webhook may come more than once, always with the same id. */
const seen = new Set<string>()

function isAuthentic(id: string, timestamp: string, signatures: string, body: string): boolean {
  if (!(Math.abs(Date.now() / 1_000 - Number(timestamp)) <= TOLERANCE_SECONDS)) return false
  const expected = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest()
  return signatures.split(' ').some((entry) => {
    const given = Buffer.from(entry.replace(/^v1,/, ''), 'base64')
    return entry.startsWith('v1,') && given.length === expected.length && timingSafeEqual(given, expected)
  })
}

async function readBody(req: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of req) {
    if (!Buffer.isBuffer(chunk)) continue
    bytes += chunk.length
    if (bytes > BODY_BYTES_MAX) throw new Error('the body is too large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

function print(event: string, body: string): void {
  const payload: unknown = JSON.parse(body)
  const text = (name: string): string => {
    const value: unknown = typeof payload === 'object' && payload !== null ? Reflect.get(payload, name) : undefined
    return typeof value === 'string' ? value : '-'
  }
  const call = `${text('call_id')} #${text('sequence_number')} ${text('direction')} ${text('remote_number')}`
  const subject = event === 'subscriber.assigned' ? text('subscriber_number') : call
  process.stdout.write(`${new Date().toISOString()} ${event} ${text('subscriber_id')} ${subject}\n`)
}

async function receive(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const header = (name: string): string => String(req.headers[name] ?? '')
  const body = await readBody(req)
  const id = header('webhook-id')
  if (!isAuthentic(id, header('webhook-timestamp'), header('webhook-signature'), body)) {
    res.writeHead(401).end()
    return
  }
  // Answer first: work that takes long belongs after the answer.
  res.writeHead(200).end()
  if (seen.has(id)) return
  seen.add(id)
  if (seen.size > 10_000) seen.delete([...seen][0] ?? '')
  print(header('callhalf-event'), body)
}

const server = createServer((req, res) => {
  receive(req, res).catch(() => res.headersSent || res.writeHead(400).end())
})
server.listen(Number(values.port), () => {
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : values.port
  process.stdout.write(`listening on port ${port}\n`)
})
