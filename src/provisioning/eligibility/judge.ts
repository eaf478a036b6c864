import type { PhoneNumber } from 'libphonenumber-js/max'
import { GatewayError } from '../../core/errors.ts'
import { reasonToCustomer } from '../model/eligibility.ts'
import type { Eligibility, EligibilityReason, EligibilityRule, LineType } from '../model/eligibility.ts'
import { countryOf, readNumber } from '../model/number-plan.ts'
import type { NumberProvider, ProviderContext } from '../model/provider.ts'
import type { ProvisioningDatabase } from '../store/database.ts'
import type { LineTypes } from '../store/line-types.ts'
import { findHolders } from '../store/number-holders.ts'
import { lineTypeOf, supportedLineTypes } from './line-type.ts'

/** For a provider to answer. */
const PROVIDER_TIMEOUT_MS = 10_000
/** Of what a caller sent as a number, when it is shown. */
const SHOWN_MAX = 32

const NUMBERING_PLAN = 'numbering plan'
const LINE_TYPE_TABLE = 'line type table'
const CATALOGUE = 'catalogue'
const INVENTORY = 'inventory'

export type EligibilityJudgeOptions = {
  readonly database: ProvisioningDatabase
  readonly lineTypes: Pick<LineTypes, 'find'>
  /** By the id that products have. */
  readonly providers: ReadonlyMap<string, NumberProvider>
  /** Keeps what is said to a provider, and by it. */
  readonly record: (provider: string) => ProviderContext['record']
}

/** For whom, and for what product. */
type Question = { readonly customerId: string; readonly productId: string }

/**
 * Whether a number can be given a product, and why: rules in a fixed order, each with what it went by, up to the
 * first that does not pass. The provider comes last, as it may cost something to ask.
 */
export class EligibilityJudge {
  readonly #options: EligibilityJudgeOptions

  constructor(options: EligibilityJudgeOptions) {
    this.#options = options
  }

  /** Rejects with `product_not_found`, and with `provider_unavailable` when the provider does not answer. */
  async judge(text: string, question: Question): Promise<Eligibility> {
    const product = await this.#findProduct(question.productId)
    const number = readNumber(text)
    const entry = number === undefined ? undefined : await this.#options.lineTypes.find(text)
    const hearing = new Hearing()
    // A range that somebody has listed exists, even when it is too new for the numbering plan that we know.
    const isListed = entry !== undefined && number?.isValid() !== true
    const numberRule = { rule: 'valid_number', input: text.slice(0, SHOWN_MAX) }
    const listed = isListed ? { source: LINE_TYPE_TABLE, asOf: entry.asOf } : { source: NUMBERING_PLAN }
    if (!hearing.test({ ...numberRule, ...listed }, number?.isValid() === true || isListed) || number === undefined) {
      return hearing.refuse('invalid_number')
    }
    hearing.lineType = entry?.lineType ?? lineTypeOf(number)
    const country = countryOf(text)
    const isOffered = country !== undefined && product.countries.includes(country)
    if (!hearing.test({ rule: 'country', input: country ?? 'none', source: CATALOGUE }, isOffered)) {
      return hearing.refuse('country_not_supported')
    }
    const lineTypeRule = {
      rule: 'line_type',
      input: hearing.lineType,
      ...(entry === undefined ? { source: NUMBERING_PLAN } : { source: LINE_TYPE_TABLE, asOf: entry.asOf }),
    }
    if (!hearing.test(lineTypeRule, supportedLineTypes(product).includes(hearing.lineType))) {
      return hearing.refuse(refusalOf(hearing.lineType))
    }
    return this.#judgeHolders(hearing, { number, product, customerId: question.customerId })
  }

  async #judgeHolders(
    hearing: Hearing,
    asked: { readonly number: PhoneNumber; readonly product: Product; readonly customerId: string },
  ): Promise<Eligibility> {
    const { number, product, customerId } = asked
    const holders = await this.#options.database.query((db) =>
      findHolders(db, { e164: number.number, kind: product.kind, customerId }),
    )
    const yours = { rule: 'not_provisioned_by_you', input: holders.isYours ? 'yours' : 'not yours', source: INVENTORY }
    if (!hearing.test(yours, !holders.isYours)) return hearing.refuse('provisioned_by_you')
    const another = {
      rule: 'not_provisioned_by_another',
      input: holders.isAnothers ? 'not available' : 'nobody',
      source: INVENTORY,
    }
    if (!hearing.test(another, !holders.isAnothers)) return hearing.refuse('provisioned_by_another')
    const provider = this.#options.providers.get(product.provider)
    if (provider?.capabilities.judgesEligibility !== true) return hearing.accept()
    const verdict = await this.#askProvider(provider, number.number)
    hearing.test({ rule: 'provider', input: verdict.reason, source: provider.id }, verdict.isEligible)
    for (const { rule, passed, ...rest } of verdict.rules) hearing.test({ ...rest, rule: `provider_${rule}` }, passed)
    if (verdict.lineType !== 'unknown') hearing.lineType = verdict.lineType
    return verdict.isEligible ? hearing.accept() : hearing.refuse(reasonToCustomer(verdict.reason))
  }

  async #askProvider(provider: NumberProvider, e164: string): Promise<Eligibility> {
    const signal = AbortSignal.timeout(PROVIDER_TIMEOUT_MS)
    try {
      return await provider.judgeEligibility(e164, { attempt: 1, signal, record: this.#options.record(provider.id) })
    } catch (cause) {
      if (cause instanceof GatewayError) throw cause
      throw new GatewayError('provider_unavailable', { retryAfterSeconds: 1, cause })
    }
  }

  async #findProduct(productId: string): Promise<Product> {
    return this.#options.database.query(async (db) => {
      const product = await db
        .selectFrom('products')
        .select(['kind', 'number_type', 'provider'])
        .where('product_id', '=', productId)
        .executeTakeFirst()
      if (product === undefined) throw new GatewayError('product_not_found')
      const countries = await db
        .selectFrom('product_countries')
        .select('country')
        .where('product_id', '=', productId)
        .execute()
      return { ...product, countries: countries.map(({ country }) => country) }
    })
  }
}

type Product = {
  readonly kind: string
  readonly number_type: string | null
  readonly provider: string
  readonly countries: readonly string[]
}

/** The rules that were looked at, and what was found out on the way. */
class Hearing {
  lineType: LineType = 'unknown'
  readonly #rules: EligibilityRule[] = []

  test(rule: Omit<EligibilityRule, 'passed'>, passed: boolean): boolean {
    this.#rules.push({ ...rule, passed })
    return passed
  }

  accept(): Eligibility {
    return { isEligible: true, reason: 'eligible', lineType: this.lineType, rules: this.#rules }
  }

  refuse(reason: EligibilityReason): Eligibility {
    return { isEligible: false, reason, lineType: this.lineType, rules: this.#rules }
  }
}

function refusalOf(lineType: LineType): EligibilityReason {
  if (lineType === 'mobile') return 'mobile_number'
  return lineType === 'unknown' ? 'line_type_unknown' : 'type_not_supported'
}
