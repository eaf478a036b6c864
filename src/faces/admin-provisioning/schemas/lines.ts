import * as v from 'valibot'
import type { OptOut } from '../../../provisioning/store/opt-outs.ts'
import { idField, numberField, timeField } from '../../zilkr/schemas/fields.ts'

/** Clocks differ; a word from the future would outlive all that come after it. */
const AHEAD_MAX_MS = 5 * 60_000

const optOutSchema = (now: () => number) =>
  v.strictObject({
    line: v.pipe(numberField, v.description("The customer's line that was asked")),
    number: v.pipe(numberField, v.description('The wireless number that asked')),
    state: v.pipe(v.picklist(['stop', 'unstop']), v.description('No more text messages, or messages again')),
    at: v.pipe(
      timeField,
      v.check((text) => Date.parse(text) <= now() + AHEAD_MAX_MS, 'must not be in the future'),
      v.description('When it was asked; an older word than the one that is known changes nothing'),
    ),
  })

export const optOutsBody = (now: () => number) =>
  v.pipe(
    v.strictObject({
      optOuts: v.pipe(
        v.array(optOutSchema(now)),
        v.minLength(1, 'must have at least one'),
        v.maxLength(1_000, 'may have up to 1000'),
      ),
    }),
    v.metadata({ ref: 'OptOuts', title: 'What recipients of text messages asked for' }),
  )

export const toOptOut = ({ at, ...given }: Omit<OptOut, 'updatedAt'> & { readonly at: string }): OptOut => ({
  ...given,
  updatedAt: Date.parse(at),
})

export const SecretBody = v.pipe(
  v.strictObject({ secret: v.pipe(v.string(), v.minLength(1), v.maxLength(256)) }),
  v.metadata({ ref: 'LineSecret', title: 'A session key or a password of a line' }),
)
export const VerdictSchema = v.pipe(
  v.object({
    isGood: v.boolean(),
    kind: v.optional(v.picklist(['session_key', 'password'])),
    customerId: v.optional(idField),
    number: v.pipe(v.optional(v.string()), v.description('The line that it is of')),
  }),
  v.metadata({ ref: 'LineSecretVerdict', title: 'Whose secret it is' }),
)
