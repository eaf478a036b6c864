import { afterEach, describe, expect, test } from 'vitest'
import { silentLogger } from '../core/logger.ts'
import {
  ACTIONS,
  ADMINISTRATOR,
  ask,
  control,
  eventually,
  openChannel,
  subscribe,
} from '../../test/support/xsi-client.ts'
import type { Answer, RawChannel, SeenEvent } from '../../test/support/xsi-client.ts'
import { CALL_EVENT_TYPES } from './event-types.ts'
import type { SimulatorSettings } from './settings.ts'
import { Simulator } from './simulator.ts'
import { childOf, parseXml, textOf } from './xml.ts'
import type { XmlElement } from './xml.ts'

/**
 * Element order of the XSD types, from the public facts about XSIBaseEvent, XSIDataTypes, XSICallSession,
 * XSIChannel and XSISubscription: `name` once, `name?` optional, `name*` any number, then the child's type.
 */
const ORDER: Readonly<Record<string, readonly (readonly [string, string?])[]>> = {
  SubscriptionEvent: [
    ['eventID'],
    ['sequenceNumber'],
    ['userId'],
    ['externalApplicationId'],
    ['subscriptionId'],
    ['sharedSubscriptionId?'],
    ['channelId?'],
    ['targetId?'],
    ['targetSubId?'],
    ['eventData'],
  ],
  Call: [
    ['callId'],
    ['extTrackingId'],
    ['networkCallId?'],
    ['personality'],
    ['state'],
    ['releaseCause?', 'ReleaseCause'],
    ['releasingParty?'],
    ['remoteParty', 'Party'],
    ['redirections?', 'Redirections'],
    ['redirect?', 'Redirect'],
    ['endpoint?', 'AccessEndpoint'],
    ['appearance?'],
    ['allowAnswer?'],
    ['allowRetrieve?'],
    ['alternateAddressType?'],
    ['huntGroupUserId?'],
    ['distinctiveRing?'],
    ['diversionInhibited?'],
    ['recallType?'],
    ['startTime'],
    ['answerTime?'],
    ['heldTime?'],
    ['totalHeldTime?'],
    ['detachedTime?'],
    ['releaseTime?'],
    ['acdCallInfo?'],
    ['agentEscalation?'],
    ['acdOutgoingCallInfo?'],
    ['groupCallParkLocationSelected?'],
    ['recorded?'],
    ['findMeFollowMeUserId?'],
    ['allowedRecordingControls?'],
    ['recordingState?'],
    ['executiveUserId?'],
    ['recallFromParty?'],
    ['securityClassification?'],
    ['clientSessionInfo?'],
  ],
  ReleaseCause: [['internalReleaseCause'], ['q850Cause?'], ['sipStatus?'], ['cdrTerminationCause?']],
  Party: [['name?'], ['address?'], ['userId?'], ['userDN?'], ['privacy?'], ['callType?']],
  Redirections: [['redirection*', 'Redirection']],
  Redirection: [['party?', 'Party'], ['reason?'], ['counter?']],
  Redirect: [['address?'], ['reason'], ['redirectTime']],
  AccessEndpoint: [['addressOfRecord']],
  CallList: [['call*', 'Call']],
  Conference: [
    ['state?'],
    ['endpoint?', 'AccessEndpoint'],
    ['appearance?'],
    ['muted?'],
    ['conferenceType?'],
    ['conferenceParticipantList?', 'Participants'],
  ],
  Participants: [['conferenceParticipant*', 'Participant']],
  Participant: [['callId'], ['muted?'], ['deaf?']],
  // Payloads of eventData, by kind
  CallPayload: [['call', 'Call']],
  CallRedirectedEvent: [['calls', 'CallList']],
  CallRecordingStoppedEvent: [['call', 'Call'], ['reason']],
  HookStatusEvent: [['hookStatus']],
  CallSubscriptionEvent: [['calls?', 'CallList'], ['conference?', 'Conference'], ['hookStatus']],
  CallSubscriptionResyncEvent: [['calls?', 'CallList'], ['conference?', 'Conference'], ['hookStatus']],
  ConferencePayload: [['conference', 'Conference']],
  CallParkedAgainstEvent: [['parkedParty?', 'Party']],
  SubscriptionTerminatedEvent: [],
}

const STATES = ['Idle', 'Alerting', 'Active', 'Held', 'Remote Held', 'Detached', 'Released']

/** Fails unless the children of `node` are those of the type, in its order. */
function expectOrder(node: XmlElement, type: string, where = type): void {
  const rules = ORDER[type]
  if (rules === undefined) throw new Error(`no order for ${type}`)
  const children = node.children.filter((child) => typeof child !== 'string')
  let next = 0
  for (const [spec, childType] of rules) {
    const name = spec.replace(/[?*]$/, '')
    const first = next
    while (children[next]?.name === name) {
      const child = children[next]
      if (child !== undefined && childType !== undefined) expectOrder(child, childType, `${where}/${name}`)
      next += 1
      if (!spec.endsWith('*')) break
    }
    if (!/[?*]$/.test(spec) && next === first) throw new Error(`${where}: ${name} is missing or out of order`)
    if (spec.endsWith('*') && next === first) throw new Error(`${where}: at least one ${name} is needed`)
  }
  const extra = children[next]
  if (extra !== undefined) throw new Error(`${where}: ${extra.name} does not belong here`)
}

function expectValid(event: SeenEvent): void {
  expectOrder(event.root, 'SubscriptionEvent', event.type)
  const payload =
    ORDER[event.type] === undefined
      ? event.type.startsWith('Conference')
        ? 'ConferencePayload'
        : 'CallPayload'
      : event.type
  expectOrder(event.data, payload, event.type)
  for (const state of event.document.matchAll(/<xsi:state>([^<]+)<\/xsi:state><xsi:(?:remoteParty|release)/g)) {
    expect(STATES).toContain(state[1])
  }
}

const running: Simulator[] = []
const channels: RawChannel[] = []

afterEach(async () => {
  for (const channel of channels.splice(0)) {
    for (const event of channel.events) expectValid(event)
    channel.close()
  }
  for (const simulator of running.splice(0)) await simulator.stop(AbortSignal.timeout(1_000))
})

type Scene = {
  readonly url: string
  readonly api: string
  readonly channel: RawChannel
  /** The call events of a user so far: type, state where there is one. */
  readonly story: (userId: string) => readonly string[]
  readonly told: (userId: string, type: string, count?: number) => Promise<SeenEvent>
  readonly act: (method: string, path: string, body?: string) => Promise<Answer>
  readonly post: (path: string, body?: unknown) => Promise<{ call_id: string; peer_call_id: string | null }>
}

const ANN = 'ann@example.net'
const BOB = 'bob@example.net'
const CAT = 'cat@example.net'

/** Three users of one group, watched by a system subscription (which has no snapshots). */
async function stage(settings: Partial<SimulatorSettings> = {}): Promise<Scene> {
  const simulator = new Simulator({ ...ADMINISTRATOR, log: silentLogger, settings: { treatmentMs: 20, ...settings } })
  running.push(simulator)
  await simulator.start()
  const [url = ''] = simulator.xspUrls
  const api = simulator.controlUrl
  for (const [index, userId] of [ANN, BOB, CAT].entries()) {
    const user = {
      user_id: userId,
      number: `+1555123000${index + 1}`,
      extension: `100${index + 1}`,
      first_name: userId.slice(0, 3),
    }
    expect((await control(`${api}/users`, 'POST', user)).status).toBe(201)
  }
  const channel = await openChannel(url)
  channels.push(channel)
  expect((await subscribe(url, '/system')).status).toBe(200)
  const ofUser = (userId: string) => channel.events.filter((event) => event.targetId === userId)
  return {
    url,
    api,
    channel,
    story: (userId) => ofUser(userId).map(describeEvent),
    told: (userId, type, count = 1) =>
      eventually(() => ofUser(userId).filter((event) => event.type === type)[count - 1], `${type} for ${userId}`),
    act: (method, path, body) =>
      ask(`${url}${ACTIONS}/user/${path}`, { method, ...(body === undefined ? {} : { body }) }),
    post: async (path, body) => {
      const reply = await control<{ call_id: string; peer_call_id: string | null }>(api + path, 'POST', body)
      expect([200, 201, 202]).toContain(reply.status)
      return reply.body
    },
  }
}

const describeEvent = (event: SeenEvent): string => {
  const name = event.type.replace(/Event$/, '')
  const call = childOf(event.data, 'call') ?? childOf(childOf(event.data, 'calls'), 'call')
  const detail = textOf(call, 'state') ?? textOf(event.data, 'hookStatus')
  return detail === undefined ? name : `${name} ${detail}`
}

const readCall = (event: SeenEvent, name: string): string | undefined => textOf(childOf(event.data, 'call'), name)
const participant = (id: string): string => `<conferenceParticipant><callId>${id}</callId></conferenceParticipant>`
const callId = (answer: Answer): string => /<callId>([^<]+)</.exec(answer.text)?.[1] ?? ''

/** Ann and Bob in conversation; ids of both halves. */
async function talk({ post }: Scene, from = ANN, to = '1002'): Promise<{ caller: string; callee: string }> {
  const call = await post(`/users/${from}/originate`, { to })
  const callee = call.peer_call_id ?? ''
  await post(`/calls/${callee}/local/answer`)
  return { caller: call.call_id, callee }
}

describe('every event type of the call packages', () => {
  test.each(CALL_EVENT_TYPES)('%s can be produced, in the order of the XSD', async (type) => {
    const scene = await stage({ countryCode: '1' })
    const { call_id: id } = await scene.post(`/users/${ANN}/incoming-calls`, {
      from: '+15557770000',
      name: 'Zoë & Söhne',
    })
    await scene.told(ANN, 'CallReceivedEvent')
    await scene.post(`/calls/${id}/events/${type}`, {})
    const event = await scene.told(ANN, type, type === 'CallReceivedEvent' ? 2 : 1)
    expectValid(event)
    expect(event.data.attributes?.['type']).toBe(`xsi:${type}`)
  })

  test('the order check notices a misplaced and a missing element', () => {
    const call = '<call><callId>1</callId><extTrackingId>1</extTrackingId><personality>Terminator</personality>'
    const misplaced = parseXml(`<d>${call}<remoteParty/><state>Active</state><startTime>1</startTime></call></d>`)
    expect(() => expectOrder(misplaced, 'CallPayload')).toThrow('state is missing or out of order')
    const extra = parseXml(`<d>${call}<state>Active</state><remoteParty/><startTime>1</startTime><x/></call></d>`)
    expect(() => expectOrder(extra, 'CallPayload')).toThrow('x does not belong here')
  })

  test('a type that does not exist is 400 and names the field', async () => {
    const scene = await stage()
    const { call_id: id } = await scene.post(`/users/${ANN}/incoming-calls`, { from: '+15557770000' })
    const reply = await control<{ errors: { field: string }[] }>(
      `${scene.api}/calls/${id}/events/CallHistoryEvent`,
      'POST',
      {},
    )
    expect([reply.status, reply.body.errors[0]?.field]).toEqual([400, 'type'])
  })
})

describe('a call between two simulated users', () => {
  test('both halves tell their own story, with the same tracking id and different call ids', async () => {
    const scene = await stage()
    const { caller, callee } = await talk(scene)
    await scene.post(`/calls/${caller}/local/hold`)
    await scene.post(`/calls/${caller}/local/retrieve`)
    await scene.post(`/calls/${callee}/local/hangup`)
    await scene.told(ANN, 'HookStatusEvent', 2)
    expect(scene.story(ANN)).toEqual([
      'HookStatus Off-Hook',
      'CallOriginated Alerting',
      'CallAnswered Active',
      'CallHeld Held',
      'CallRetrieved Active',
      'CallReleased Released',
      'HookStatus On-Hook',
    ])
    expect(scene.story(BOB)).toEqual([
      'CallReceived Alerting',
      'HookStatus Off-Hook',
      'CallAnswered Active',
      'CallHeld Remote Held',
      'CallRetrieved Active',
      'CallReleased Released',
      'HookStatus On-Hook',
    ])
    const [originated, received] = [
      await scene.told(ANN, 'CallOriginatedEvent'),
      await scene.told(BOB, 'CallReceivedEvent'),
    ]
    expect(readCall(originated, 'extTrackingId')).toBe(readCall(received, 'extTrackingId'))
    expect(caller).not.toBe(callee)
    expect(originated.document).toContain(
      '<xsi:address>tel:1002</xsi:address><xsi:userId>bob@example.net</xsi:userId><xsi:userDN>tel:+15551230002;ext=1002</xsi:userDN><xsi:callType>Group</xsi:callType>',
    )
    expect((await scene.told(ANN, 'CallReleasedEvent')).document).toContain(
      '<xsi:releasingParty>remoteRelease</xsi:releasingParty>',
    )
    expect((await scene.told(BOB, 'CallReleasedEvent')).document).toContain(
      '<xsi:releasingParty>localRelease</xsi:releasingParty>',
    )
  })

  test('both hold: each stays held until both have retrieved', async () => {
    const scene = await stage()
    const { caller, callee } = await talk(scene)
    const states = async () => {
      const reply = await control<{ calls: { user_id: string; state: string }[] }>(`${scene.api}/calls`, 'GET')
      return Object.fromEntries(reply.body.calls.map((call) => [call.user_id.slice(0, 3), call.state]))
    }
    await scene.post(`/calls/${caller}/local/hold`)
    expect(await states()).toEqual({ ann: 'Held', bob: 'Remote Held' })
    await scene.post(`/calls/${callee}/local/hold`)
    expect(await states()).toEqual({ ann: 'Held', bob: 'Held' })
    await scene.post(`/calls/${caller}/local/retrieve`)
    expect(await states()).toEqual({ ann: 'Remote Held', bob: 'Held' })
    await scene.post(`/calls/${callee}/local/retrieve`)
    expect(await states()).toEqual({ ann: 'Active', bob: 'Active' })
  })
})

describe('a call with the outside world', () => {
  test('an unanswered call is released by the caller without an answer time', async () => {
    const scene = await stage()
    const { call_id: id } = await scene.post(`/users/${ANN}/incoming-calls`, { from: '+15557770000', name: 'Carla' })
    await scene.post(`/calls/${id}/remote/hangup`)
    const released = await scene.told(ANN, 'CallReleasedEvent')
    expect(scene.story(ANN)).toEqual(['CallReceived Alerting', 'CallReleased Released'])
    expect(released.document).toContain('<xsi:releasingParty>remoteRelease</xsi:releasingParty>')
    expect(released.document).not.toContain('answerTime')
  })

  test('timers: no answer ends it, the phone answers by itself, and either side hangs up by itself', async () => {
    const scene = await stage({ noAnswerMs: 60, autoAnswerMs: 20, autoHangupMs: 20 })
    await scene.post(`/users/${ANN}/incoming-calls`, { from: '+15557770000' })
    const released = await scene.told(ANN, 'CallReleasedEvent')
    expect(released.document).toContain('<xsi:internalReleaseCause>Temporarily Unavailable</xsi:internalReleaseCause>')
    await scene.post(`/users/${ANN}/originate`, { to: '+15557770001' })
    await scene.told(ANN, 'CallAnsweredEvent')
    expect((await scene.told(ANN, 'CallReleasedEvent', 2)).document).toContain('remoteRelease')
    await scene.post('/users', {
      user_id: 'dan@example.net',
      number: '+15551230009',
      auto_answer_ms: 10,
      hang_up_ms: 10,
    })
    await control(`${scene.api}/settings`, 'PUT', { autoHangupMs: null })
    await scene.post('/users/dan@example.net/incoming-calls', { from: '+15557770000' })
    expect((await scene.told('dan@example.net', 'CallReleasedEvent')).document).toContain('localRelease')
  })

  test('the remote party holds and retrieves; a withheld number has privacy and no address', async () => {
    const scene = await stage()
    const { call_id: id } = await scene.post(`/users/${ANN}/incoming-calls`, { from: 'anonymous' })
    await scene.post(`/calls/${id}/local/answer`)
    await scene.post(`/calls/${id}/remote/hold`)
    await scene.post(`/calls/${id}/remote/retrieve`)
    await scene.told(ANN, 'CallRetrievedEvent')
    expect(scene.story(ANN).slice(-2)).toEqual(['CallHeld Remote Held', 'CallRetrieved Active'])
    expect((await scene.told(ANN, 'CallReceivedEvent')).document).toContain(
      '<xsi:remoteParty><xsi:privacy/><xsi:callType>Network</xsi:callType></xsi:remoteParty>',
    )
  })
})

describe('actions', () => {
  test('click-to-dial rings the own phone, then the other; the id stays or changes with the option', async () => {
    const scene = await stage({ clickToDialPickupMs: 20 })
    const dialled = callId(await scene.act('POST', `${ANN}/calls/New?address=%2B15551230002`))
    await scene.told(BOB, 'CallReceivedEvent')
    expect(scene.story(ANN)).toEqual(['CallOriginating Alerting', 'HookStatus Off-Hook', 'CallOriginated Alerting'])
    const ids = scene.channel.events.flatMap((event) => textOf(childOf(event.data, 'call'), 'callId') ?? [])
    expect(ids.slice(0, 2)).toEqual([dialled, dialled])
    await control(`${scene.api}/settings`, 'PUT', { clickToDialChangesCallId: true })
    const second = await scene.act('POST', `${CAT}/calls/new?address=tel:%2B15557770000`)
    const originated = await scene.told(CAT, 'CallOriginatedEvent')
    expect(textOf(childOf(originated.data, 'call'), 'callId')).not.toBe(callId(second))
    expect(second.text).toContain(`<externalTrackingId>${textOf(childOf(originated.data, 'call'), 'extTrackingId')}<`)
    expect((await scene.act('POST', `${CAT}/calls/new`)).status).toBe(400)
  })

  test('Talk answers and retrieves, Hold holds; each refuses in the wrong state with 403 and ErrorInfo', async () => {
    const scene = await stage()
    const { call_id: id } = await scene.post(`/users/${ANN}/incoming-calls`, { from: '+15557770000' })
    const path = `${ANN}/calls/${id}`
    expect((await scene.act('PUT', `${path}/Hold`)).status).toBe(403)
    for (const command of ['Talk', 'Hold', 'Talk'])
      expect((await scene.act('PUT', `${path}/${command}`)).status).toBe(200)
    const refused = await scene.act('PUT', `${path}/Talk`)
    expect([refused.status, refused.text.includes('<ErrorInfo')]).toEqual([403, true])
    await scene.told(ANN, 'CallRetrievedEvent')
    expect(scene.story(ANN)).toEqual([
      'CallReceived Alerting',
      'HookStatus Off-Hook',
      'CallAnswered Active',
      'CallHeld Held',
      'CallRetrieved Active',
    ])
    expect((await scene.act('GET', `${ANN}/calls/HookStatus`)).text).toContain('<hookStatus>Off-Hook</hookStatus>')
    expect((await scene.act('PUT', `${BOB}/calls/${id}/Talk`)).status).toBe(404)
  })

  test('details are a Call in the default namespace; list says whether the call is in a conference', async () => {
    const scene = await stage()
    const { call_id: id } = await scene.post(`/users/${ANN}/incoming-calls`, { from: '+15557770000' })
    const details = await scene.act('GET', `${ANN}/calls/${id}`)
    expect(details.text).toContain(`<Call xmlns="http://schema.broadsoft.com/xsi"><callId>${id}</callId>`)
    expect(details.text).toContain(
      '<endpoint xsi1:type="xsi:AccessEndpoint" xmlns:xsi="http://schema.broadsoft.com/xsi"',
    )
    expectOrder(parseXml(details.text), 'Call')
    expect((await scene.act('GET', `${BOB}/calls`)).text).toMatch(
      /<Calls xmlns="http:\/\/schema\.broadsoft\.com\/xsi"\/>$/,
    )
  })

  test('DELETE ends a call; on a ringing one it only stops the ringing unless it declines', async () => {
    const scene = await stage()
    const first = await scene.post(`/users/${ANN}/originate`, { to: '1002' })
    const ringing = first.peer_call_id ?? ''
    expect((await scene.act('DELETE', `${BOB}/calls/${ringing}`)).status).toBe(200)
    const updated = await scene.told(BOB, 'CallUpdatedEvent')
    expect(describeEvent(updated)).toBe('CallUpdated Alerting')
    expect(updated.document).not.toContain('allowAnswer')
    expect((await scene.act('PUT', `${BOB}/calls/${ringing}/Talk`)).status).toBe(403)
    expect((await scene.act('DELETE', `${BOB}/calls/${ringing}?decline=true&declineReason=Busy`)).status).toBe(200)
    await scene.told(ANN, 'HookStatusEvent', 2)
    expect(scene.story(BOB)).toEqual(['CallReceived Alerting', 'CallUpdated Alerting', 'CallReleased Released'])
    expect(scene.story(ANN)).toEqual([
      'HookStatus Off-Hook',
      'CallOriginated Alerting',
      'CallReleasing Active',
      'CallReleased Released',
      'HookStatus On-Hook',
    ])
    expect((await scene.told(ANN, 'CallReleasingEvent')).document).toContain(
      '<xsi:releaseCause><xsi:internalReleaseCause>Busy</xsi:internalReleaseCause></xsi:releaseCause>',
    )
    const { caller, callee } = await talk(scene)
    expect((await scene.act('DELETE', `${ANN}/calls/${caller}`)).status).toBe(200)
    expect((await scene.act('DELETE', `${ANN}/calls/${caller}`)).status).toBe(404)
    expect((await scene.act('GET', `${BOB}/calls/${callee}`)).status).toBe(404)
  })

  test('BlindTransfer detaches and releases, and the transferred party is answered a second time', async () => {
    const scene = await stage()
    const { caller, callee } = await talk(scene)
    expect((await scene.act('PUT', `${BOB}/calls/${callee}/BlindTransfer`)).status).toBe(400)
    expect((await scene.act('PUT', `${BOB}/calls/${callee}/BlindTransfer?address=1003`)).status).toBe(200)
    const received = await scene.told(CAT, 'CallReceivedEvent')
    expect(received.document).toContain('<xsi:redirections><xsi:redirection><xsi:party><xsi:name>bob User</xsi:name>')
    const target = textOf(childOf(received.data, 'call'), 'callId') ?? ''
    await scene.act('PUT', `${CAT}/calls/${target}/Talk`)
    await scene.told(ANN, 'CallAnsweredEvent', 2)
    expect(scene.story(BOB).slice(-3)).toEqual([
      'CallRedirected Detached',
      'CallReleased Released',
      'HookStatus On-Hook',
    ])
    expect((await scene.told(BOB, 'CallRedirectedEvent')).document).toMatch(
      /<xsi:redirect><xsi:address>tel:1003<\/xsi:address><xsi:reason>transfer<\/xsi:reason><xsi:redirectTime>\d{13}/,
    )
    expect(scene.story(ANN).slice(-2)).toEqual(['CallTransferred Alerting', 'CallAnswered Active'])
    expect((await scene.told(ANN, 'CallTransferredEvent')).document).toContain(`<xsi:callId>${caller}</xsi:callId>`)
  })

  test('ConsultTransfer detaches both calls and connects the far ends under a new tracking id', async () => {
    const scene = await stage()
    const first = await talk(scene)
    await scene.post(`/calls/${first.callee}/local/hold`)
    const second = await talk(scene, BOB, '1003')
    const done = await scene.act('PUT', `${BOB}/calls/${first.callee}/ConsultTransfer/${second.caller}`)
    expect([done.status, done.bytes.length]).toEqual([200, 0])
    await scene.told(BOB, 'CallReleasedEvent', 2)
    const redirected = await scene.told(BOB, 'CallRedirectedEvent')
    expect(redirected.document.match(/<xsi:state>Detached</g)).toHaveLength(2)
    const [ann, cat] = [await scene.told(ANN, 'CallTransferredEvent'), await scene.told(CAT, 'CallTransferredEvent')]
    expect(readCall(ann, 'extTrackingId')).toBe(readCall(cat, 'extTrackingId'))
    expect([readCall(ann, 'personality'), readCall(cat, 'personality')]).toEqual(['Originator', 'Terminator'])
    expect([readCall(ann, 'state'), readCall(cat, 'state')]).toEqual(['Active', 'Active'])
    await scene.act('DELETE', `${ANN}/calls/${first.caller}`)
    await scene.told(CAT, 'CallReleasedEvent')
  })

  test('MuteTransfer calls the target and transfers as soon as it rings', async () => {
    const scene = await stage()
    const { callee } = await talk(scene)
    const answer = await scene.act('PUT', `${BOB}/calls/${callee}/MuteTransfer?address=1003`)
    expect(callId(answer)).toMatch(/^callhalf-\d+:0$/)
    const received = await scene.told(CAT, 'CallReceivedEvent')
    await scene.told(BOB, 'CallReleasedEvent', 2)
    await scene.act('PUT', `${CAT}/calls/${textOf(childOf(received.data, 'call'), 'callId')}/Talk`)
    await scene.told(ANN, 'CallAnsweredEvent', 2)
    expect(
      (await control<{ calls: { user_id: string }[] }>(`${scene.api}/calls`, 'GET')).body.calls.map(
        (call) => call.user_id,
      ),
    ).toEqual([ANN, CAT])
  })

  test('VmTransfer sends the other party to the mailbox', async () => {
    const scene = await stage()
    const { callee } = await talk(scene)
    expect((await scene.act('PUT', `${BOB}/calls/${callee}/VmTransfer`)).status).toBe(200)
    expect((await scene.told(BOB, 'CallRedirectedEvent')).document).toContain('<xsi:reason>voicemail</xsi:reason>')
    expect((await scene.told(ANN, 'CallTransferredEvent')).document).toContain('<xsi:name>Voice Mail</xsi:name>')
  })

  test('Reconnect retrieves one call and releases all others', async () => {
    const scene = await stage()
    const first = await talk(scene)
    await scene.act('PUT', `${ANN}/calls/${first.caller}/Hold`)
    const second = await talk(scene, ANN, '1003')
    expect((await scene.act('PUT', `${ANN}/calls/${first.caller}/Reconnect`)).status).toBe(200)
    await scene.told(CAT, 'CallReleasedEvent')
    const reply = await control<{ calls: { call_id: string; state: string }[] }>(
      `${scene.api}/users/${ANN}/calls`,
      'GET',
    )
    expect(reply.body.calls.map((call) => [call.call_id, call.state])).toEqual([[first.caller, 'Active']])
    expect(second.caller).not.toBe(first.caller)
  })

  test('Park holds the other party, tells the user it is parked against, and ParkRetrieve connects it again', async () => {
    const scene = await stage()
    await subscribe(scene.url, '/system', { event: 'Call Park' })
    const { callee } = await talk(scene)
    expect((await scene.act('PUT', `${BOB}/calls/${callee}/Park?address=1003`)).status).toBe(200)
    const parked = await scene.told(CAT, 'CallParkedAgainstEvent')
    expect(parked.document).toContain('<xsi:parkedParty><xsi:name>ann User</xsi:name>')
    const { callee: other } = await talk(scene)
    expect((await scene.act('PUT', `${BOB}/calls/${other}/Park?address=1003`)).status).toBe(403)
    const retrieved = await scene.act('POST', `${CAT}/calls/ParkRetrieve`)
    expect(retrieved.status).toBe(201)
    const event = await scene.told(ANN, 'CallParkRetrievedEvent')
    expect(retrieved.text).toContain(`<externalTrackingId>${textOf(childOf(event.data, 'call'), 'extTrackingId')}<`)
    expect((await scene.told(CAT, 'CallParkedAgainstEvent', 2)).data.children).toEqual([])
    expect((await scene.act('POST', `${CAT}/calls/ParkRetrieve`)).status).toBe(404)
  })

  test('recording starts, pauses, resumes and stops; repeating is accepted and silent', async () => {
    const scene = await stage()
    const { caller } = await talk(scene)
    const command = (name: string) => scene.act('PUT', `${ANN}/calls/${caller}/${name}`)
    expect((await command('PauseRecording')).status).toBe(403)
    await command('Record')
    expect((await scene.told(ANN, 'CallRecordingStartedEvent')).document).toContain(
      '<xsi:recorded/><xsi:allowedRecordingControls>pause-stop</xsi:allowedRecordingControls><xsi:recordingState>Started</xsi:recordingState>',
    )
    for (const name of [
      'Record',
      'PauseRecording',
      'PauseRecording',
      'ResumeRecording',
      'StopRecording',
      'StopRecording',
    ]) {
      expect((await command(name)).status).toBe(200)
    }
    expect((await scene.told(ANN, 'CallRecordingStoppedEvent')).document).toContain(
      '</xsi:call><xsi:reason>User Requested</xsi:reason>',
    )
    expect(scene.story(ANN).filter((line) => line.startsWith('CallRecording'))).toEqual([
      'CallRecordingStarting Active',
      'CallRecordingStarted Active',
      'CallRecordingPaused Active',
      'CallRecordingResumed Active',
      'CallRecordingStopped Active',
    ])
  })

  test('TransmitDTMF takes digits, # and comma, and nothing else', async () => {
    const scene = await stage()
    const { caller } = await talk(scene)
    const path = `${ANN}/calls/${caller}/TransmitDTMF`
    expect((await scene.act('PUT', `${path}?playdtmf=12%23,A`)).status).toBe(200)
    expect((await scene.act('PUT', `${path}?playdtmf=x`)).status).toBe(400)
    const reply = await control<{ dtmf: string }>(`${scene.api}/calls/${caller}`, 'GET')
    expect(reply.body.dtmf).toBe('12#,A')
  })

  test('a conference joins held and active calls, is muted and held as a whole, and ends with its calls', async () => {
    const scene = await stage()
    const first = await talk(scene)
    await scene.act('PUT', `${ANN}/calls/${first.caller}/Hold`)
    const second = await talk(scene, ANN, '1003')
    const body = `<Conference xmlns="http://schema.broadsoft.com/xsi"><conferenceParticipantList>${participant(first.caller)}${participant(second.caller)}</conferenceParticipantList></Conference>`
    expect((await scene.act('POST', `${ANN}/calls/Conference`, body)).status).toBe(201)
    expect((await scene.act('POST', `${ANN}/calls/Conference`, body)).status).toBe(403)
    expect((await scene.act('GET', `${ANN}/calls`)).text.match(/inConference="true"/g)).toHaveLength(2)
    const changes = [
      'Conference/Mute',
      'Conference/Unmute',
      `Conference/${first.caller}/Mute`,
      `Conference/${first.caller}/UnMute`,
      `Conference/${first.caller}/Deaf`,
      `Conference/${first.caller}/UnDeaf`,
      'Conference/Hold',
      'Conference/Talk',
    ]
    for (const change of changes) expect((await scene.act('PUT', `${ANN}/calls/${change}`)).status).toBe(200)
    const state = await scene.act('GET', `${ANN}/calls/Conference`)
    expectOrder(parseXml(state.text), 'Conference')
    expect((await scene.act('DELETE', `${ANN}/calls/Conference`)).status).toBe(200)
    await scene.told(ANN, 'ConferenceReleasedEvent')
    expect(scene.story(ANN).filter((line) => line.startsWith('Conference'))).toEqual([
      'ConferenceStarted',
      'ConferenceMuted',
      'ConferenceUnmuted',
      'ConferenceCallMuted',
      'ConferenceCallUnMuted',
      'ConferenceCallMadeDeaf',
      'ConferenceCallMadeUnDeaf',
      'ConferenceHeld',
      'ConferenceRetrieved',
      'ConferenceReleased',
    ])
    await scene.told(CAT, 'CallReleasedEvent')
    expect((await scene.act('GET', `${ANN}/calls/Conference`)).status).toBe(404)
  })

  test('ClientSessionInfo reaches both ends', async () => {
    const scene = await stage()
    const { caller } = await talk(scene)
    expect((await scene.act('PUT', `${ANN}/calls/${caller}/ClientSessionInfo?info=ticket-7`)).status).toBe(200)
    expect((await scene.told(BOB, 'CallClientSessionInfoUpdatedEvent')).document).toContain(
      '<xsi:clientSessionInfo>ticket-7</xsi:clientSessionInfo></xsi:call>',
    )
  })
})
