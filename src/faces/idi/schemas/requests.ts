import * as v from 'valibot'
import type { NewRequest } from '../../../provisioning/requests/model/new-request.ts'
import {
  idField,
  listField,
  nameField,
  optionalField,
  valueField,
} from '../../../provisioning/requests/model/fields.ts'
import type { ProvisioningRequest } from '../../../provisioning/requests/store/requests.ts'
import { authorship, id, idInPath, internalIdField, present, timeField, timestamp, toAuthorship } from './fields.ts'

/** Of the path of a request; ids of requests and batches may be greater than those of other things. */
export const RequestParams = v.strictObject({
  provisioningRequestId: idInPath('provisioning request', Number.MAX_SAFE_INTEGER),
})
export const BatchParams = v.strictObject({
  provisioningBatchId: idInPath('batch', Number.MAX_SAFE_INTEGER),
})

/** Of what there may be more of than fits into 31 bits. */
const longIdField = v.pipe(v.number(), v.safeInteger(), v.minValue(1))

const described = <Schema extends v.GenericSchema>(schema: Schema, description: string) =>
  v.pipe(optionalField(schema), v.description(description))

const LinkBody = v.strictObject({
  linkTypeID: v.pipe(idField, v.description('By which the end of the request is told, if the type has a callback')),
  linkType: described(v.string(), 'Its name; the id decides'),
  linkValue: v.pipe(valueField, v.description('What it is linked to; yours')),
})
const ItemBody = v.strictObject({
  keyName: v.pipe(nameField, v.description('Of a data definition of the code')),
  value: v.pipe(valueField, v.description('Of its data type, or with @[key] or #[expression] in it')),
})
const VariableOutcomeBody = v.strictObject({
  OutcomeCode: v.pipe(nameField, v.description('Of an outcome of it')),
  VariableCode: v.pipe(nameField, v.description('Of an active variable')),
})

/** A request to be made and submitted. */
export const RequestBody = v.pipe(
  v.strictObject({
    accountInformation: v.strictObject({
      accountNumber: described(longIdField, 'Whose the orders are: that of a customer in the environment'),
      name: described(v.pipe(v.string(), v.maxLength(200)), "The customer's unless given"),
    }),
    extendedInformationItems: described(listField(ItemBody), 'What scenarios take from the request'),
    isReadOnly: described(v.boolean(), 'true: no caller can complete, fail, resubmit or regenerate it'),
    profileID: v.pipe(idField, v.description('Whose scenarios it runs')),
    provisionedObjectCode: described(nameField, 'Of the provisionable object definition; for a product, its id'),
    provisionedObjectEndDate: described(timeField, 'Kept with the object; nothing happens then'),
    provisionedObjectInternalID: described(
      internalIdField,
      'Which object of the code it is about, such as a number; what safeguards go by',
    ),
    provisionedObjectStartDate: described(timeField, 'In the future: it begins then'),
    provisionedObjectStatusID: described(idField, 'That which the transition leads to, which it is unless given'),
    provisionedObjectTransitionID: described(idField, 'See provisionedObjectTransitions'),
    provisioningRequestBatchID: described(longIdField, 'Of a batch to join, which is open and not full'),
    provisioningRequestBatchTotalObjectCount: described(
      idField,
      'Without a batch id: makes a batch of so many requests',
    ),
    provisioningRequestLinks: optionalField(listField(LinkBody)),
    provisioningRequestVariableOutcomes: optionalField(listField(VariableOutcomeBody)),
    regeneratedFromProvisioningRequestID: described(
      longIdField,
      'Of one in error, whose place it takes; that one is cancelled',
    ),
    workItemInstanceID: described(longIdField, 'Yours'),
  }),
  v.metadata({ ref: 'IdiNewProvisioningRequest', title: 'A provisioning request to submit' }),
)

/** As the engine takes it, with lists that were left out empty. */
export const toNewRequest = (body: v.InferOutput<typeof RequestBody>): NewRequest => ({
  account: body.accountInformation,
  items: body.extendedInformationItems ?? [],
  isReadOnly: body.isReadOnly ?? false,
  profileId: body.profileID,
  objectCode: body.provisionedObjectCode,
  internalId: body.provisionedObjectInternalID,
  objectStartsAt: body.provisionedObjectStartDate,
  objectEndsAt: body.provisionedObjectEndDate,
  objectStatusId: body.provisionedObjectStatusID,
  transitionId: body.provisionedObjectTransitionID,
  batchId: body.provisioningRequestBatchID,
  batchTotal: body.provisioningRequestBatchTotalObjectCount,
  links: (body.provisioningRequestLinks ?? []).map(({ linkTypeID, linkValue }) => ({
    linkTypeId: linkTypeID,
    linkValue,
  })),
  outcomes: (body.provisioningRequestVariableOutcomes ?? []).map(({ OutcomeCode, VariableCode }) => ({
    outcomeCode: OutcomeCode,
    variableCode: VariableCode,
  })),
  regeneratedFromId: body.regeneratedFromProvisioningRequestID,
  workItemInstanceId: body.workItemInstanceID,
})

/** A provisioning request, with everything but its items. */
export const RequestItem = v.object({
  accountInformation: v.object({ accountNumber: v.optional(id), name: v.optional(v.string()) }),
  completeDate: v.optional(timestamp),
  ...authorship,
  isReadOnly: v.boolean(),
  profile: v.object({ ...authorship, description: v.optional(v.string()), name: v.string(), profileID: id }),
  profileID: id,
  provisionedObjectCode: v.optional(v.string()),
  provisionedObjectEndDate: v.optional(timestamp),
  provisionedObjectInternalID: v.optional(v.string()),
  provisionedObjectStartDate: v.optional(timestamp),
  provisionedObjectStatus: v.optional(v.string()),
  provisionedObjectStatusID: v.optional(id),
  provisionedObjectTransition: v.optional(v.string()),
  provisionedObjectTransitionID: v.optional(id),
  provisioningRequestBatchID: v.optional(id),
  provisioningRequestBatchTotalObjectCount: v.optional(id),
  provisioningRequestID: id,
  provisioningRequestLinks: v.array(v.object({ linkTypeID: id, linkType: v.string(), linkValue: v.string() })),
  regeneratedFromProvisioningRequestID: v.optional(id),
  regenerationCount: v.pipe(id, v.description('How many requests there were in its place before')),
  reprocessing: v.pipe(v.boolean(), v.description('It was resubmitted, and runs again')),
  rootRegeneratedFromProvisioningRequestID: v.optional(id),
  status: v.pipe(v.string(), v.description('Submitted, In Progress, Complete, In Error, Cancelled or Held')),
  statusID: v.pipe(id, v.description('Of status, in this order from 1 on')),
  statusNote: v.optional(v.pipe(v.string(), v.description('Why it is in error, held or cancelled, or what was said'))),
  wasForced: v.pipe(v.boolean(), v.description('It was completed by force')),
  wasRegenerated: v.pipe(v.boolean(), v.description('Another request has taken its place')),
  workItemInstanceID: v.optional(id),
})

export const toRequestItem = (row: ProvisioningRequest): v.InferOutput<typeof RequestItem> => ({
  accountInformation: present({ accountNumber: row.account_number, name: row.account_name }),
  ...present({ completeDate: iso(row.completed_at) }),
  ...toAuthorship(row),
  isReadOnly: row.is_read_only,
  profile: toProfile(row),
  profileID: row.profile_id,
  ...present({
    provisionedObjectCode: row.object_code,
    provisionedObjectEndDate: iso(row.object_ends_at),
    provisionedObjectInternalID: row.internal_id,
    provisionedObjectStartDate: iso(row.object_starts_at),
    provisionedObjectStatus: row.object_status,
    provisionedObjectStatusID: row.object_status_id,
    provisionedObjectTransition: row.transition,
    provisionedObjectTransitionID: row.transition_id,
    provisioningRequestBatchID: row.batch_id,
    provisioningRequestBatchTotalObjectCount: row.total_object_count,
    regeneratedFromProvisioningRequestID: row.regenerated_from_id,
    rootRegeneratedFromProvisioningRequestID: row.root_regenerated_from_id,
    statusNote: row.status_note,
    workItemInstanceID: row.work_item_instance_id,
  }),
  provisioningRequestID: row.request_id,
  provisioningRequestLinks: [...row.links],
  regenerationCount: row.regeneration_count,
  reprocessing: row.reprocessing,
  status: row.status,
  statusID: row.status_id,
  wasForced: row.was_forced,
  wasRegenerated: row.was_regenerated,
})

const toProfile = (row: ProvisioningRequest) => ({
  ...toAuthorship({
    created_at: row.profile_created_at,
    created_by: row.profile_created_by,
    modified_at: row.profile_modified_at,
    modified_by: row.profile_modified_by,
  }),
  ...present({ description: row.profile_description }),
  name: row.profile_name,
  profileID: row.profile_id,
})

const iso = (date: Date | null): string | null => date?.toISOString() ?? null

/** Whether a batch was and is open, when it was to be completed. */
export const BatchAnswer = v.object({ isOpen: v.boolean(), wasOpen: v.boolean() })

const note = described(valueField, 'Why; shown as statusNote')
/** What may be said when a request is completed. */
export const CompleteBody = v.strictObject({
  force: v.pipe(optionalField(v.boolean()), v.description('Whatever is left to do')),
  statusNote: note,
})
/** What may be said when it is put in error. */
export const FailBody = v.strictObject({ statusNote: note })
