import * as v from 'valibot'

/** What a call answers; every value is text but where the document's samples have something else. */
export const AnswerSchema = v.pipe(
  v.looseObject({
    transaction_id: v.optional(v.string()),
    status_code: v.pipe(
      v.optional(v.union([v.string(), v.number()])),
      v.description('100, 111, 112 and 113 are the document’s; the others are in the provisioning guide'),
    ),
    status_desc: v.optional(v.pipe(v.string(), v.maxLength(255))),
    error: v.optional(v.picklist(['true', 'false'])),
  }),
  v.metadata({ ref: 'ZipwhipAnswer', title: 'An answer of the Zipwhip API' }),
)
