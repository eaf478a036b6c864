import * as v from 'valibot'
import { ORDER_NUMBERS_MAX, type OrderTerms } from '../../../provisioning/model/order-terms.ts'
import { defined } from '../../defined.ts'
import { countryField, idField, metadataField, numberField, textField, timeField } from './fields.ts'

const common = {
  externalId: v.pipe(v.optional(textField(100)), v.description('Yours')),
  requestedDate: v.pipe(v.optional(timeField), v.description('When it is to be carried out; at once if absent')),
  partialAllowed: v.pipe(
    v.optional(v.boolean(), false),
    v.description(
      'Whether some numbers are of use without the others; unless it is set, an order succeeds or fails whole',
    ),
  ),
  dryRun: v.pipe(
    v.optional(v.boolean(), false),
    v.description('Check and price it only: nothing is ordered, and the answer has status 200'),
  ),
  metadata: v.optional(metadataField, {}),
}
const place = { locationId: v.optional(idField), connectionId: v.optional(idField) }
const digits = v.pipe(v.string(), v.regex(/^\d{1,15}$/, 'must be 1 to 15 digits'))
const feature = v.pipe(v.string(), v.regex(/^[a-z][A-Za-z0-9_-]{0,39}$/, 'must be the name of a feature'))
const features = v.pipe(v.array(feature), v.maxLength(20))
const numbers = v.pipe(
  v.array(numberField),
  v.minLength(1, 'must name at least one number'),
  v.maxLength(ORDER_NUMBERS_MAX, `may name up to ${ORDER_NUMBERS_MAX} numbers`),
  v.check((list) => new Set(list).size === list.length, 'must name each number once'),
)
const count = (max: number) => v.pipe(v.number(), v.integer('must be a whole number'), v.minValue(1), v.maxValue(max))

export const NumberFilterSchema = v.pipe(
  v.strictObject({
    countryCode: v.optional(countryField),
    cityId: v.optional(idField),
    areaCode: v.optional(digits),
    contains: v.optional(digits),
    startsWith: v.optional(digits),
    endsWith: v.optional(digits),
    features: v.optional(features),
    consecutive: v.optional(count(1_000)),
  }),
  v.metadata({ ref: 'NumberFilter', title: 'Which numbers will do' }),
)

export const AnyBody = v.pipe(
  v.strictObject({
    ...common,
    quantity: count(ORDER_NUMBERS_MAX),
    filter: v.optional(NumberFilterSchema, {}),
    ...place,
  }),
  v.metadata({ ref: 'OrderAny', title: 'Any available numbers' }),
)
export const PortBody = v.pipe(
  v.strictObject({
    ...common,
    numbers,
    losingCarrier: v.strictObject({
      name: textField(200),
      accountNumber: v.optional(textField(100)),
      pin: v.pipe(v.optional(textField(50)), v.description('Write-only')),
      billingNumber: v.optional(numberField),
    }),
    authorizedBy: v.strictObject({ name: textField(200), signedAt: v.optional(timeField) }),
    address: v.strictObject({
      line1: textField(200),
      line2: v.optional(textField(200)),
      city: textField(100),
      region: v.optional(textField(100)),
      postalCode: textField(20),
      country: countryField,
    }),
    requestedFocDate: v.pipe(v.optional(timeField), v.description('When the numbers should come over')),
    loaDocumentId: v.optional(textField(100)),
    ...place,
  }),
  v.metadata({ ref: 'OrderPort', title: "Numbers of another carrier's" }),
)
export const ReserveBody = v.pipe(
  v.strictObject({
    ...common,
    reservationId: v.optional(idField),
    reservationIds: v.optional(v.pipe(v.array(idField), v.minLength(1), v.maxLength(100))),
    numbers: v.pipe(v.optional(numbers), v.description('Only these of the reserved ones')),
    ...place,
  }),
  v.forward(
    v.check(
      (body) => (body.reservationId === undefined) !== (body.reservationIds === undefined),
      'exactly one of reservationId and reservationIds is required',
    ),
    ['reservationId'],
  ),
  v.metadata({ ref: 'OrderReserved', title: 'Numbers that are reserved' }),
)
export const RangeBody = v.pipe(
  v.strictObject({
    ...common,
    start: numberField,
    size: v.optional(count(1_000)),
    end: v.optional(numberField),
    ...place,
  }),
  v.forward(
    v.check(
      (body) => (body.size === undefined) !== (body.end === undefined),
      'exactly one of size and end is required',
    ),
    ['size'],
  ),
  v.forward(
    v.check(
      ({ start, end }) =>
        end === undefined ||
        (end.length === start.length && sizeBetween(start, end) > 0 && sizeBetween(start, end) <= 1_000),
      'must be up to 999 numbers after start',
    ),
    ['end'],
  ),
  v.metadata({ ref: 'OrderRange', title: 'Numbers that follow one another' }),
)
export const MoveBody = v.pipe(
  v.strictObject({ ...common, numbers, toLocationId: idField, toConnectionId: v.optional(idField) }),
  v.metadata({ ref: 'OrderMove', title: 'Numbers to another location' }),
)
export const ChangeBody = v.pipe(
  v.strictObject({
    ...common,
    numbers,
    changes: v.pipe(
      v.strictObject({
        features: v.optional(features),
        callerName: v.optional(textField(100)),
        directoryListing: v.optional(textField(200)),
        connectionId: v.optional(idField),
      }),
      v.check((changes) => Object.values(changes).some((value) => value !== undefined), 'must change something'),
    ),
  }),
  v.metadata({ ref: 'OrderChange', title: 'Other characteristics' }),
)
export const DeleteBody = v.pipe(
  v.strictObject({ ...common, numbers, reason: textField(255) }),
  v.metadata({ ref: 'OrderDelete', title: 'An end to numbers' }),
)
export const DeleteAllBody = v.pipe(
  v.strictObject({
    ...common,
    reason: textField(255),
    confirm: v.pipe(
      v.number(),
      v.integer('must be a whole number'),
      v.minValue(1),
      v.description('How many numbers you expect to lose; refused if it is another count'),
    ),
  }),
  v.metadata({ ref: 'OrderDeleteAll', title: 'An end to all numbers of the product' }),
)

export type CommonBody = {
  readonly externalId?: string | undefined
  readonly requestedDate?: string | undefined
  readonly partialAllowed: boolean
  readonly dryRun: boolean
  readonly metadata: Readonly<Record<string, string>>
}

/** How many numbers there are from the one to the other. */
const sizeBetween = (start: string, end: string): number => Number(BigInt(end.slice(1)) - BigInt(start.slice(1))) + 1

type Place = { readonly locationId?: string | undefined; readonly connectionId?: string | undefined }
const placeOf = ({ locationId, connectionId }: Place) => ({
  ...(locationId !== undefined && { locationId }),
  ...(connectionId !== undefined && { connectionId }),
})

export const toAnyTerms = (body: v.InferOutput<typeof AnyBody>): OrderTerms => ({
  action: 'any',
  quantity: body.quantity,
  filter: defined(body.filter),
  ...placeOf(body),
})
export const toPortTerms = ({
  losingCarrier,
  authorizedBy,
  address,
  ...body
}: v.InferOutput<typeof PortBody>): OrderTerms => ({
  action: 'port',
  numbers: body.numbers,
  losingCarrier: defined(losingCarrier),
  authorizedBy: {
    name: authorizedBy.name,
    ...(authorizedBy.signedAt !== undefined && { signedAt: Date.parse(authorizedBy.signedAt) }),
  },
  address: defined(address),
  ...(body.requestedFocDate !== undefined && { requestedFocDate: Date.parse(body.requestedFocDate) }),
  ...(body.loaDocumentId !== undefined && { loaDocumentId: body.loaDocumentId }),
  ...placeOf(body),
})
export const toReserveTerms = (body: v.InferOutput<typeof ReserveBody>): OrderTerms => ({
  action: 'reserve',
  reservationIds: body.reservationIds ?? (body.reservationId === undefined ? [] : [body.reservationId]),
  ...(body.numbers !== undefined && { numbers: body.numbers }),
  ...placeOf(body),
})
export const toRangeTerms = (body: v.InferOutput<typeof RangeBody>): OrderTerms => ({
  action: 'range',
  start: body.start,
  size: body.size ?? sizeBetween(body.start, body.end ?? body.start),
  ...placeOf(body),
})
export const toMoveTerms = (body: v.InferOutput<typeof MoveBody>): OrderTerms => ({
  action: 'move',
  numbers: body.numbers,
  toLocationId: body.toLocationId,
  ...(body.toConnectionId !== undefined && { toConnectionId: body.toConnectionId }),
})
export const toChangeTerms = ({ numbers: list, changes }: v.InferOutput<typeof ChangeBody>): OrderTerms => ({
  action: 'change',
  numbers: list,
  changes: defined(changes),
})
export const toDeleteTerms = ({ numbers: list, reason }: v.InferOutput<typeof DeleteBody>): OrderTerms => ({
  action: 'delete',
  numbers: list,
  reason,
})
export const toDeleteAllTerms = ({ reason, confirm }: v.InferOutput<typeof DeleteAllBody>): OrderTerms => ({
  action: 'deleteAll',
  reason,
  confirm,
})
