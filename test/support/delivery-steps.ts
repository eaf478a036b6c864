import type { DeliveryClass } from '../../src/core/delivery-policy.ts'

/** What may happen to the delivery engine. Numbers called `pick` choose among what there is. */
export type Step =
  /** `places`: how many lanes are begun for who takes the entries. */
  | { readonly do: 'log'; readonly entries: readonly LoggedEntry[]; readonly places: number }
  | { readonly do: 'follow'; readonly endpoints: readonly number[]; readonly back: number }
  | { readonly do: 'work'; readonly pick: number }
  | { readonly do: 'stray'; readonly pick: number }
  | { readonly do: 'finish'; readonly pick: number; readonly how: Ending; readonly retryMs: number }
  | { readonly do: 'crash'; readonly pick: number }
  /** An owner hangs until its lease has lapsed, and another one takes its lane over. */
  | { readonly do: 'replace'; readonly pick: number }
  | { readonly do: 'lose'; readonly pick: number }
  | { readonly do: 'wait'; readonly ms: number; readonly renewing: boolean }
  | { readonly do: 'sweep'; readonly endpoint: number }
  | { readonly do: 'storm'; readonly endpoint: number }
  | { readonly do: 'replay'; readonly endpoint: number }
  | { readonly do: 'remove'; readonly endpoint: number }

export type Ending =
  /** And the next event is begun in the same step. */
  | 'delivered'
  /** And its slot goes to a lane that waits, begun in the same step. */
  | 'delivered-passed-on'
  | 'delivered-then-begun'
  | 'delivered-then-crash'
  | 'failed'
  /** And what puts it off is sent once more, over a connection that broke. */
  | 'failed-resent'
  | 'paused'
  | 'expired'
  | 'handed-back'
export type LoggedEntry = {
  readonly key: string
  readonly class: DeliveryClass
  readonly to: readonly number[]
  /** How long it has been in the log. */
  readonly ageMs?: number
}
