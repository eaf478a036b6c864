import * as v from 'valibot'
import type { CallId } from '../core/ids.ts'
import { CallIdSchema } from '../core/ids.ts'
import type { XmlElement } from './xml-element.ts'
import { childOf, detached, detachedTextOf, hasFlag, textOf } from './xml-element.ts'

/** An address as XSI writes it: a `tel:` or `sip:` URI, and the country code if the number is E.164. */
export type XsiAddress = { readonly uri: string; readonly countryCode?: string }

/** The `<call>` element, in XSI's own words; every enumeration is open (XSD `Call`). Times are epoch ms. */
export type XsiCall = {
  readonly callId: CallId
  /** `extTrackingId`; empty when the network left it out. */
  readonly trackingId: string
  /** `Originator`, `Terminator`, `Click-to-Dial`. */
  readonly personality?: string
  /** `Idle`, `Alerting`, `Active`, `Held`, `Remote Held`, `Detached`, `Released`. */
  readonly state?: string
  readonly remoteName?: string
  readonly remoteAddress?: XsiAddress
  readonly remoteUserDn?: XsiAddress
  /** The remote party withholds its identity. */
  readonly isPrivate: boolean
  /** Present when the call failed; `internal` is `internalReleaseCause`. */
  readonly releaseCause?: { readonly internal?: string; readonly q850?: number }
  /** `localRelease` or `remoteRelease`. */
  readonly releasingParty?: string
  readonly redirect?: { readonly address?: XsiAddress; readonly reason?: string; readonly time?: number }
  readonly allowAnswer: boolean
  readonly allowRetrieve: boolean
  readonly recallType?: string
  readonly startTime?: number
  readonly answerTime?: number
  readonly heldTime?: number
  readonly detachedTime?: number
  readonly releaseTime?: number
  /** `Pending`, `Started`, `Paused`, `Failed`; absent when nothing is recorded now. */
  readonly recordingState?: string
}

const TEXT_LENGTH_MAX = 256
const TIME_MAX = 8_640_000_000_000_000

/** Reads a `<call>` (in events) or `<Call>` (call details); undefined when it has no usable callId. */
export function readCall(element: XmlElement): XsiCall | undefined {
  const callId = v.safeParse(CallIdSchema, detachedTextOf(element, 'callId'))
  if (!callId.success) return undefined
  const remote = childOf(element, 'remoteParty')
  return withoutUndefined({
    callId: callId.output,
    trackingId: clipped(element, 'extTrackingId') ?? '',
    personality: clipped(element, 'personality'),
    state: clipped(element, 'state'),
    remoteName: clipped(remote, 'name'),
    remoteAddress: readAddress(childOf(remote, 'address')),
    remoteUserDn: readAddress(childOf(remote, 'userDN')),
    isPrivate: hasFlag(remote, 'privacy'),
    releaseCause: readReleaseCause(childOf(element, 'releaseCause')),
    releasingParty: clipped(element, 'releasingParty'),
    redirect: readRedirect(childOf(element, 'redirect')),
    allowAnswer: hasFlag(element, 'allowAnswer'),
    allowRetrieve: hasFlag(element, 'allowRetrieve'),
    recallType: clipped(element, 'recallType'),
    startTime: readTime(element, 'startTime'),
    answerTime: readTime(element, 'answerTime'),
    heldTime: readTime(element, 'heldTime'),
    detachedTime: readTime(element, 'detachedTime'),
    releaseTime: readTime(element, 'releaseTime'),
    recordingState: clipped(element, 'recordingState'),
  })
}

/** On its own: a call is kept for a day. */
const clipped = (parent: XmlElement | undefined, name: string): string | undefined => {
  const text = textOf(parent, name)
  return text === undefined ? undefined : detached(text.slice(0, TEXT_LENGTH_MAX))
}

function readAddress(element: XmlElement | undefined): XsiAddress | undefined {
  if (element === undefined || element.text === '') return undefined
  const uri = detached(element.text.slice(0, TEXT_LENGTH_MAX))
  const countryCode = element.attributes.get('countryCode')
  return countryCode !== undefined && /^\d{1,3}$/.test(countryCode) ? { uri, countryCode } : { uri }
}

function readReleaseCause(element: XmlElement | undefined): XsiCall['releaseCause'] {
  if (element === undefined) return undefined
  const q850 = textOf(element, 'q850Cause')
  return withoutUndefined({
    internal: clipped(element, 'internalReleaseCause'),
    q850: q850 !== undefined && /^\d{1,3}$/.test(q850) ? Number(q850) : undefined,
  })
}

function readRedirect(element: XmlElement | undefined): XsiCall['redirect'] {
  if (element === undefined) return undefined
  return withoutUndefined({
    address: readAddress(childOf(element, 'address')),
    reason: clipped(element, 'reason'),
    time: readTime(element, 'redirectTime'),
  })
}

/** A time as plain text, or in a `<value>` child as newer releases write it; 0 means none. */
function readTime(parent: XmlElement, name: string): number | undefined {
  const element = childOf(parent, name)
  const text = element?.text === '' ? textOf(element, 'value') : element?.text
  if (text === undefined || !/^\d{1,16}$/.test(text)) return undefined
  const time = Number(text)
  return time > 0 && time <= TIME_MAX ? time : undefined
}

type Defined<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>
}

/** Drops the properties that are undefined, so that an absent fact is an absent property. */
export function withoutUndefined<T extends object>(facts: T): Defined<T>
export function withoutUndefined(facts: Readonly<Record<string, unknown>>): object {
  const defined: Record<string, unknown> = {}
  for (const name of Object.keys(facts)) {
    if (facts[name] !== undefined) defined[name] = facts[name]
  }
  return defined
}
