/** A process with one client of an app's stream, as an app would have it; started by `Child`. */
import { once } from 'node:events'
import { WebSocket } from 'ws'
import { answerCalls } from '../webhooks/rig/child.ts'
import { Arrivals, type Timing } from './arrivals.ts'
import type { Schedule } from './schedule.ts'

const arrivals = new Arrivals()
let socket: WebSocket | undefined
let ended: string | undefined

const calls = {
  /** Resolves once the stream has begun. */
  async connect({ url, key }: { readonly url: string; readonly key: string }): Promise<void> {
    const opened = new WebSocket(url, { headers: { authorization: `Bearer ${key}` } })
    socket = opened
    opened.on('error', (error) => (ended = error.message))
    opened.on('close', (code, reason) => (ended = `${code} ${reason.toString()}`))
    await once(opened, 'open')
    opened.send(JSON.stringify({ op: 'subscribe', after: null }))
    await once(opened, 'message')
    opened.on('message', (data: Buffer) => arrivals.note(data.toString('latin1')))
  },
  begin: (schedule: Schedule) => arrivals.begin(schedule),
  arrived() {
    if (ended !== undefined) throw new Error(`the stream has ended: ${ended}`)
    return arrivals.arrived
  },
  report: (timing: Timing) => arrivals.report(timing),
}

export type StreamReaderCalls = typeof calls

answerCalls(calls, async () => socket?.terminate())
