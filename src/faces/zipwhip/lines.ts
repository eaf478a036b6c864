import { hash, randomUUID } from 'node:crypto'
import { GatewayError, isGatewayError } from '../../core/errors.ts'
import type { Ordering } from '../../provisioning/engine/ordering.ts'
import type { Eligibility } from '../../provisioning/model/eligibility.ts'
import type { OrderTerms } from '../../provisioning/model/order-terms.ts'
import type { LineState, Lines } from '../../provisioning/store/lines.ts'
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
  readonly judge: (
    number: string,
    context: { readonly customerId: string; readonly productId: string },
  ) => Promise<Eligibility>
}

/** What became of a request: its code, and the transaction that carries it out. */
export type LineAnswer = { readonly status: StatusName; readonly transactionId: string }

/**
 * Text enablement of numbers, as orders of the messaging product: one line of one number each. A repetition of
 * what is done already, or under way, is answered like the first.
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

  /** Begins service on an eligible number. */
  async add(request: LineRequest): Promise<LineAnswer> {
    const { organization, number, vendorCustomerId } = request
    const known = await this.#options.lines.find(organization.customerId, number)
    if (known !== undefined && known.state !== 'unknown') {
      const isSame = vendorCustomerId === undefined || vendorCustomerId === known.externalId
      return { status: isSame ? 'success' : 'yourOrg', transactionId: transactionOf(known.orderId) }
    }
    const { reason } = await this.eligible(organization, number)
    if (reason !== 'eligible') return { status: STATUS_OF_REASON[reason], transactionId: randomUUID() }
    const externalId = vendorCustomerId === undefined ? {} : { externalId: vendorCustomerId }
    return this.#order(request, { action: 'add', numbers: [number], ...externalId })
  }

  /** Changes the caller's own id of a line; rejects with `resource_not_found`. */
  async update(request: LineRequest): Promise<LineAnswer> {
    const { organization, number, vendorCustomerId } = request
    const line = await this.#messagingLine(organization, number)
    if (vendorCustomerId === undefined || vendorCustomerId === line.externalId) {
      return { status: 'success', transactionId: transactionOf(line.orderId) }
    }
    return this.#order(request, { action: 'change', numbers: [number], changes: { externalId: vendorCustomerId } })
  }

  /** Ends service; one that has not begun yet is cancelled. Rejects with `resource_not_found`. */
  async remove(request: LineRequest): Promise<LineAnswer> {
    const { organization, number, reason = 'not given' } = request
    const line = await this.#messagingLine(organization, number)
    if (line.state === 'scheduled') {
      const { customerId, actor } = organization
      await this.#options.ordering.cancel({ customerId, orderId: line.orderId, actor })
      return { status: 'success', transactionId: transactionOf(line.orderId) }
    }
    return this.#order(request, { action: 'delete', numbers: [number], reason })
  }

  /** The line, or what else the organization has on the number; rejects with `resource_not_found`. */
  async line({ customerId }: Organization, number: string): Promise<LineState> {
    const line = await this.#options.lines.find(customerId, number)
    if (line === undefined) throw new GatewayError('resource_not_found')
    return line
  }

  async #messagingLine(organization: Organization, number: string): Promise<LineState> {
    const line = await this.line(organization, number)
    if (!line.isMessaging) throw new GatewayError('resource_not_found')
    return line
  }

  async #order(request: LineRequest, terms: OrderTerms): Promise<LineAnswer> {
    const { organization, requestedDate, vendorCustomerId } = request
    const { ordering, lines } = this.#options
    try {
      const order = await ordering.place({
        ...organization,
        face: 'zipwhip',
        productId: await lines.productId(),
        partialAllowed: false,
        metadata: {},
        ...(requestedDate !== undefined && { requestedDate }),
        ...(vendorCustomerId !== undefined && { externalId: vendorCustomerId }),
        terms,
      })
      return { status: 'success', transactionId: transactionOf(order.orderId) }
    } catch (error) {
      // Somebody was faster with the same number since it was looked at.
      if (terms.action === 'add' && isGatewayError(error, 'number_busy', 'numbers_unavailable')) {
        const { reason } = await this.eligible(organization, request.number)
        if (reason !== 'eligible') return { status: STATUS_OF_REASON[reason], transactionId: randomUUID() }
      }
      throw error
    }
  }
}

/** An order's id in the form of the document's transaction ids. */
export function transactionOf(orderId: string): string {
  const digits = hash('sha256', `zipwhip:${orderId}`, 'hex')
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, '$1-$2-$3-$4-$5')
}
