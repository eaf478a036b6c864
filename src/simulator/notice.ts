import type { CallHalf, Party } from './call-half.ts'
import type { CallEventType } from './event-types.ts'

/** A conference of a user, as events describe it. */
export type Conference = {
  readonly userId: string
  state: 'Active' | 'Held' | 'Released'
  isMuted: boolean
  readonly participants: Map<string, { isMuted: boolean; isDeaf: boolean }>
}

/**
 * Something that happened to a user's calls. It must be rendered before the next change of the model,
 * because it refers to the halves themselves.
 */
export type Notice = {
  readonly userId: string
  readonly type: CallEventType | 'CallParkedAgainstEvent'
  readonly halves: readonly CallHalf[]
  readonly conference?: Conference
  readonly hookStatus?: 'On-Hook' | 'Off-Hook'
  readonly recordingStopped?: 'User Requested' | 'Failure'
  readonly parkedParty?: Party
}

/** Takes notices in the order of their happening. */
export type NoticeListener = (notice: Notice) => void
