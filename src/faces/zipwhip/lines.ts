import { hash, randomUUID } from 'node:crypto'
import { GatewayError, isGatewayError } from '../../core/errors.ts'
import type { Ordering, PlaceOptions } from '../../provisioning/engine/ordering.ts'
import type { Eligibility, EligibilityReason } from '../../provisioning/model/eligibility.ts'
import type { OrderTerms } from '../../provisioning/model/order-terms.ts'
import { startCredentials, type LineCredentials } from '../../provisioning/store/line-credentials.ts'
import type { LineState, Lines, OpenLineOrder } from '../../provisioning/store/lines.ts'
import { defined } from '../defined.ts'
import { STATUS_OF_REASON, type StatusName } from './codes.ts'

/** Who asks: the one customer of the key. */
export type Organization = { readonly customerId: string; readonly actor: string; readonly correlationId: string }

/** A request about one line. */
export type LineRequest = {
  readonly organization: Organization
  readonly number: string
  /** Milliseconds since 1970; absent for at once. */
  readonly requestedDate?: number | undefined
  readonly vendorCustomerId?: string | undefined
  readonly reason?: string | undefined
}

export type ZipwhipLinesOptions = {
  readonly ordering: Ordering
  readonly lines: Lines
  readonly credentials: LineCredentials
  readonly judge: (
    number: string,
    context: { readonly customerId: string; readonly productId: string },
  ) => Promise<Eligibility>
}

/** What became of a request: its code, and the transaction that carries it out. */
export type LineAnswer = {
  readonly status: StatusName
  readonly transactionId: string
  /** Of a line that begins; the only time that it is told. */
  readonly password?: string
}

/**
 * Text enablement of numbers, as orders of the messaging product: one line of one number each. A repetition of
 * what is done already, or under way, is answered like the first. What has been ordered for later gives way to a
 * later request; what is being carried out does not (`number_busy`).
 */
export class ZipwhipLines {
  readonly #options: ZipwhipLinesOptions

  constructor(options: ZipwhipLinesOptions) {
    this.#options = options
  }

  /** How the number stands with the organization. */
  async eligible({ customerId }: Organization, number: string): Promise<Eligibility> {
    const { judge, lines } = this.#options
    return judge(number, { customerId, productId: await lines.productId() })
  }

  /** Whether text messages reach the number through us, whoever's line it is. */
  isTextEnabled(number: string): Promise<boolean> {
    return this.#options.lines.isTextEnabled(number)
  }

  /** Begins service on an eligible number. */
  async add(request: LineRequest): Promise<LineAnswer> {
    const repeated = await this.#repeatedAdd(request)
    if (repeated !== undefined) return repeated
    const { organization, number, vendorCustomerId: externalId } = request
    const { reason } = await this.eligible(organization, number)
    if (reason !== 'eligible') return this.#refuse(request, reason)
    const productId = await this.#options.lines.productId()
    const terms = defined({ action: 'add' as const, numbers: [number], externalId })
    const owner = { customerId: organization.customerId, number }
    let password = ''
    try {
      const answer = await this.#order(request, productId, terms, {
        inTransaction: async (tx) => {
          password = await startCredentials(tx, owner)
        },
      })
      return { ...answer, password }
    } catch (error) {
      if (!isGatewayError(error, 'number_busy', 'numbers_unavailable')) throw error
      return this.#lostRace(request, error)
    }
  }

  /** Changes the caller's own id of a line; rejects with `resource_not_found` and `number_busy`. */
  async update(request: LineRequest): Promise<LineAnswer> {
    const { organization, number, requestedDate, vendorCustomerId: externalId } = request
    const { state, productId, open, ...line } = await this.line(organization, number)
    if (state === 'failed') throw new GatewayError('resource_not_found')
    if (state !== 'active') throw new GatewayError('number_busy')
    if (externalId === undefined) return succeeded(line.orderId)
    if (open?.action === 'change' && open.externalId !== undefined) {
      if (externalId === open.externalId && isSameDate(requestedDate, open)) return succeeded(open.orderId)
      await this.#withdraw(organization, open)
    }
    if (externalId === line.externalId) return succeeded(line.orderId)
    return this.#order(request, productId, { action: 'change', numbers: [number], changes: { externalId } })
  }

  /** Ends service; one that has not begun yet is cancelled. Rejects with `resource_not_found` and `number_busy`. */
  async remove(request: LineRequest): Promise<LineAnswer> {
    const { organization, number, requestedDate, reason = 'not given' } = request
    const { state, productId, orderId, open } = await this.line(organization, number)
    if (state === 'failed') throw new GatewayError('resource_not_found')
    if (open !== undefined && (open.action === 'delete' || open.action === 'deleteAll')) {
      if (isSameDate(requestedDate, open)) return succeeded(open.orderId)
    }
    const isAfterBeginning = (requestedDate ?? 0) > (open?.requestedDate ?? Infinity)
    if (state === 'pending' || (state !== 'active' && isAfterBeginning)) throw new GatewayError('number_busy')
    if (open !== undefined) await this.#withdraw(organization, open)
    if (state !== 'active') return succeeded(orderId)
    return this.#order(request, productId, { action: 'delete', numbers: [number], reason })
  }

  /** The line of the organization; rejects with `resource_not_found`. */
  async line({ customerId }: Organization, number: string): Promise<LineState> {
    const line = await this.#options.lines.find(customerId, number)
    if (line === undefined) throw new GatewayError('resource_not_found')
    return line
  }

  /** The answer to an add of a line that there is; undefined when there is none. */
  async #repeatedAdd({
    organization: { customerId },
    number,
    requestedDate,
    vendorCustomerId,
  }: LineRequest): Promise<LineAnswer | undefined> {
    const line = await this.#options.lines.find(customerId, number)
    if (line === undefined || line.state === 'failed') return undefined
    const { state, orderId, externalId, open } = line
    const isOther = vendorCustomerId !== undefined && vendorCustomerId !== externalId
    const isAtAnotherTime = state === 'scheduled' && open?.requestedDate !== requestedDate
    if (isOther || isAtAnotherTime) return { status: 'yourOrg', transactionId: transactionOf(orderId) }
    const password = await this.#options.credentials.renewPassword({ customerId, number })
    return { ...succeeded(orderId), password }
  }

  /** Somebody was faster with the same number since it was looked at: another organization, or the same one. */
  async #lostRace(request: LineRequest, error: GatewayError): Promise<LineAnswer> {
    const { reason } = await this.eligible(request.organization, request.number)
    if (reason === 'eligible') throw error
    return this.#refuse(request, reason)
  }

  async #refuse(request: LineRequest, reason: EligibilityReason): Promise<LineAnswer> {
    // The same request may have been carried out just now.
    const repeated = reason === 'provisioned_by_you' ? await this.#repeatedAdd(request) : undefined
    return repeated ?? { status: STATUS_OF_REASON[reason], transactionId: randomUUID() }
  }

  /** Cancels an order for later; rejects with `number_busy` when it is not, or about other numbers, too. */
  async #withdraw({ customerId, actor }: Organization, open: OpenLineOrder): Promise<void> {
    const { orderId, quantity } = open
    const isHeld = open.action === 'add' && !open.isScheduled
    if (quantity > 1 || (!open.isScheduled && !isHeld)) throw new GatewayError('number_busy')
    await this.#options.ordering.cancel({ customerId, orderId, actor })
  }

  async #order(
    request: LineRequest,
    productId: string,
    terms: OrderTerms,
    options?: PlaceOptions,
  ): Promise<LineAnswer> {
    const { organization, requestedDate, vendorCustomerId: externalId } = request
    const order = await this.#options.ordering.place(
      {
        ...organization,
        face: 'zipwhip',
        productId,
        partialAllowed: false,
        metadata: {},
        ...defined({ requestedDate, externalId }),
        terms,
      },
      options,
    )
    return succeeded(order.orderId)
  }
}

const succeeded = (orderId: string): LineAnswer => ({ status: 'success', transactionId: transactionOf(orderId) })

/** Whether a request is for the time of an order; one for at once is for the time of every order that has begun. */
const isSameDate = (requestedDate: number | undefined, open: OpenLineOrder): boolean =>
  open.isScheduled ? requestedDate === open.requestedDate : requestedDate === undefined

/** An order's id in the form of the document's transaction ids. */
export function transactionOf(orderId: string): string {
  const digits = hash('sha256', `zipwhip:${orderId}`, 'hex')
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, '$1-$2-$3-$4-$5')
}
