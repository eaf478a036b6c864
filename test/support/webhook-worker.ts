/** A gateway process that only delivers webhooks: `node webhook-worker.ts <socket path> <endpoint as JSON>`. */
import { Redis } from 'ioredis'
import * as v from 'valibot'
import { AppIdSchema, EndpointIdSchema } from '../../src/core/ids.ts'
import { EndpointBook, startEngine } from './webhook-engine.ts'

const EndpointSchema = v.object({
  endpointId: EndpointIdSchema,
  appId: AppIdSchema,
  url: v.string(),
  enabled: v.boolean(),
  createdAt: v.number(),
  updatedAt: v.number(),
  secret: v.string(),
})

const [socketPath = '', json] = process.argv.slice(2)
const endpoint = v.parse(v.pipe(v.string(), v.parseJson(), EndpointSchema), json)
const connect = () => new Redis({ path: socketPath, maxRetriesPerRequest: null })
const book = new EndpointBook(endpoint.appId)
book.put(endpoint)
await startEngine({ connect }, book)
process.stdout.write('started\n')
