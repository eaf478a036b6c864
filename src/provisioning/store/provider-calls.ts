import type { ProviderContext } from '../model/provider.ts'
import type { Queries } from './database.ts'

type CallDetail = Parameters<ProviderContext['record']>[0]

/** Longer content is cut: it is kept to be read by people. */
const CONTENT_MAX = 65_536

/** Keeps what was sent to a provider, or came from it, in a statement of its own: it stays whatever happens next. */
export async function recordProviderCall(
  queries: Queries,
  call: {
    readonly orderId: string
    readonly fulfilmentId: string
    readonly provider: string
    readonly action: string
    readonly attempt: number
    readonly detail: CallDetail
  },
): Promise<void> {
  const { detail } = call
  await queries
    .insertInto('provider_calls')
    .values({
      order_id: call.orderId,
      fulfilment_id: call.fulfilmentId,
      provider: call.provider,
      action: call.action,
      is_response: detail.isResponse,
      correlation_id: call.fulfilmentId,
      attempt: call.attempt,
      outcome: null,
      content: detail.content.slice(0, CONTENT_MAX),
      components: JSON.stringify(detail.components ?? []),
    })
    .execute()
}

/** The same for a question about eligibility, which belongs to no order. */
export async function recordQuestion(queries: Queries, provider: string, detail: CallDetail): Promise<void> {
  await queries
    .insertInto('provider_calls')
    .values({
      order_id: null,
      fulfilment_id: null,
      provider,
      action: 'judgeEligibility',
      is_response: detail.isResponse,
      correlation_id: '',
      attempt: 1,
      outcome: null,
      content: detail.content.slice(0, CONTENT_MAX),
      components: JSON.stringify(detail.components ?? []),
    })
    .execute()
}
