import { setTimeout as delay } from 'node:timers/promises'
import type { AppRef } from '../../../src/core/ids.ts'
import type { Child } from './child.ts'
import { CALL_STATES_IN_ORDER, type CallChange, type Generator } from './generator.ts'
import type { ReceiverCalls } from './receiver.ts'

const CALLS_AT_ONCE = 100
const POLL_MS = 10

/** Events of calls without end: a hundred calls at a time, each through its ten events. */
export function callChanges(prefix: string): (index: number) => CallChange {
  const perRound = CALLS_AT_ONCE * CALL_STATES_IN_ORDER.length
  return (index) => {
    const round = Math.floor(index / perRound)
    const call = round * CALLS_AT_ONCE + (index % CALLS_AT_ONCE)
    const step = Math.floor((index % perRound) / CALLS_AT_ONCE)
    return {
      callId: `callhalf-${prefix}-${call}:0`,
      subscriberId: `user${call % 100}@example.net`,
      sequence: step + 1,
      state: CALL_STATES_IN_ORDER[step] ?? 'released',
    }
  }
}

/**
 * Appends events as fast as they are received, with no more than `window` of them on their way: the logs
 * never grow past what they keep. Resolves when all were received, with the time that took.
 */
export async function pushThrough(options: {
  readonly generator: Generator
  readonly receiver: Child<ReceiverCalls>
  readonly apps: readonly AppRef[]
  readonly count: number
  readonly window: number
  readonly prefix: string
  readonly stallMs?: number
  readonly onProgress?: (received: number) => void
}): Promise<{ readonly seconds: number; readonly received: number }> {
  const { generator, receiver, apps, count, window, prefix, stallMs = 60_000, onProgress } = options
  const change = callChanges(prefix)
  const before = (await receiver.call('counts')).ok
  const startedAt = performance.now()
  let appended = 0
  let received = 0
  let grewAt = startedAt
  while (received < count) {
    const room = Math.min(count - appended, window - (appended - received))
    if (room > 0)
      await Promise.all(
        shareOut({ apps, from: appended, count: room, change }).map(([app, changes]) => generator.append(app, changes)),
      )
    appended += Math.max(0, room)
    const now = (await receiver.call('counts')).ok - before
    if (now > received) grewAt = performance.now()
    else await delay(POLL_MS)
    received = now
    onProgress?.(received)
    if (performance.now() - grewAt > stallMs) break
  }
  return { seconds: (performance.now() - startedAt) / 1_000, received }
}

/** Each call belongs to one app. */
function shareOut({
  apps,
  from,
  count,
  change,
}: {
  readonly apps: readonly AppRef[]
  readonly from: number
  readonly count: number
  readonly change: (index: number) => CallChange
}) {
  const shares = new Map<AppRef, CallChange[]>()
  for (let index = from; index < from + count; index += 1) {
    const app = apps[(index % CALLS_AT_ONCE) % apps.length]
    if (app === undefined) continue
    const share = shares.get(app) ?? []
    share.push(change(index))
    shares.set(app, share)
  }
  return [...shares]
}
