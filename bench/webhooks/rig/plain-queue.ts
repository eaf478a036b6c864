/**
 * What one would write with BullMQ alone: a job per delivery with the payload in it, a worker that POSTs.
 * No order, no signature, no records. Started by {@link Child}.
 */
import { Worker } from 'bullmq'
import { Redis } from 'ioredis'
import { Agent, request } from 'undici'
import { answerCalls } from './child.ts'

export const PLAIN_QUEUE = 'plain'
export type PlainJob = { readonly url: string; readonly payload: string }

let worker: Worker<PlainJob> | undefined
let connection: Redis | undefined
let done = 0

const calls = {
  async start({ socketPath, concurrency }: { readonly socketPath: string; readonly concurrency: number }) {
    connection = new Redis({ path: socketPath, maxRetriesPerRequest: null })
    const agent = new Agent({ connections: 64, pipelining: 1, allowH2: false })
    worker = new Worker<PlainJob>(
      PLAIN_QUEUE,
      async ({ data }) => {
        const { body } = await request(data.url, {
          method: 'POST',
          dispatcher: agent,
          headers: { 'content-type': 'application/json' },
          body: data.payload,
        })
        await body.dump()
        done += 1
      },
      { connection, concurrency },
    )
    worker.on('error', (error) => process.stderr.write(`plain worker: ${error.message}\n`))
    await worker.waitUntilReady()
  },
  usage() {
    const { user, system } = process.cpuUsage()
    return { cpuUs: user + system, done }
  },
}

export type PlainQueueCalls = typeof calls

answerCalls(calls, async () => {
  await worker?.close()
  connection?.disconnect()
})
