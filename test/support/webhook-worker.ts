/**
 * A gateway process that only delivers webhooks: `node webhook-worker.ts <socket path> <endpoint as JSON>`.
 * It prints `started`, and on SIGTERM ends as the gateway does.
 */
import { Redis } from 'ioredis'
import * as v from 'valibot'
import { AppIdSchema, EndpointIdSchema } from '../../src/core/ids.ts'
import { EndpointBook, startEngine } from './webhook-engine.ts'

const EndpointSchema = v.object({
  endpointId: EndpointIdSchema,
  appId: AppIdSchema,
  url: v.string(),
  secret: v.string(),
  policies: v.record(v.string(), v.object({ delaysMs: v.array(v.number()) })),
})

const [socketPath = '', json] = process.argv.slice(2)
const endpoint = v.parse(v.pipe(v.string(), v.parseJson(), EndpointSchema), json)
const clients: Redis[] = []
const connect = () => {
  const client = new Redis({ path: socketPath, maxRetriesPerRequest: null })
  clients.push(client)
  return client
}
const book = new EndpointBook(endpoint.appId)
book.add(endpoint.url, endpoint)
const engine = await startEngine({ connect }, book)
const stop = async (): Promise<void> => {
  await engine.stop()
  // The event log's are open still.
  for (const client of clients) client.disconnect()
}
process.once('SIGTERM', () => void stop())
process.stdout.write('started\n')
