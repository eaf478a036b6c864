import { setTimeout as delay } from 'node:timers/promises'
import * as v from 'valibot'
import type { ApiClient } from '../api-client.ts'
import { SUBSCRIBERS } from './set-up.ts'

const PAUSE_MS = 4_000
const CreatedCall = v.object({ call_id: v.string() })

/** Lets a call happen every few seconds, each subscriber in turn, until `until` settles. */
export async function makeCalls(simulator: ApiClient, until: Promise<unknown>): Promise<void> {
  const ended = new AbortController()
  void until.then(() => ended.abort())
  try {
    for (let turn = 0; !ended.signal.aborted; turn += 1) {
      const person = SUBSCRIBERS[turn % SUBSCRIBERS.length]
      if (person === undefined) return
      await makeCall(simulator, person.id, `+1555019${String(9000 + (turn % 1000))}`, ended.signal)
      await delay(PAUSE_MS, undefined, { signal: ended.signal })
    }
  } catch (error) {
    if (!ended.signal.aborted) throw error
  }
}

async function makeCall(simulator: ApiClient, userId: string, from: string, signal: AbortSignal): Promise<void> {
  const path = `/users/${encodeURIComponent(userId)}/incoming-calls`
  const { call_id: callId } = v.parse(CreatedCall, (await simulator.call('POST', path, { from })).body)
  const call = `/calls/${encodeURIComponent(callId)}`
  await delay(PAUSE_MS / 2, undefined, { signal })
  await simulator.call('POST', `${call}/local/answer`)
  await delay(PAUSE_MS, undefined, { signal })
  await simulator.call('POST', `${call}/remote/hangup`)
}
