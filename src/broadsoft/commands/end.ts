import { callPath } from '../paths.ts'
import type { Exchange } from './exchange.ts'

/**
 * Ends a call (XSI Interface Specification 2020.07, p. 211). `decline=true` is for an incoming call
 * that still rings: without it the phone only falls silent, and the call rings on until the caller
 * gives up. It says nothing about calls in other states, so it is always sent.
 */
export const end: Exchange<'end'> = {
  scope: 'call',
  toRequest: ({ subscriberId, callId }) => ({
    method: 'DELETE',
    path: `${callPath(subscriberId, callId)}?decline=true`,
    isIdempotent: true,
    isDoneWhenGone: true,
  }),
  readResponse: () => undefined,
}
