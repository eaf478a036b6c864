import * as v from 'valibot'
import type { Environment, EnvironmentAccount } from '../../../provisioning/requests/store/environments.ts'
import { idField, timestamp, toTimestamp } from '../../zilkr/schemas/fields.ts'

const nameField = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, 'must be 1 to 64 letters, digits, - and _'),
  v.description('As in the paths of the IDI API; capital letters do not matter'),
)
const accountField = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(Number.MAX_SAFE_INTEGER))

export const EnvironmentParams = v.strictObject({ environment: nameField })
export const AccountParams = v.strictObject({
  ...EnvironmentParams.entries,
  accountNumber: v.pipe(
    v.string(),
    v.regex(/^[1-9]\d{0,14}$/, 'must be a whole number from 1'),
    v.transform(Number),
    v.description('The number by which requests name the account'),
  ),
})
export const EnvironmentBody = v.pipe(
  v.strictObject({
    appId: v.pipe(v.optional(idField), v.description('Whose keys see it and whose webhooks hear of it')),
  }),
  v.metadata({ ref: 'EnvironmentBody', title: 'Whose an environment is' }),
)
export const AccountBody = v.pipe(
  v.strictObject({ customerId: v.pipe(idField, v.description('A customer of the same app')) }),
  v.metadata({ ref: 'EnvironmentAccountBody', title: 'Which customer an account is' }),
)
export const EnvironmentSchema = v.pipe(
  v.object({
    environment: nameField,
    appId: v.optional(idField),
    isSafeguarded: v.pipe(v.boolean(), v.description('Whether only requests of allowed internal ids reach providers')),
    createdAt: timestamp,
  }),
  v.metadata({ ref: 'Environment', title: 'An environment' }),
)
export const AccountSchema = v.pipe(
  v.object({ accountNumber: accountField, customerId: idField }),
  v.metadata({ ref: 'EnvironmentAccount', title: 'An account of an environment' }),
)

export const toEnvironmentResource = (environment: Environment): v.InferOutput<typeof EnvironmentSchema> => ({
  environment: environment.name,
  ...(environment.appId !== undefined && { appId: environment.appId }),
  isSafeguarded: environment.isSafeguarded,
  createdAt: toTimestamp(environment.createdAt),
})
export const toAccountResource = (account: EnvironmentAccount): v.InferOutput<typeof AccountSchema> => ({ ...account })
