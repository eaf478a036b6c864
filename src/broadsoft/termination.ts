/** Why a channel session ended. */
export type ChannelEnd =
  /** The server sent ChannelTerminatedEvent. `reason` is absent before R19. */
  | { readonly type: 'terminated'; readonly reason: string | undefined }
  /** The server did not open it: an error status, or a first document other than Channel. */
  | { readonly type: 'refused'; readonly detail: string; readonly retryAfterMs?: number }
  /** The node could not be reached, or did not open the channel in time. */
  | { readonly type: 'unreachable'; readonly detail: string }
  /** Credentials refused twice: a third try could lock the account. */
  | { readonly type: 'unauthorized' }
  /** The stream ended or broke without a farewell. */
  | { readonly type: 'stream_ended'; readonly detail: string }
  /** No byte arrived for 2.5 heartbeat intervals. */
  | { readonly type: 'silent' }
  /** Three heartbeats in a row failed. */
  | { readonly type: 'heartbeat_failed'; readonly detail: string }
  /** The node answered 404 to a heartbeat, a refresh or an acknowledgement: it has no such channel. */
  | { readonly type: 'channel_gone' }
  /** The lifetime ended, and refreshing it had failed. */
  | { readonly type: 'expired' }
  /** Bytes that are not the protocol. */
  | { readonly type: 'protocol_error'; readonly detail: string }
  /** Another instance may hold the lease now. */
  | { readonly type: 'lease_lost' }
  /** Closed on purpose. */
  | { readonly type: 'closed' }

/** What to do after a channel ended. `reason` is one word, for status, metric and log. */
export type AfterEnd = {
  readonly action: 'reconnect' | 'stop' | 'none'
  readonly reason: string
  /** The server asked not to be contacted before. */
  readonly notBeforeMs?: number
}

/**
 * Reasons of ChannelTerminatedEvent (XSD `ChannelTerminatedReason`) after which a reconnect does harm:
 * with DuplicateChannelSet two installations would end each other's channels for ever, and with
 * UserDeleted every attempt fails. All others, unknown and absent ones included, are reconnected.
 */
const FINAL_REASONS: ReadonlyMap<string, string> = new Map([
  ['DuplicateChannelSet', 'duplicate_channel_set'],
  ['UserDeleted', 'user_deleted'],
])

const KNOWN_REASONS: ReadonlyMap<string, string> = new Map([
  ['NonResponsiveChannel', 'non_responsive_channel'],
  ['ExplicitDelete', 'explicit_delete'],
  ['Expired', 'expired'],
  ['UnknownChannel', 'unknown_channel'],
  ['MaxChannelsReached', 'max_channels_reached'],
])

/** Reasons for which the server ends every channel of a set: then there is none that the events go to instead. */
const SET_REASONS: ReadonlySet<string> = new Set(['NonResponsiveChannel', 'DuplicateChannelSet', 'UserDeleted'])

/**
 * Whether events may be lost with a channel that was open. Not when it was given up on purpose or with its
 * lease: the next channel of the set gets what was not acknowledged. A channel that the node or the way to
 * it ended is another matter, as nobody knows what was lost with it; but a standby's gets no events.
 */
export function mayLoseEvents(role: 'owner' | 'standby', end: ChannelEnd): boolean {
  if (end.type === 'terminated' && end.reason !== undefined && SET_REASONS.has(end.reason)) return true
  return role === 'owner' && end.type !== 'closed' && end.type !== 'lease_lost'
}

/** Decides about the next attempt. Reconnecting always waits by {@link backoffMs}. */
export function decideAfterEnd(end: ChannelEnd): AfterEnd {
  switch (end.type) {
    case 'terminated':
      return decideAfterTermination(end.reason)
    case 'unauthorized':
      return { action: 'stop', reason: 'unauthorized' }
    case 'refused':
      return {
        action: 'reconnect',
        reason: 'refused',
        ...(end.retryAfterMs === undefined ? {} : { notBeforeMs: end.retryAfterMs }),
      }
    case 'lease_lost':
    case 'closed':
      return { action: 'none', reason: end.type }
    case 'unreachable':
    case 'stream_ended':
    case 'silent':
    case 'heartbeat_failed':
    case 'channel_gone':
    case 'expired':
    case 'protocol_error':
      break
  }
  return { action: 'reconnect', reason: end.type }
}

function decideAfterTermination(reason: string | undefined): AfterEnd {
  if (reason === undefined) return { action: 'reconnect', reason: 'terminated' }
  const final = FINAL_REASONS.get(reason)
  if (final !== undefined) return { action: 'stop', reason: final }
  return { action: 'reconnect', reason: KNOWN_REASONS.get(reason) ?? 'terminated' }
}
