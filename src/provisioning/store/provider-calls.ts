import type { ProviderContext } from '../model/provider.ts'
import type { Queries } from './database.ts'

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
    readonly detail: Parameters<ProviderContext['record']>[0]
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
