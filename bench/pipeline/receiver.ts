/** A process that receives webhooks and answers at once; started by `Child`. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { answerCalls } from '../webhooks/rig/child.ts'
import { Arrivals, type Timing } from './arrivals.ts'
import type { Schedule } from './schedule.ts'

const arrivals = new Arrivals()

const server = createServer({ keepAliveTimeout: 65_000 }, (req, res) => {
  const chunks: Buffer[] = []
  req.on('data', (chunk: Buffer) => chunks.push(chunk))
  req.on('end', () => {
    const [first] = chunks
    if (first !== undefined) arrivals.note((chunks.length === 1 ? first : Buffer.concat(chunks)).toString('latin1'))
    res.writeHead(200, { 'content-length': 0 }).end()
  })
})

const calls = {
  /** Returns the URL. */
  async listen(): Promise<string> {
    server.listen({ port: 0, host: '127.0.0.1', backlog: 1_024 })
    await once(server, 'listening')
    return calls.url()
  },
  url: (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
  begin: (schedule: Schedule) => arrivals.begin(schedule),
  arrived: () => arrivals.arrived,
  report: (timing: Timing) => arrivals.report(timing),
}

export type ReceiverCalls = typeof calls

answerCalls(calls)
