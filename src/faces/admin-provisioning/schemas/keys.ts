import * as v from 'valibot'
import { AppIdSchema } from '../../../core/ids.ts'
import { milliseconds, nameField } from '../../../http/schemas/fields.ts'
import type { ProvisioningKey } from '../../../provisioning/store/keys.ts'
import { idField } from '../../zilkr/schemas/fields.ts'

/** As the other routes about apps have it: snake case, times in milliseconds. */
const keyFields = {
  key_id: v.string(),
  name: v.optional(v.string()),
  prefix: v.pipe(v.string(), v.description('The first characters of the key, to recognise it')),
  customer_ids: v.pipe(
    v.optional(v.array(v.string())),
    v.description("The only customers that it sees; absent: all of its app's, also later ones"),
  ),
  created_at: milliseconds,
}

export const AppKeysParams = v.strictObject({ app_id: v.pipe(AppIdSchema, v.description('The app')) })
export const AppKeyParams = v.strictObject({
  ...AppKeysParams.entries,
  key_id: v.pipe(v.string(), v.maxLength(64), v.description('The provisioning key, by its id')),
})
export const NewProvisioningKeySchema = v.pipe(
  v.strictObject({
    name: v.optional(nameField),
    customer_ids: v.pipe(
      v.optional(
        v.pipe(
          v.array(idField),
          v.minLength(1, 'must name at least one customer'),
          v.maxLength(500, 'may name up to 500 customers'),
        ),
      ),
      v.description('The only customers that it may see, which must be of the app; one alone for the Zipwhip API'),
    ),
  }),
  v.metadata({ ref: 'NewProvisioningKey', title: 'A provisioning key to issue' }),
)
export const ProvisioningKeySchema = v.pipe(
  v.object(keyFields),
  v.metadata({ ref: 'ProvisioningKey', title: 'A provisioning key' }),
)
export const IssuedProvisioningKeySchema = v.pipe(
  v.object({
    ...keyFields,
    provisioning_key: v.pipe(v.string(), v.description('The key itself: shown this once, kept only as a hash')),
  }),
  v.metadata({ ref: 'IssuedProvisioningKey', title: 'A new provisioning key' }),
)

export const toKeyResource = (key: ProvisioningKey): v.InferOutput<typeof ProvisioningKeySchema> => ({
  key_id: key.keyId,
  ...(key.name !== undefined && { name: key.name }),
  prefix: key.prefix,
  ...(key.customerIds !== undefined && { customer_ids: [...key.customerIds] }),
  created_at: key.createdAt,
})
