import * as v from 'valibot'
import { idField, nameField } from '../../../provisioning/requests/model/fields.ts'
import type { LinkType } from '../../../provisioning/requests/store/link-types.ts'
import { EnvironmentParams } from './environments.ts'

const text = (description: string) => v.pipe(nameField, v.description(description))
const CallbackBody = v.strictObject({
  callbackId: v.pipe(idField, v.description('Yours')),
  relativePath: text('At the service'),
  service: text('Who is to be told'),
  serviceVersion: text('Of the service'),
})

export const LinkTypeParams = v.strictObject({
  ...EnvironmentParams.entries,
  linkTypeId: v.pipe(
    v.string(),
    v.regex(/^[1-9]\d{0,8}$/, 'must be a whole number from 1'),
    v.transform(Number),
    v.description('By which requests name it'),
  ),
})
export const LinkTypeBody = v.pipe(
  v.strictObject({
    name: text('Another one of the environment must not have it'),
    provisioningRequestCallback: v.pipe(
      v.optional(CallbackBody),
      v.description('Of the end of each request that has such a link'),
    ),
    provisioningRequestBatchCallback: v.pipe(
      v.optional(CallbackBody),
      v.description('Of the end of each batch with such a request'),
    ),
  }),
  v.metadata({ ref: 'LinkTypeBody', title: 'What requests can be linked to, and who is told of their end' }),
)

export const toLinkType = (linkTypeId: number, body: v.InferOutput<typeof LinkTypeBody>): LinkType => ({
  linkTypeId,
  name: body.name,
  ...(body.provisioningRequestCallback !== undefined && { requestCallback: body.provisioningRequestCallback }),
  ...(body.provisioningRequestBatchCallback !== undefined && { batchCallback: body.provisioningRequestBatchCallback }),
})
