import * as v from 'valibot'
import { hasEachOnce, listField, optionalField } from '../../../provisioning/requests/model/fields.ts'
import type { AllowedIdChange } from '../../../provisioning/requests/store/safeguards.ts'
import { internalId, internalIdField, toInternalId } from './fields.ts'

/** An internal id that may be sent to providers while the environment is safeguarded. */
export const AllowedIdItem = v.object({ allowedInternalID: internalId })
export const toAllowedIdItem = (row: { readonly internal_id: string }): v.InferOutput<typeof AllowedIdItem> => ({
  allowedInternalID: toInternalId(row.internal_id),
})

/** Internal ids to be allowed, or allowed no longer. */
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
