import * as v from 'valibot'
import type { ApiKey, App, IssuedApiKey } from '../../core/app.ts'
import { ShardSchema } from '../../core/ids.ts'
import { milliseconds, nameField } from './fields.ts'

export const NewAppSchema = v.pipe(
  v.strictObject({
    name: nameField,
    shard: v.optional(v.pipe(ShardSchema, v.description('Where its events are kept; must equal that of its networks'))),
  }),
  v.metadata({ ref: 'NewApp', title: 'An app to create' }),
)

const appFields = {
  app_id: v.string(),
  name: v.string(),
  shard: v.string(),
  created_at: milliseconds,
}
export const AppResourceSchema = v.pipe(v.object(appFields), v.metadata({ ref: 'App', title: 'An app' }))

const keyFields = {
  key_id: v.string(),
  name: v.optional(v.string()),
  prefix: v.pipe(v.string(), v.description('The first characters of the key, to recognise it')),
  created_at: milliseconds,
}
const apiKey = v.pipe(v.string(), v.description('The key itself: shown this once, kept only as a hash'))

export const NewApiKeySchema = v.pipe(
  v.strictObject({ name: v.optional(nameField) }),
  v.metadata({ ref: 'NewApiKey', title: 'An API key to issue' }),
)
export const ApiKeyResourceSchema = v.pipe(v.object(keyFields), v.metadata({ ref: 'ApiKey', title: 'An API key' }))
export const IssuedApiKeySchema = v.pipe(
  v.object({ ...keyFields, api_key: apiKey }),
  v.metadata({ ref: 'IssuedApiKey', title: 'A new API key' }),
)
export const CreatedAppSchema = v.pipe(
  v.object({ ...appFields, key_id: v.string(), api_key: apiKey }),
  v.metadata({ ref: 'CreatedApp', title: 'A new app with its first API key' }),
)

export const toAppResource = (app: App): v.InferOutput<typeof AppResourceSchema> => ({
  app_id: app.appId,
  name: app.name,
  shard: app.shard,
  created_at: app.createdAt,
})

export const toApiKeyResource = (key: ApiKey): v.InferOutput<typeof ApiKeyResourceSchema> => ({
  key_id: key.keyId,
  ...(key.name !== undefined && { name: key.name }),
  prefix: key.prefix,
  created_at: key.createdAt,
})

export const toIssuedApiKey = (key: IssuedApiKey): v.InferOutput<typeof IssuedApiKeySchema> => ({
  ...toApiKeyResource(key),
  api_key: key.apiKey,
})
