import { GatewayError } from '../../../core/errors.ts'
import type { Service } from '../../../core/service.ts'
import { VERSION } from '../../../core/version.ts'
import type { Eligibility, LineType } from '../../model/eligibility.ts'
import type {
  LineOutcome,
  NumberProvider,
  ProviderCapabilities,
  ProviderContext,
  ProviderLine,
  ProviderRequest,
  ProviderResult,
} from '../../model/provider.ts'
import { ZipwhipClient, type ZipwhipClientOptions, type ZipwhipReply } from './client.ts'
import type { Verdict } from './envelope.ts'

export type ZipwhipOptions = ZipwhipClientOptions & {
  /** As in a product's `provider`; `zipwhip` unless given. */
  readonly id?: string
  /** How long to wait before asking what became of a line; 15 s unless given. */
  readonly pollMs?: number
}

export const ZIPWHIP_CAPABILITIES: ProviderCapabilities = {
  actions: new Set(['enable', 'change', 'end']),
  isIdempotent: false,
  canFind: true,
  canCancel: false,
  judgesEligibility: true,
  batchMax: 1,
}
const POLL_MS = 15_000
const VENDOR_ID_MAX = 100
const REASON_MAX = 255

/**
 * Text enablement by any server that speaks Zipwhip's "Provision Phone Numbers" (version 1.0, API 20140925). One
 * number per call. The API has no idempotency key: after a call whose outcome is unknown the line's status tells
 * whether a service began or ended; a change is sent again, which is harmless. What is added or deleted is done when
 * the status says so, since a server may take up to an hour.
 */
export class ZipwhipProvider implements NumberProvider, Service {
  readonly id: string
  readonly name: string
  readonly about = {
    name: 'Zipwhip',
    description: "Text enablement by a server that speaks Zipwhip's Provision Phone Numbers.",
    version: VERSION,
  }
  readonly capabilities = ZIPWHIP_CAPABILITIES
  readonly #client: ZipwhipClient
  readonly #pollMs: number

  constructor(options: ZipwhipOptions) {
    this.id = options.id ?? 'zipwhip'
    this.name = `${this.id}-provider`
    this.#client = new ZipwhipClient(options)
    this.#pollMs = options.pollMs ?? POLL_MS
  }

  start(): Promise<void> {
    this.#client.start()
    return Promise.resolve()
  }

  stop(): Promise<void> {
    return this.#client.stop()
  }

  async execute(request: ProviderRequest, context: ProviderContext): Promise<ProviderResult> {
    const [line, ...others] = request.lines
    if (line === undefined || others.length > 0) return refuse('one number at a time')
    const { e164, attributes } = line
    if (request.action === 'enable') {
      return this.#began(line, await this.#call('add', e164, vendorIdOf(attributes), context))
    }
    if (request.action === 'end') {
      return this.#began(line, await this.#call('delete', e164, reasonOf(attributes), context))
    }
    if (request.action !== 'change') return refuse(`there is no way to ${request.action}`)
    const vendorId = vendorIdOf(attributes)
    if (vendorId['vendor_customer_id'] === undefined) return refuse('nothing but the id can be changed')
    const { verdict } = await this.#call('update', e164, vendorId, context)
    return verdict.kind === 'success' ? answer(done(e164)) : this.#otherwise(line, verdict)
  }

  /** By the number: what the server calls a transaction cannot be asked after. */
  async poll(ref: string, request: ProviderRequest, context: ProviderContext): Promise<ProviderResult> {
    const [line] = request.lines
    if (line === undefined) return refuse('no number')
    const status = await this.#status(line.e164, context)
    if (status.kind === 'failed') return status.result
    if (status.kind === 'pending') return this.#accepted(ref)
    if (status.kind === 'unknown') return { kind: 'retry', reason: 'the status of the line is unknown' }
    const isThere = status.kind === 'active'
    if (request.action === 'end') return isThere ? this.#accepted(ref) : answer(done(line.e164), ref)
    return isThere ? answer(done(line.e164), ref) : LOST
  }

  async find(request: ProviderRequest, context: ProviderContext): Promise<ProviderResult | undefined> {
    const [line] = request.lines
    // That a line has the id that it was to be given cannot be seen.
    if (line === undefined || request.action === 'change') return undefined
    const status = await this.#status(line.e164, context)
    if (status.kind === 'failed') return status.result
    if (request.action === 'end') return status.kind === 'absent' ? answer(done(line.e164)) : undefined
    if (status.kind === 'pending') return this.#accepted(line.e164)
    return status.kind === 'active' ? answer(done(line.e164)) : undefined
  }

  cancel(): Promise<ProviderResult> {
    return Promise.resolve(refuse('there is no way to cancel'))
  }

  async judgeEligibility(e164: string, context: ProviderContext): Promise<Eligibility> {
    const { verdict, envelope } = await this.#call('eligible', e164, {}, context)
    if (verdict.kind === 'success' && envelope?.eligible === true) return judged('eligible', 'unknown', 'eligible')
    if (verdict.kind === 'ineligible') {
      return judged(verdict.reason, verdict.reason === 'mobile_number' ? 'mobile' : 'unknown', verdict.message)
    }
    const isRefused = verdict.kind === 'refused' || verdict.kind === 'success'
    const detail = 'reason' in verdict ? verdict.reason : 'code' in verdict ? verdict.code : 'no judgement'
    throw new GatewayError(isRefused ? 'provider_refused' : 'provider_unavailable', { fields: { reason: detail } })
  }

  #call(
    operation: 'eligible' | 'add' | 'status' | 'update' | 'delete',
    e164: string,
    parameters: Readonly<Record<string, string>>,
    context: ProviderContext,
  ): Promise<ZipwhipReply> {
    return this.#client.call(
      { path: `provision/${operation}`, parameters: { phone_number: e164, ...parameters } },
      context,
    )
  }

  /** Of a call that takes its time once it is taken. */
  #began(line: ProviderLine, { verdict, envelope }: ZipwhipReply): ProviderResult {
    if (verdict.kind !== 'success' && verdict.kind !== 'pending') return this.#otherwise(line, verdict)
    return this.#accepted(envelope?.transaction_id ?? line.e164)
  }

  #accepted(ref: string): ProviderResult {
    return { kind: 'accepted', ref, pollAfterMs: this.#pollMs }
  }

  #otherwise({ e164 }: ProviderLine, verdict: Verdict): ProviderResult {
    if (verdict.kind === 'success') return answer(done(e164))
    if (verdict.kind === 'pending') return this.#accepted(e164)
    if (verdict.kind === 'unclear') return { kind: 'unknown', reason: verdict.reason }
    if (verdict.kind === 'retry' || verdict.kind === 'refused') return verdict
    const code = verdict.kind === 'absent' ? 'no_such_line' : verdict.reason
    return answer({ e164, kind: 'rejected', code, message: verdict.message })
  }

  async #status(e164: string, context: ProviderContext): Promise<LineStatus> {
    const { verdict, envelope } = await this.#call('status', e164, {}, context)
    if (verdict.kind === 'success') return { kind: wordOf(envelope?.account_status) }
    if (verdict.kind === 'pending') return { kind: 'pending' }
    // One that another organisation has is not ours, either.
    if (verdict.kind === 'absent' || verdict.kind === 'ineligible') return { kind: 'absent' }
    // To ask again does no harm.
    if (verdict.kind === 'unclear') return { kind: 'failed', result: { kind: 'retry', reason: verdict.reason } }
    return { kind: 'failed', result: verdict }
  }
}

type LineStatus =
  | { readonly kind: 'active' | 'pending' | 'absent' | 'unknown' }
  | { readonly kind: 'failed'; readonly result: ProviderResult }

/** "Account Activated" and "Pending Activation" in section 5.3 of the document, "provisioned" in its sample. */
function wordOf(status: string | undefined): 'active' | 'pending' | 'unknown' {
  const word = status?.toLowerCase()
  if (word === 'provisioned' || word === 'account activated') return 'active'
  return word === 'pending activation' ? 'pending' : 'unknown'
}

/** What was taken is not there: to send it again would be no repetition, so somebody has to look. */
const LOST: ProviderResult = { kind: 'retry', reason: 'the line is not there' }

const refuse = (message: string): ProviderResult => ({ kind: 'refused', code: 'not_supported', message })
const done = (e164: string): LineOutcome => ({ e164, kind: 'done', providerRef: e164 })
const answer = (line: LineOutcome, ref?: string): ProviderResult => ({
  kind: 'answered',
  lines: [line],
  ...(ref !== undefined && { ref }),
})

function vendorIdOf({ externalId }: ProviderLine['attributes']): Readonly<Record<string, string>> {
  return typeof externalId === 'string' ? { vendor_customer_id: externalId.slice(0, VENDOR_ID_MAX) } : {}
}

function reasonOf({ reason }: ProviderLine['attributes']): Readonly<Record<string, string>> {
  return typeof reason === 'string' ? { reason: reason.slice(0, REASON_MAX) } : {}
}

const judged = (reason: Eligibility['reason'], lineType: LineType, input: string): Eligibility => ({
  isEligible: reason === 'eligible',
  reason,
  lineType,
  rules: [{ rule: 'zipwhip_eligible', passed: reason === 'eligible', input, source: 'zipwhip' }],
})
