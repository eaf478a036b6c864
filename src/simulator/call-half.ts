import type { Cancel } from './timers.ts'

export type Personality = 'Originator' | 'Terminator' | 'Click-to-Dial'
type HalfState = 'Alerting' | 'Active' | 'Held' | 'Remote Held' | 'Detached' | 'Released'
export type ReleasingParty = 'localRelease' | 'remoteRelease'
export type ReleaseCause =
  | 'Busy'
  | 'Forbidden'
  | 'Routing Failure'
  | 'Global Failure'
  | 'Request Failure'
  | 'Server Failure'
  | 'Translation Failure'
  | 'Temporarily Unavailable'
  | 'User Not Found'
  | 'Request Timeout'
  | 'Dial Tone Timeout'
  | 'Insufficient Credits'
export type RedirectReason = 'transfer' | 'deflection' | 'unconditional' | 'user-busy' | 'no-answer' | 'voicemail'
export type CallType = 'Group' | 'Enterprise' | 'Network' | 'Unknown'
export type TimerKind = 'noAnswer' | 'answer' | 'remoteAnswer' | 'hangUp' | 'remoteHangUp' | 'treatment' | 'recording'

/** A party as the other one sees it. `address` is a URI. */
export type Party = {
  readonly name?: string | undefined
  readonly address?: string | undefined
  readonly userId?: string | undefined
  readonly userDn?: string | undefined
  readonly isPrivate?: boolean | undefined
  readonly callType: CallType
}

export type Redirection = { readonly party: Party; readonly reason: RedirectReason; readonly counter: number }

/**
 * One party's side of a call. Mutable: it belongs to the call model, and everything outside reads it at
 * the moment of a notice. Times are milliseconds since the epoch.
 */
export type CallHalf = {
  callId: string
  readonly userId: string
  trackingId: string
  personality: Personality
  state: HalfState
  remote: Party
  /** What was dialled, for calls that this user places. */
  dialled: string | undefined
  /** The other party's half, when that party is a simulated user too. */
  peer: CallHalf | undefined
  /** The other party, when it is not simulated. */
  remoteState: 'alerting' | 'active' | 'held'
  readonly addressOfRecord: string
  startTime: number
  answerTime: number | undefined
  /** Since when it is held by either side. */
  heldSince: number | undefined
  totalHeldMs: number | undefined
  detachedTime: number | undefined
  releaseTime: number | undefined
  releaseCause: ReleaseCause | undefined
  releasingParty: ReleasingParty | undefined
  redirect: { readonly address: string; readonly reason: RedirectReason; readonly time: number } | undefined
  redirections: readonly Redirection[]
  /** The phone no longer rings, although the call still waits for an answer. */
  isSilenced: boolean
  recording: 'Pending' | 'Started' | 'Paused' | 'Failed' | undefined
  wasRecorded: boolean
  securityClassification: string | undefined
  clientSessionInfo: string | undefined
  /** Digits sent by TransmitDTMF. */
  dtmf: string
  readonly timers: Map<TimerKind, Cancel>
}

/** Whether the user's handset is in use because of this call. */
export const isOffHook = (half: CallHalf): boolean =>
  half.state === 'Active' ||
  half.state === 'Held' ||
  half.state === 'Remote Held' ||
  (half.state === 'Alerting' && half.personality === 'Originator')

/** Whether there is a conversation that can be held, transferred or recorded. */
export const isConnected = (half: CallHalf): boolean =>
  half.answerTime !== undefined && (half.state === 'Active' || half.state === 'Held' || half.state === 'Remote Held')

/** Whether Talk answers it: a ringing phone. */
export const canAnswer = (half: CallHalf): boolean =>
  half.state === 'Alerting' && half.personality !== 'Originator' && !half.isSilenced
