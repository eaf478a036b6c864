import * as v from 'valibot'
import { STATUS_CODES } from './codes.ts'

const transactionId = v.pipe(v.string(), v.uuid(), v.description('Of the request that it is about'))
const code = v.pipe(
  v.picklist(Object.values(STATUS_CODES).map((status) => status.code)),
  v.description('100, 111, 112 and 113 are the document’s; the others are ours, see the provisioning guide'),
)
const text = v.pipe(v.string(), v.maxLength(255))
const flag = v.picklist(['true', 'false'])
const date = v.pipe(v.string(), v.description('ISO 8601, such as 2014-05-08T17:35:16+00:00'))
/** What most answers have; the document writes truth values as texts. */
const common = { transaction_id: transactionId, status_code: code, status_desc: text, error: flag }

/** The document has the code of an eligible number, and no other, as a number (4.1.2). */
export const EligibleAnswer = v.pipe(
  v.union([
    v.strictObject({
      eligible: v.literal('true'),
      error: v.literal('false'),
      status_code: v.literal(100),
      transaction_id: transactionId,
    }),
    v.strictObject({ ...common, eligible: v.literal('false') }),
  ]),
  v.metadata({ ref: 'ZipwhipEligible', title: 'Whether a number can be provisioned' }),
)

export const AddAnswer = v.pipe(
  v.strictObject({
    ...common,
    effective_date: v.optional(date),
    password: v.pipe(v.optional(v.string()), v.description('Of the line; a repetition gets another one')),
  }),
  v.metadata({ ref: 'ZipwhipAdd', title: 'What became of a request for service' }),
)

export const LineAnswer = v.pipe(
  v.strictObject({ ...common, effective_date: date }),
  v.metadata({ ref: 'ZipwhipLine', title: 'What became of a request about a line' }),
)

export const StatusAnswer = v.pipe(
  v.strictObject({
    ...common,
    account_status: v.pipe(
      v.picklist(['provisioned', 'Pending Activation', 'Unknown']),
      v.description('"provisioned" as in the sample 5.3.2, the others as in the text of 5.3'),
    ),
    last_updated: date,
  }),
  v.metadata({ ref: 'ZipwhipStatus', title: 'How a line stands' }),
)

export const TextableAnswer = v.pipe(
  v.strictObject({ ...common, textable: v.boolean(), provider: v.string(), type: v.string() }),
  v.metadata({ ref: 'ZipwhipTextable', title: 'Whether a number takes text messages' }),
)

export const MobileAnswer = v.pipe(
  v.strictObject({ transaction_id: transactionId, is_mobile: v.boolean() }),
  v.metadata({ ref: 'ZipwhipMobile', title: 'Whether a number is a mobile one' }),
)

export const SessionKeyAnswer = v.pipe(
  v.strictObject({ success: v.literal(true), response: v.pipe(v.string(), v.description('The session key')) }),
  v.metadata({ ref: 'ZipwhipSessionKey', title: 'A session key of a line' }),
)

export const ReportAnswer = v.pipe(
  v.strictObject({
    ...common,
    numbers: v.array(
      v.strictObject({
        phone_number: v.pipe(v.string(), v.description('The wireless number that asked')),
        line: v.pipe(v.string(), v.description('The line of the organization that it asked')),
        state: v.picklist(['stop', 'unstop']),
        last_updated: date,
      }),
    ),
  }),
  v.metadata({ ref: 'ZipwhipReport', title: 'Who asked for no more text messages, or for more' }),
)

/** Every error, whatever its HTTP status. */
export const ErrorAnswer = v.pipe(
  v.strictObject({ ...common, error: v.literal('true') }),
  v.metadata({ ref: 'ZipwhipError', title: 'An error of the Zipwhip API' }),
)
