import type { Backend } from '../backend.ts'
import type { Load } from '../load.ts'

/** One request to the control API. */
export type ControlRequest = {
  readonly backend: Backend
  readonly loads: Map<string, Load>
  readonly params: Readonly<Record<string, string>>
  readonly query: URLSearchParams
  /** The parsed JSON body; an empty object when there is none. */
  readonly body: unknown
}

export type ControlReply = { readonly status: number; readonly body?: unknown }

export type ControlRoute = {
  readonly method: string
  /** Segments; parameters as `:name`. */
  readonly path: string
  readonly run: (request: ControlRequest) => ControlReply
}

export const NO_CONTENT: ControlReply = { status: 204 }

/** A path parameter that the pattern of the route guarantees. */
export const paramOf = (request: ControlRequest, name: string): string => request.params[name] ?? ''
