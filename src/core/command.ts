import type { Call } from './call.ts'
import type { CallId, SubscriberId } from './ids.ts'

/**
 * What an app can ask of a network. A command never writes call state: a success says that the
 * network took the request, and the effect comes back as an observation.
 */
export type Command =
  | {
      readonly type: 'dial'
      readonly subscriberId: SubscriberId
      /** E.164, or an extension of the subscriber's group. */
      readonly remoteNumber: string
    }
  | CallCommand<'answer'>
  | CallCommand<'hold'>
  | CallCommand<'resume'>
  | CallCommand<'end'>
  /** Reads the subscriber's calls from the network itself. */
  | { readonly type: 'list'; readonly subscriberId: SubscriberId }

/** A command about one call. A member per type, so that `CommandOf` can pick it. */
type CallCommand<Type extends string> = {
  readonly type: Type
  readonly subscriberId: SubscriberId
  readonly callId: CallId
}

export type CommandType = Command['type']

/** What each command answers. */
export type CommandResults = {
  readonly dial: { readonly callId: CallId; readonly trackingId: string }
  readonly answer: undefined
  readonly hold: undefined
  readonly resume: undefined
  readonly end: undefined
  readonly list: readonly Call[]
}

export type CommandOf<Type extends CommandType> = Extract<Command, { readonly type: Type }> & { readonly type: Type }
