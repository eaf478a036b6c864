/** A process that receives webhooks and answers as told; started by {@link Child}. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { answerCalls } from './child.ts'
import { preciseNow } from './figures.ts'

/** How a port answers; 200 at once where nothing is said. */
export type Behaviour = {
  /** Waits for so long before it answers: uniform between the two. */
  readonly answerAfterMs?: readonly [number, number]
  /** This share of the requests is answered with 503. */
  readonly failRatio?: number
  /** This share of the requests is not answered for `hangMs`. */
  readonly hangRatio?: number
  readonly hangMs?: number
  /** Requests that say they are the first attempt are answered with 503. */
  readonly failsFirst?: boolean
  /** The status of every answer. */
  readonly status?: number
}

/** A request as it arrived, complete. */
export type Arrival = {
  /** Which of the ports, from 0. */
  readonly port: number
  readonly at: number
  readonly messageId: string
  readonly type: string
  readonly callId: string
  readonly sequence: number
  readonly emittedAt: number
  readonly attempt: number
  readonly expiresAt: number
  readonly skipped: string
  readonly isParked: boolean
  /** The `user-agent`: which worker it came from. */
  readonly from: string
  /** `hung`: not answered at all; `cut`: the sender went away first. */
  answer: 'pending' | 'ok' | 'failed' | 'hung' | 'cut'
  answeredAt: number
}

export type Counts = {
  readonly received: number
  readonly ok: number
  /** Requests under way now, and the most there were, by port. */
  readonly open: readonly number[]
  readonly openMax: readonly number[]
}

type Payload = { readonly call_id?: string; readonly sequence_number?: string; readonly emitted_at?: number }

const servers: Server[] = []
const numbers: number[] = []
const behaviours: Behaviour[] = []
const open: number[] = []
const openMax: number[] = []
let arrivals: Arrival[] = []
let received = 0
let ok = 0
let keeps = true

async function receive(req: IncomingMessage, res: ServerResponse, port: number): Promise<void> {
  const chunks: Buffer[] = []
  try {
    for await (const chunk of req) if (Buffer.isBuffer(chunk)) chunks.push(chunk)
  } catch {
    return
  }
  received += 1
  open[port] = (open[port] ?? 0) + 1
  openMax[port] = Math.max(openMax[port] ?? 0, open[port])
  res.once('close', () => {
    open[port] = (open[port] ?? 1) - 1
  })
  if (!keeps) {
    ok += 1
    res.writeHead(200).end()
    return
  }
  const arrival = toArrival(req, JSON.parse(Buffer.concat(chunks).toString()) as Payload, port)
  arrivals.push(arrival)
  answer(arrival, res, behaviours[port] ?? {})
}

function answer(arrival: Arrival, res: ServerResponse, behaviour: Behaviour): void {
  const { answerAfterMs, failRatio = 0, hangRatio = 0, hangMs = 30_000, failsFirst = false } = behaviour
  const draw = Math.random()
  const hangs = draw < hangRatio
  const fails = draw < hangRatio + failRatio || (failsFirst && arrival.attempt === 1)
  const status = behaviour.status ?? (fails ? 503 : 200)
  const [least, most] = answerAfterMs ?? [0, 0]
  const waitMs = hangs ? hangMs : least + Math.random() * (most - least)
  if (hangs) arrival.answer = 'hung'
  const send = () => {
    if (res.destroyed) return
    arrival.answer = status < 300 ? 'ok' : 'failed'
    arrival.answeredAt = preciseNow()
    if (status < 300) ok += 1
    res.writeHead(status).end()
  }
  if (waitMs === 0) return send()
  const timer = setTimeout(send, waitMs)
  res.once('close', () => {
    clearTimeout(timer)
    if (arrival.answer === 'pending') arrival.answer = 'cut'
  })
}

function toArrival(req: IncomingMessage, payload: Payload, port: number): Arrival {
  const header = (name: string) => String(req.headers[name] ?? '')
  return {
    port,
    at: preciseNow(),
    messageId: header('webhook-id'),
    type: header('callhalf-event'),
    callId: payload.call_id ?? '',
    sequence: Number(payload.sequence_number),
    emittedAt: payload.emitted_at ?? 0,
    attempt: Number(header('callhalf-attempt')),
    expiresAt: Number(header('callhalf-expires')),
    skipped: header('callhalf-skipped'),
    isParked: header('callhalf-parked') === '1',
    from: header('user-agent'),
    answer: 'pending',
    answeredAt: 0,
  }
}

/** Opens the ports, those used before again. */
async function listen(count: number): Promise<readonly number[]> {
  for (let port = 0; port < count; port += 1) {
    if (servers[port]?.listening === true) continue
    const server = createServer({ keepAliveTimeout: 65_000 }, (req, res) => void receive(req, res, port))
    server.listen({ port: numbers[port] ?? 0, host: '127.0.0.1', backlog: 1_024 })
    await once(server, 'listening')
    servers[port] = server
    numbers[port] = (server.address() as AddressInfo).port
  }
  return numbers
}

/** Closes the ports: connections are refused from now on. */
async function refuse(): Promise<void> {
  for (const server of servers) {
    server.closeAllConnections()
    server.close()
    if (server.listening) await once(server, 'close')
  }
}

const calls = {
  listen,
  refuse,
  /** By port; those missing behave as before. */
  behave(changes: Readonly<Record<number, Behaviour>>) {
    for (const [port, behaviour] of Object.entries(changes)) behaviours[Number(port)] = behaviour
  },
  /** Whether arrivals are remembered; without, every request is answered with 200 at once. */
  keep(value: boolean) {
    keeps = value
  },
  counts: (): Counts => ({ received, ok, open, openMax }),
  /** What has arrived since the last `take`. */
  take(): readonly Arrival[] {
    const taken = arrivals
    arrivals = []
    return taken
  },
  /** How many arrivals the next `take` gives. */
  held: () => arrivals.length,
}

export type ReceiverCalls = typeof calls

answerCalls(calls)
