import * as v from 'valibot'
import { hasEachOnce, listField, nameField, optionalField } from '../../../provisioning/requests/model/fields.ts'
import type { AllowedIdChange } from '../../../provisioning/requests/store/safeguards.ts'

/** The document declares a text, and has a number in its samples: both are taken, and are the same id. */
const internalIdField = v.pipe(
  v.union(
    [
      nameField,
      v.pipe(v.number(), v.integer('must be a whole number'), v.minValue(0), v.maxValue(999_999_999_999_999)),
    ],
    'must be text with something in it, of up to 200 characters, or a whole number of up to 15 digits',
  ),
  v.transform(String),
)

/** An internal id that may be sent to providers while the environment is safeguarded. */
export const AllowedIdItem = v.object({
  allowedInternalID: v.pipe(
    v.union([v.string(), v.number()]),
    v.description('A number when it is one of up to 15 digits, as in the sample; text otherwise'),
  ),
})
/** Ids of which a number says all: no zero in front, and exact in JSON. */
const NUMERIC = /^(0|[1-9]\d{0,14})$/
export const toAllowedIdItem = (row: { readonly internal_id: string }): v.InferOutput<typeof AllowedIdItem> => ({
  allowedInternalID: NUMERIC.test(row.internal_id) ? Number(row.internal_id) : row.internal_id,
})

export const AllowedIdsBody = v.pipe(
  listField(
    v.strictObject({
      allowedInternalID: internalIdField,
      remove: v.pipe(optionalField(v.boolean()), v.description('true: it is allowed no longer')),
    }),
  ),
  v.check(
    (changes) => hasEachOnce(changes.map(({ allowedInternalID }) => allowedInternalID)),
    'must name each internal id once',
  ),
)
export const toAllowedIdChange = ({
  allowedInternalID,
  remove,
}: v.InferOutput<typeof AllowedIdsBody>[number]): AllowedIdChange => ({
  internalId: allowedInternalID,
  isAllowed: remove !== true,
})
