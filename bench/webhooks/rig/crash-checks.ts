import type { Delivery } from '../../../src/core/delivery-record.ts'
import type { Endpoint } from '../../../src/core/endpoint.ts'
import type { Arrival } from './receiver.ts'

/** What was answered so shortly before a worker's end may not have been settled any more. */
const UNSETTLED_MS = 1_000

export type OrderVerdict = {
  readonly figures: Readonly<Record<string, number>>
  readonly problems: readonly string[]
  readonly outOfOrder: number
  readonly lost: number
  readonly undeclared: number
  readonly repeatedAfterStop: number
  /** Sent again although answered with 200: to be explained by what the records say of the attempt before. */
  readonly suspects: readonly Suspect[]
}

export type Suspect = { readonly messageId: string; readonly attempt: number }

type OrderInput = {
  readonly arrivals: readonly Arrival[]
  readonly deliveries: readonly Delivery[]
  /** By port. */
  readonly endpoints: readonly Endpoint[]
  readonly calls: number
  readonly steps: number
  readonly killedAt: number
  readonly stoppedAt: number
}

/** Walks through every (endpoint, call) from both sides: what arrived, and what the records say. */
export function checkOrder(input: OrderInput): OrderVerdict {
  const { arrivals, deliveries, endpoints, calls, steps } = input
  const lanes = Map.groupBy(arrivals, ({ port, callId }) => `${port} ${callId}`)
  const recordsOfLane = Map.groupBy(deliveries, ({ endpointId, callId }) => `${endpointId} ${callId}`)
  const problems: string[] = []
  const sums = { outOfOrder: 0, lost: 0, undeclared: 0, repeatedAfterStop: 0 }
  const suspects: Suspect[] = []
  const figures = {
    delivered: 0,
    expired: 0,
    parked: 0,
    superseded: 0,
    dropped: 0,
    'sent again after a kill': 0,
    'sent again although answered': 0,
    'arrived out of order, and said so': 0,
  }

  for (const [port, endpoint] of endpoints.entries()) {
    for (let call = 0; call < calls; call += 1) {
      const callId = `callhalf-${call}:0`
      const lane = (lanes.get(`${port} ${callId}`) ?? []).toSorted((a, b) => a.at - b.at)
      const name = `endpoint ${port} ${callId}`
      sums.outOfOrder += countDisorder(lane, name, problems)
      figures['arrived out of order, and said so'] += lane.filter(({ isParked }) => isParked).length
      const declared = new Set(lane.flatMap(({ skipped }) => labelsIn(skipped)))
      const answered = new Set(lane.filter(({ answer }) => answer === 'ok').map(({ sequence }) => sequence))
      const records = new Map(
        recordsOfLane.get(`${endpoint.endpointId} ${callId}`)?.map((record) => [Number(record.sequence), record]),
      )
      for (let sequence = 1; sequence <= steps; sequence += 1) {
        const record = records.get(sequence)
        if (record === undefined || record.status === 'pending') {
          sums.lost += answered.has(sequence) ? 0 : 1
          problems.push(
            `${name} ${sequence}: ${record?.status ?? 'no record'}, ${answered.has(sequence) ? 'answered' : 'never answered'}`,
          )
          continue
        }
        figures[record.status] += 1
        if (record.status === 'delivered' && !answered.has(sequence)) {
          sums.lost += 1
          problems.push(`${name} ${sequence}: recorded as delivered, but no 200 was answered`)
        } else if (record.status !== 'delivered' && !declared.has(sequence) && sequence < steps) {
          sums.undeclared += 1
          problems.push(`${name} ${sequence}: ${record.status}, but no later event says so`)
        }
      }
    }
  }
  for (const [messageId, repeats] of Map.groupBy(arrivals, (arrival) => arrival.messageId)) {
    for (const index of repeats.keys()) {
      const before = repeats[index - 1]
      if (before?.answer !== 'ok') continue
      figures['sent again although answered'] += 1
      if (before.from === 'worker-1' && before.answeredAt >= input.killedAt - UNSETTLED_MS) {
        figures['sent again after a kill'] += 1
        continue
      }
      if (before.from === 'worker-2' && before.answeredAt >= input.stoppedAt - UNSETTLED_MS) sums.repeatedAfterStop += 1
      suspects.push({ messageId, attempt: before.attempt })
    }
  }
  return { figures, problems, suspects, ...sums }
}

/** Events whose first arrival comes after that of a later one, unless they say that they are out of order. */
function countDisorder(lane: readonly Arrival[], name: string, problems: string[]): number {
  const seen = new Set<number>()
  let newest = 0
  let disorder = 0
  for (const { sequence, isParked } of lane) {
    const isFirst = !seen.has(sequence)
    seen.add(sequence)
    if (isParked) continue
    if (sequence < newest) {
      disorder += 1
      problems.push(`${name}: ${isFirst ? 'first' : 'again'} ${sequence} after ${newest}`)
    }
    newest = Math.max(newest, sequence)
  }
  return disorder
}

/** The sequence numbers in a `callhalf-skipped`: `3;parked, 4;expired`. */
const labelsIn = (skipped: string): number[] =>
  skipped
    .split(',')
    .map((item) => Number.parseInt(item.trim(), 10))
    .filter((sequence) => !Number.isNaN(sequence))

/**
 * What a killed worker had sent and no answer had been given to: how long until somebody else sends it. What
 * was answered with a failure just before the kill is not counted, because its retry has a delay of its own.
 */
export function checkTakeOver(options: {
  readonly arrivals: readonly Arrival[]
  readonly killedAt: number
  readonly from: string
  /** Of an attempt: what hung for longer was no longer open. */
  readonly timeoutMs: number
  readonly maxMs: number
}) {
  const { arrivals, killedAt, from, timeoutMs, maxMs } = options
  const problems: string[] = []
  const waits: number[] = []
  const byMessage = Map.groupBy(arrivals, (arrival) => arrival.messageId)
  for (const repeats of byMessage.values()) {
    const own = repeats.filter((arrival) => arrival.from === from && arrival.at <= killedAt)
    const last = own.at(-1)
    if (last === undefined) continue
    const wasOpen =
      last.answer === 'cut' || (last.answer === 'hung' && last.at > killedAt - timeoutMs) || last.answeredAt > killedAt
    const next = repeats.find((arrival) => arrival.from !== from && arrival.at > killedAt)
    const wasUnsettled = last.answer === 'ok' && next !== undefined
    if (!wasOpen && !wasUnsettled) continue
    if (next !== undefined) {
      const waitMs = next.at - killedAt
      waits.push(waitMs)
      if (waitMs > maxMs)
        problems.push(
          `${last.callId} ${last.sequence} of endpoint ${last.port}, ${last.answer} at the kill, again as attempt ${next.attempt} after ${last.attempt} and ${waitMs.toFixed(0)} ms`,
        )
    } else if (last.answer !== 'ok')
      problems.push(`${last.callId} ${last.sequence} of endpoint ${last.port} was not sent again`)
  }
  return { waits: waits.toSorted((a, b) => a - b), problems }
}
