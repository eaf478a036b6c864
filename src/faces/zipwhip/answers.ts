import { randomUUID } from 'node:crypto'
import type { Eligibility } from '../../provisioning/model/eligibility.ts'
import type { LineState } from '../../provisioning/store/lines.ts'
import { STATUS_CODES, STATUS_OF_REASON, type StatusName } from './codes.ts'
import { transactionOf, type LineAnswer } from './lines.ts'
import { formatDate } from './parameters.ts'

/** Fields and spelling of the document's samples: truth values are texts. */
export const answered = (status: StatusName, transactionId: string) => ({
  transaction_id: transactionId,
  status_code: STATUS_CODES[status].code,
  status_desc: STATUS_CODES[status].text,
  error: 'false',
})

/** Section 4.1.2 has the code of an eligible number as a number, and no description; the others are texts. */
export function eligibleAnswer({ reason }: Pick<Eligibility, 'reason'>) {
  const transactionId = randomUUID()
  if (reason === 'eligible') {
    return { eligible: 'true', error: 'false', status_code: 100, transaction_id: transactionId }
  }
  return { ...answered(STATUS_OF_REASON[reason], transactionId), eligible: 'false' }
}

/**
 * What became of a request about a line. One that came to nothing has `error`: who looks at nothing else must not
 * take it for done.
 */
export function lineAnswer(
  { status, transactionId, password }: LineAnswer,
  given: { readonly effective_date?: string | undefined },
  now: number,
) {
  if (status !== 'success') return { ...answered(status, transactionId), error: 'true' }
  return {
    ...answered(status, transactionId),
    effective_date: given.effective_date ?? formatDate(now),
    ...(password !== undefined && { password }),
  }
}

export function statusAnswer({ state, orderId, updatedAt }: LineState) {
  const isPending = state === 'pending' || state === 'scheduled'
  return {
    ...answered(isPending ? 'pending' : 'success', transactionOf(orderId)),
    account_status: ACCOUNT_STATUS[state],
    last_updated: formatDate(updatedAt),
  }
}

/**
 * Section 5.3 calls an active account "Account Activated"; the sample in 5.3.2, which clients were written by, has
 * "provisioned".
 */
const ACCOUNT_STATUS: Readonly<Record<LineState['state'], string>> = {
  active: 'provisioned',
  pending: 'Pending Activation',
  scheduled: 'Pending Activation',
  held: 'Unknown',
  failed: 'Unknown',
}
