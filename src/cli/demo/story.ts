import * as v from 'valibot'
import type { ApiClient } from '../api-client.ts'
import type { Heard, SampleApp } from './sample-app.ts'
import { SUBSCRIBERS } from './set-up.ts'

const STEP_TIMEOUT_MS = 10_000
const CALLER = '+15550199001'

const CreatedCall = v.object({ call_id: v.string() })
const SimulatedCalls = v.object({ calls: v.array(v.object({ call_id: v.string(), state: v.string() })) })

/** What the story plays with. */
export type Cast = {
  readonly appId: string
  readonly app: SampleApp
  readonly gateway: ApiClient
  readonly simulator: ApiClient
  /** Reports a finished step; `ms` is what it took. */
  step(title: string, ms: number): void
}

/**
 * Tells the main job once, through public APIs only: a phone rings, the app hears of it and answers,
 * holds, resumes and ends the call, then places one. Rejects at the first step that is not seen.
 */
export async function tellStory(cast: Cast): Promise<void> {
  const narrator = new Narrator(cast)
  for (const { id } of SUBSCRIBERS) {
    await narrator.step(`the app is told of subscriber ${id}`, () =>
      narrator.heard('webhook', 'subscriber.assigned', (payload) => payload['subscriber_id'] === id),
    )
  }
  await tellIncoming(narrator, cast)
  await tellOutgoing(narrator, cast)
}

async function tellIncoming(narrator: Narrator, cast: Cast): Promise<void> {
  const user = SUBSCRIBERS[0].id
  const callId = await narrator.step(
    `${CALLER} calls ${user}: webhook and stream say ringing, sequence 1`,
    async () => {
      const path = `/users/${encodeURIComponent(user)}/incoming-calls`
      const call = v.parse(CreatedCall, (await cast.simulator.call('POST', path, { from: CALLER })).body)
      await narrator.heardBoth('call.ringing', call.call_id, '1')
      return call.call_id
    },
  )
  const callPath = `/apps/${cast.appId}/calls/${encodeURIComponent(callId)}`
  await narrator.step('the app answers: active, sequence 2', async () => {
    await cast.gateway.call('PUT', `${callPath}/answer`)
    await narrator.heardBoth('call.active', callId, '2')
    await narrator.simulated(callId, 'Active')
  })
  await narrator.step('the app holds: held, sequence 3', async () => {
    await cast.gateway.call('PUT', `${callPath}/hold`)
    await narrator.heardBoth('call.held', callId, '3')
    await narrator.simulated(callId, 'Held')
  })
  await narrator.step('the app resumes: active, sequence 4', async () => {
    await cast.gateway.call('PUT', `${callPath}/resume`)
    await narrator.heardBoth('call.active', callId, '4')
    await narrator.simulated(callId, 'Active')
  })
  await narrator.step('the app ends the call: released, sequence 5', async () => {
    await cast.gateway.call('DELETE', callPath)
    await narrator.heardBoth('call.released', callId, '5')
    await narrator.simulated(callId, undefined)
  })
}

async function tellOutgoing(narrator: Narrator, cast: Cast): Promise<void> {
  const person = SUBSCRIBERS[1]
  const request = { subscriber_id: person.id, subscriber_number: person.number, remote_number: CALLER }
  const headers = { 'idempotency-key': `story-${Date.now()}` }
  const place = async () =>
    v.parse(CreatedCall, (await cast.gateway.call('POST', `/apps/${cast.appId}/calls`, request, headers)).body).call_id
  const callId = await narrator.step(`the app places a call from ${person.id}: initiating`, async () => {
    const id = await place()
    await narrator.heard('webhook', 'call.initiating', (payload) => payload['call_id'] === id)
    return id
  })
  await narrator.step('the same Idempotency-Key again: the same call, no second one', async () => {
    const again = await place()
    if (again !== callId) throw new Error(`a second call was placed: ${again}`)
  })
  await narrator.step('the subscriber picks up: alerting', async () => {
    await cast.simulator.call('POST', `/calls/${encodeURIComponent(callId)}/local/pickup`)
    await narrator.heard('stream', 'call.alerting', (payload) => payload['call_id'] === callId)
  })
  await narrator.step('the other side answers: active', async () => {
    await cast.simulator.call('POST', `/calls/${encodeURIComponent(callId)}/remote/answer`)
    await narrator.heard('webhook', 'call.active', (payload) => payload['call_id'] === callId)
  })
  await narrator.step('it is in the list of calls, and gone after the other side hangs up', async () => {
    const isListed = async () => {
      const calls = v.parse(v.array(CreatedCall), (await cast.gateway.call('GET', `/apps/${cast.appId}/calls`)).body)
      return calls.some((call) => call.call_id === callId)
    }
    if (!(await isListed())) throw new Error('the call is not in the list')
    await cast.simulator.call('POST', `/calls/${encodeURIComponent(callId)}/remote/hangup`)
    await narrator.heard('webhook', 'call.released', (payload) => payload['call_id'] === callId)
    if (await isListed()) throw new Error('the call is still in the list')
  })
}

class Narrator {
  readonly #cast: Cast

  constructor(cast: Cast) {
    this.#cast = cast
  }

  async step<Result>(title: string, act: () => Promise<Result>): Promise<Result> {
    const startedAt = performance.now()
    const result = await act()
    this.#cast.step(title, performance.now() - startedAt)
    return result
  }

  heard(via: Heard['via'], event: string, matches: (payload: Heard['payload']) => boolean): Promise<Heard> {
    return this.#cast.app.waitFor(
      (heard) => heard.via === via && heard.event === event && matches(heard.payload),
      STEP_TIMEOUT_MS,
      `${event} by ${via}`,
    )
  }

  async heardBoth(event: string, callId: string, sequence: string): Promise<void> {
    const matches = (payload: Heard['payload']) =>
      payload['call_id'] === callId && payload['sequence_number'] === sequence
    await Promise.all([this.heard('webhook', event, matches), this.heard('stream', event, matches)])
  }

  /** Checks the simulator's own view; undefined: the call is gone. */
  async simulated(callId: string, state: string | undefined): Promise<void> {
    const { calls } = v.parse(SimulatedCalls, (await this.#cast.simulator.call('GET', '/calls')).body)
    const found = calls.find((call) => call.call_id === callId)?.state
    if (found !== state) throw new Error(`the simulator shows ${found ?? 'no call'}, expected ${state ?? 'no call'}`)
  }
}
