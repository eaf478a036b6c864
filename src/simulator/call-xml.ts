import { canAnswer, isConnected } from './call-half.ts'
import type { CallHalf, Party } from './call-half.ts'
import type { Conference } from './notice.ts'
import { element, flag, optional } from './xml.ts'
import type { XmlElement } from './xml.ts'

/** How calls are written: what differs between releases and faults. */
export type CallDialect = {
  readonly countryCode: string | null
  readonly nonAsciiNames: boolean
  readonly extraElements: boolean
}

/** A name that meets every trap of a reader: markup, two-, three- and four-byte characters. */
const AWKWARD_NAME = 'Zoë & <Łukasz> "日本" 😀'

/** Element order of the XSD type `Call` (XSIDataTypes). `name` is `call` in events, `Call` in actions. */
export function callElement(half: CallHalf, dialect: CallDialect, name = 'call'): XmlElement {
  const isHeld = half.state === 'Held'
  return element(name, [
    element('callId', half.callId),
    element('extTrackingId', half.trackingId),
    element('personality', half.personality),
    element('state', half.state),
    half.releaseCause === undefined
      ? undefined
      : element('releaseCause', [element('internalReleaseCause', half.releaseCause)]),
    optional('releasingParty', half.releasingParty),
    partyElement('remoteParty', half.remote, dialect),
    half.redirections.length === 0
      ? undefined
      : element(
          'redirections',
          half.redirections.map((redirection) =>
            element('redirection', [
              partyElement('party', redirection.party, dialect),
              element('reason', redirection.reason),
              element('counter', redirection.counter),
            ]),
          ),
        ),
    half.redirect === undefined
      ? undefined
      : element('redirect', [
          addressElement('address', half.redirect.address, dialect),
          element('reason', half.redirect.reason),
          element('redirectTime', half.redirect.time),
        ]),
    hasEndpoint(half)
      ? element('endpoint', [element('addressOfRecord', half.addressOfRecord)], { type: 'AccessEndpoint' })
      : undefined,
    hasEndpoint(half) ? element('appearance', 1) : undefined,
    flag('allowAnswer', canAnswer(half)),
    flag('allowRetrieve', isHeld),
    element('startTime', half.startTime),
    optional('answerTime', half.answerTime),
    isHeld ? optional('heldTime', half.heldSince) : undefined,
    optional('totalHeldTime', half.totalHeldMs),
    optional('detachedTime', half.state === 'Detached' ? half.detachedTime : undefined),
    optional('releaseTime', half.releaseTime),
    flag('recorded', half.wasRecorded),
    element('allowedRecordingControls', recordingControls(half)),
    optional('recordingState', half.recording),
    optional('securityClassification', half.securityClassification),
    half.clientSessionInfo === undefined ? undefined : element('clientSessionInfo', half.clientSessionInfo),
    dialect.extraElements ? element('futureCallAttribute', [element('value', 'x')]) : undefined,
  ])
}

/** A party, in the order of the XSD type `PartyInformation`; a private party has no address. */
export function partyElement(name: string, party: Party, dialect: CallDialect): XmlElement {
  return element(name, [
    optional('name', party.isPrivate === true || !dialect.nonAsciiNames ? party.name : AWKWARD_NAME),
    party.address === undefined ? undefined : addressElement('address', party.address, dialect),
    optional('userId', party.userId),
    party.userDn === undefined ? undefined : addressElement('userDN', party.userDn, dialect),
    flag('privacy', party.isPrivate),
    element('callType', party.callType),
  ])
}

/** A conference, in the order of the XSD type `Conference`. */
export function conferenceElement(conference: Conference, name = 'conference'): XmlElement {
  const participants = [...conference.participants].map(([callId, { isMuted, isDeaf }]) =>
    element('conferenceParticipant', [element('callId', callId), flag('muted', isMuted), flag('deaf', isDeaf)]),
  )
  return element(name, [
    element('state', conference.state),
    element('appearance', 1),
    flag('muted', conference.isMuted),
    participants.length === 0 ? undefined : element('conferenceParticipantList', participants),
  ])
}

function addressElement(name: string, address: string, dialect: CallDialect): XmlElement {
  const isE164 = address.startsWith('tel:+')
  const attributes = dialect.countryCode !== null && isE164 ? { countryCode: dialect.countryCode } : undefined
  return element(name, address, { attributes })
}

/** Before the user has picked up a click-to-dial, no endpoint takes part. */
const hasEndpoint = (half: CallHalf): boolean => half.personality !== 'Click-to-Dial' && half.state !== 'Detached'

const RECORDING_CONTROLS = { Pending: 'none', Started: 'pause-stop', Paused: 'resume-stop', Failed: 'record' } as const

function recordingControls(half: CallHalf): string {
  if (!isConnected(half)) return 'none'
  return half.recording === undefined ? 'record' : RECORDING_CONTROLS[half.recording]
}
