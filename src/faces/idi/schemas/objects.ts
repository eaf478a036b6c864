import * as v from 'valibot'
import { listField, nameField, valueField } from '../../../provisioning/requests/model/fields.ts'
import type { ExpandedItemRow, ObjectItemRow } from '../../../provisioning/requests/store/provisioned-objects.ts'
import { id, internalIdField, present } from './fields.ts'

/** Of which objects items are searched. */
export const ObjectKeysBody = listField(v.object({ code: nameField, internalID: internalIdField }))

/** What is to be known of objects from now on. */
export const ObjectItemsBody = listField(
  v.object({ code: nameField, internalID: internalIdField, keyName: nameField, value: valueField }),
)

/** One thing that is known of an object. */
export const ObjectItem = v.object({
  code: v.string(),
  internalID: v.string(),
  keyName: v.string(),
  value: v.string(),
})
export const toObjectItem = (row: ObjectItemRow): v.InferOutput<typeof ObjectItem> => ({
  code: row.code,
  internalID: row.internal_id,
  keyName: row.key_name,
  value: row.value,
})

/** The same, with what the object's definition says of it. */
export const ExpandedItem = v.object({
  code: v.string(),
  dataType: v.optional(v.string()),
  dataTypeID: v.optional(id),
  defaultValue: v.optional(v.string()),
  internalID: v.string(),
  isRequired: v.optional(v.boolean()),
  isVisible: v.optional(v.boolean()),
  listID: v.optional(id),
  name: v.pipe(v.string(), v.description('Of the data definition, which is the key of the item')),
  sequenceNumber: v.optional(v.pipe(v.number(), v.integer())),
  value: v.string(),
})
export const toExpandedItem = (row: ExpandedItemRow): v.InferOutput<typeof ExpandedItem> => ({
  code: row.code,
  ...present({
    dataType: row.data_type,
    dataTypeID: row.data_type_id,
    defaultValue: row.default_value,
    isRequired: row.is_required,
    isVisible: row.is_visible,
    listID: row.list_id,
    sequenceNumber: row.sequence_number,
  }),
  internalID: row.internal_id,
  name: row.key_name,
  value: row.value,
})
