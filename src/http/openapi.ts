import type { Hono } from 'hono'
import { generateSpecs } from 'hono-openapi'
import type { OpenAPIV3_1 } from 'openapi-types'
import { VERSION } from '../core/version.ts'
import type { HttpEnv } from './context.ts'
import { describeWebhooks } from './openapi-webhooks.ts'

const DESCRIPTION = `Real-time call control for Cisco BroadWorks.

Operations and webhooks marked "Part of the calls API document" have that document's paths, fields,
types and statuses. Everything else is an addition: one call by its id, registration of webhooks and the
record of what became of their deliveries, the stream, the admin routes, further response fields, and
problem details (RFC 9457) as the body of every error.

The provisioning operations have the methods, paths and statuses of the Zilkr Provisioning API document, which
has nothing else: all fields, errors, pages and headers of them are ours. They take a provisioning key.

The Zipwhip operations have the paths, parameters and answers of Zipwhip's document "Provision Phone Numbers", errors
in its envelope included; what of them is ours is in their descriptions and in the provisioning guide.

The IDI operations have the fields, samples and errors of IDI's Provisioning Management API document, in its spelling;
each says whether its path is printed there or inferred.

App routes take \`Authorization: Bearer <api key>\`, admin routes the admin key, which app routes accept
too. An app sees its own subscribers only; anything else does not exist for it (404). Ids in paths are
percent-encoded. Bodies are JSON of at most 64 kB (256 kB for a webhook's settings), and unknown fields
are refused. Lists that come in pages answer with a \`cursor\` while there is more; send it back for the
next page.`

const TAGS = [
  { name: 'Calls', description: 'Place and manage subscriber calls' },
  { name: 'Webhooks', description: 'Where call and subscriber events are sent to' },
  { name: 'Deliveries', description: 'What became of each event for each webhook, and sending it again' },
  { name: 'Stream', description: 'The same events over WebSocket or server-sent events' },
  { name: 'Networks', description: 'Provider deployments and their health' },
  { name: 'Apps', description: 'Third-party applications and their keys' },
  { name: 'Subscribers', description: 'Which app may see and control which subscriber' },
  { name: 'Customers', description: 'Zilkr Provisioning API: accounts' },
  { name: 'Contacts', description: 'Zilkr Provisioning API: people at a customer' },
  { name: 'Payment methods', description: 'Zilkr Provisioning API: how a customer pays' },
  { name: 'Locations', description: 'Zilkr Provisioning API: sites of a customer' },
  { name: 'Inventory', description: 'Zilkr Provisioning API: what a customer has in service' },
  { name: 'Invoices', description: 'Zilkr Provisioning API: what completed orders cost' },
  { name: 'Products and countries', description: 'Zilkr Provisioning API: what can be ordered, and where' },
  { name: 'Orders', description: 'Zilkr Provisioning API: new service, and changes of service' },
  { name: 'Numbers and reservations', description: 'Zilkr Provisioning API: what is free, and holding it' },
  { name: 'Zipwhip', description: 'Zipwhip, Provision Phone Numbers: text enablement of single numbers' },
  { name: 'IDI: auxiliary data', description: 'IDI Provisioning Management API: lookups, and whether it is there' },
  { name: 'IDI: global information', description: 'IDI Provisioning Management API: values that scenarios share' },
  { name: 'IDI: installations', description: 'IDI Provisioning Management API: versions of providers' },
  { name: 'IDI: link types', description: 'IDI Provisioning Management API: what requests are linked to' },
  { name: 'IDI: profiles', description: 'IDI Provisioning Management API: what requests have done' },
  { name: 'IDI: providers', description: 'IDI Provisioning Management API: who does it, and what they can do' },
  { name: 'IDI: provisioned objects', description: 'IDI Provisioning Management API: what is known of objects' },
  {
    name: 'IDI: provisionable object definitions',
    description: 'IDI Provisioning Management API: what objects are like',
  },
  { name: 'IDI: batches', description: 'IDI Provisioning Management API: requests that belong together' },
  {
    name: 'IDI: provisioning requests',
    description: 'IDI Provisioning Management API: what is to be done, and its state',
  },
  { name: 'IDI: safeguards', description: 'IDI Provisioning Management API: what keeps requests from providers' },
  { name: 'IDI: variables', description: 'IDI Provisioning Management API: values with names' },
  { name: 'Provisioning administration', description: 'Keys, catalogue, numbers and what only the operator decides' },
  { name: 'Operation', description: 'Health, metrics, what the operator should hear of, and this description' },
]

/** The OpenAPI 3.1 document of all operations of `app`, from the schemas that validate their input. */
export async function generateOpenApi(app: Hono<HttpEnv>): Promise<OpenAPIV3_1.Document> {
  const { webhooks, schemas } = await describeWebhooks()
  const document = await generateSpecs(app, {
    excludeStaticFile: false,
    documentation: {
      info: {
        title: 'Callhalf API',
        version: VERSION,
        description: DESCRIPTION,
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      tags: TAGS,
      components: {
        securitySchemes: {
          apiKey: { type: 'http', scheme: 'bearer', description: 'A key of the app' },
          provisioningKey: {
            type: 'http',
            scheme: 'bearer',
            description: 'A provisioning key: it sees the customers of its app, or those it was issued for',
          },
          adminKey: { type: 'http', scheme: 'bearer', description: 'The admin key' },
        },
        schemas,
      },
      webhooks,
    },
  })
  return document
}
