/**
 * What values may be like, by the ids of `data_types`, where their expressions are. 3 is the document's, and 4 that
 * of its sample; the others are ours.
 */
export const DATA_TYPE = {
  choice: 1,
  boolean: 2,
  text: 3,
  wholeNumber: 4,
  decimal: 5,
  date: 6,
  phoneNumber: 7,
} as const
export type DataTypeId = (typeof DATA_TYPE)[keyof typeof DATA_TYPE]
