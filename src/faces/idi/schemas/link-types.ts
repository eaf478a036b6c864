import * as v from 'valibot'
import type { LinkType } from '../../../provisioning/requests/store/link-types.ts'
import { id, idInPath } from './fields.ts'

export const LinkTypeParams = v.strictObject({ linkTypeId: idInPath('link type') })

const CallbackAnswer = v.object({
  callbackId: id,
  relativePath: v.string(),
  service: v.string(),
  serviceVersion: v.string(),
})

/** What requests can be linked to, in a list. */
export const LinkTypeItem = v.object({ linkTypeId: id, name: v.string() })
/** With whom is told of the end of what is linked. */
export const LinkTypeAnswer = v.object({
  ...LinkTypeItem.entries,
  provisioningRequestBatchCallback: v.optional(CallbackAnswer),
  provisioningRequestCallback: v.optional(CallbackAnswer),
})

export const toLinkTypeItem = ({
  linkTypeId,
  name,
}: Pick<LinkType, 'linkTypeId' | 'name'>): v.InferOutput<typeof LinkTypeItem> => ({ linkTypeId, name })

export const toLinkTypeAnswer = ({
  batchCallback,
  requestCallback,
  ...linkType
}: LinkType): v.InferOutput<typeof LinkTypeAnswer> => ({
  ...toLinkTypeItem(linkType),
  ...(batchCallback !== undefined && { provisioningRequestBatchCallback: batchCallback }),
  ...(requestCallback !== undefined && { provisioningRequestCallback: requestCallback }),
})
