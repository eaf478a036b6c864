/** A process with many clients of one server; started by `Child`. */
import { constants, setPriority } from 'node:os'
import { answerCalls } from '../webhooks/rig/child.ts'
import { preciseNow, summarise } from '../webhooks/rig/figures.ts'
import { DIALECTS, type Dialect } from './dialects.ts'
import { RawClient } from './raw-client.ts'

export type Server = {
  readonly dialect: Dialect
  readonly port: number
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
}

/** Connections being opened at a time. */
const OPENING_MAX = 64
const EMITTED_AT = Buffer.from('"emitted_at":')
const POSITION = /"position":(\{[^}]*\})/
const READY_TIMEOUT_MS = 60_000

const clients = new Set<RawClient>()
const ready = new WeakMap<RawClient, () => void>()
let frames = 0
let latencies: number[] | undefined
let lost = 0
const closeCodes = new Map<number, number>()
/** What the last event said its position was. */
let position = 'null'

function onText(server: Server, text: Buffer, client: RawClient): void {
  const meaning = DIALECTS[server.dialect].hear(text, client)
  if (meaning === 'ready') ready.get(client)?.()
  if (meaning !== 'event') return
  frames += 1
  if (latencies === undefined) return
  const at = text.indexOf(EMITTED_AT)
  if (at === -1) return
  const from = at + EMITTED_AT.length
  latencies.push(preciseNow() - Number.parseFloat(text.toString('latin1', from, from + 20)))
  position = POSITION.exec(text.toString('latin1', 0, 200))?.[1] ?? position
}

function onClose(client: RawClient, code: number | undefined): void {
  if (clients.delete(client)) lost += 1
  if (code !== undefined) closeCodes.set(code, (closeCodes.get(code) ?? 0) + 1)
}

async function openOne(server: Server, after: string): Promise<void> {
  const { dialect, port, path, headers = {} } = server
  const speech = DIALECTS[dialect]
  const isReady = Promise.withResolvers<void>()
  const client = new RawClient({
    port,
    path,
    headers,
    onText: (text, from) => onText(server, text, from),
    isWhole: () => latencies !== undefined,
    onClose: (from, code) => {
      onClose(from, code)
      isReady.reject(new Error('a client was refused'))
    },
  })
  ready.set(client, () => isReady.resolve())
  const timer = setTimeout(() => isReady.reject(new Error('a client was not let in')), READY_TIMEOUT_MS)
  // It may be refused while the upgrade is waited for.
  isReady.promise.catch(() => undefined)
  try {
    await client.opened
    clients.add(client)
    speech.greet(client, after)
    if (!speech.isReadyWhenOpen) await isReady.promise
  } finally {
    clearTimeout(timer)
    ready.delete(client)
  }
}

const calls = {
  /** Leaves the processors to others first, as if it were on another machine. */
  giveWay(): void {
    setPriority(constants.priority.PRIORITY_BELOW_NORMAL)
  },
  /** Opens so many more; resolves when the server has let all of them in, with how long that took. */
  async open({ server, count }: { readonly server: Server; readonly count: number }): Promise<number> {
    const startedAt = performance.now()
    let left = count
    const lane = async () => {
      while (left > 0) {
        left -= 1
        await openOne(server, 'null')
      }
    }
    await Promise.all(Array.from({ length: Math.min(count, OPENING_MAX) }, lane))
    return performance.now() - startedAt
  },
  /** Cuts all connections and opens as many again at once, after the last position that was heard of. */
  async reconnect(
    server: Server,
  ): Promise<{ readonly count: number; readonly seconds: number; readonly refused: number }> {
    const count = clients.size
    calls.cut()
    const startedAt = performance.now()
    const results = await Promise.allSettled(Array.from({ length: count }, () => openOne(server, position)))
    const refused = results.filter(({ status }) => status === 'rejected').length
    return { count, seconds: (performance.now() - startedAt) / 1_000, refused }
  },
  /** Cuts all connections. */
  cut(): void {
    const cut = [...clients]
    clients.clear()
    for (const client of cut) client.destroy()
  },
  /** Stops reading. */
  pause(): void {
    for (const client of clients) client.socket.pause()
  },
  /** Events so far. */
  frames: () => frames,
  /** Looks at the time in every event from now on; to be asked for before there are any. */
  watchLatency(value: boolean): void {
    latencies = value ? [] : undefined
  },
  /** From the emission of events to their arrival since the last question; how many clients were cut off by the server. */
  latency() {
    const summary = summarise(latencies ?? [])
    if (latencies !== undefined) latencies = []
    const result = { ...summary, open: clients.size, lost, closeCodes: Object.fromEntries(closeCodes) }
    lost = 0
    closeCodes.clear()
    return result
  },
}

export type ClientsCalls = typeof calls

answerCalls(calls)
