import { setTimeout as delay } from 'node:timers/promises'
import type { Rig } from '../soak/rig.ts'
import type { Arrival } from '../soak/recording-app.ts'
import { machineLoad, preciseNow, summarise, type Summary } from '../webhooks/rig/figures.ts'
import { waitUntil } from '../webhooks/rig/wait.ts'

/** What tells the gateway that something happened to the network. */
export type Sign = 'resync' | 'subscriptions' | 'channels' | 'none'

/** What became of the calls that one failover dropped. Times in ms. */
export type GhostRound = {
  /** Of each call by webhook and by stream. */
  readonly sinceSign: Summary
  /** What `sinceSign` counts from. */
  readonly since: 'sign' | 'last change'
  /** From the network's own answer about the call's user, as the ledger has it. */
  readonly sinceRenewal: Summary
  readonly problems: readonly string[]
  readonly load: string
}

/** So long nothing must happen when nothing was said. */
const SILENCE_MS = 3_000
const CONCURRENT = 16

/** Gives everybody a call, drops all, says what `sign` says, and looks what the app is told. */
export async function runGhostRound(
  rig: Rig,
  options: { readonly calls: number; readonly living: number; readonly sign: Sign; readonly waitMs: number },
): Promise<GhostRound> {
  const { sign, waitMs } = options
  const busy = rig.users.slice(0, options.calls)
  const idle = rig.users.slice(options.calls, options.calls + options.living)
  await untilListed(rig, [])
  const doomed = await ring(rig, busy)
  await untilListed(rig, doomed)
  const changedAt = Date.now()
  const failedAt = preciseNow()
  await rig.failover({ resync: sign === 'resync' })
  const living = await ring(rig, idle)
  const problems = await findUnexpected(rig, living)
  if (sign === 'subscriptions' || sign === 'channels') {
    await delay(SILENCE_MS)
    const missing = [...doomed, ...living].length - (await rig.listedCalls()).length
    if (missing !== 0) problems.push(`${missing} calls ended before there was a sign`)
  }
  const signedAt = sign === 'resync' ? failedAt : sign === 'none' ? changedAt : preciseNow()
  if (sign === 'subscriptions') await endSubscriptions(rig)
  if (sign === 'channels') await breakChannels(rig)
  const ways = [rig.app.webhookArrivals, rig.app.streamArrivals]
  const wanted = new Set(doomed)
  const releases = () => ways.map((arrivals) => arrivals.filter((arrival) => isRelease(arrival, wanted)))
  await waitUntil('every lost call to be ended', () => releases().every(({ length }) => length >= doomed.length), {
    timeoutMs: waitMs,
    pollMs: 200,
  }).catch(() => problems.push('waited in vain for every lost call to be ended'))
  await rig.untilQuiet()
  problems.push(...(await findLeft(rig, living)))
  const renewedAt = await renewals(rig, { since: signedAt })
  const found = releases().flat()
  const times = found.map(({ at }) => performance.timeOrigin + at)
  const early = times.filter((at) => at < failedAt).length
  if (early > 0) problems.push(`${early} calls ended while they lived`)
  for (const arrivals of ways) {
    const ended = arrivals.filter((arrival) => isRelease(arrival, wanted))
    const twice = ended.length - new Set(ended.map(({ callId }) => callId)).size
    if (twice > 0) problems.push(`${twice} calls ended twice`)
    const lives = new Set(living)
    const falselyEnded = arrivals.filter((arrival) => isRelease(arrival, lives)).length
    if (falselyEnded > 0) problems.push(`${falselyEnded} living calls ended`)
  }
  await hangUp(rig, living)
  await untilListed(rig, [])
  return {
    sinceSign: summarise(times.map((at) => at - signedAt)),
    since: sign === 'none' ? 'last change' : 'sign',
    sinceRenewal: summarise(
      sign === 'none'
        ? []
        : found.flatMap(({ subscriberId, at }) => {
            const since = renewedAt.get(subscriberId)
            return since === undefined ? [] : [performance.timeOrigin + at - since]
          }),
    ),
    problems,
    load: machineLoad(),
  }
}

/** A call for each of these users, every other one answered; the ids. */
async function ring(rig: Rig, users: readonly string[]): Promise<readonly string[]> {
  const ids: string[] = []
  for (let start = 0; start < users.length; start += CONCURRENT) {
    const made = users.slice(start, start + CONCURRENT).map(async (userId, index) => {
      const path = `/users/${encodeURIComponent(userId)}/incoming-calls`
      const { body } = await rig.control.call('POST', path, { from: '+15558000000' })
      const { call_id: callId } = body as { call_id: string }
      if (index % 2 === 0) await rig.control.call('POST', `/calls/${encodeURIComponent(callId)}/local/answer`)
      return callId
    })
    ids.push(...(await Promise.all(made)))
  }
  return ids
}

async function hangUp(rig: Rig, callIds: readonly string[]): Promise<void> {
  for (const id of callIds) await rig.control.call('POST', `/calls/${encodeURIComponent(id)}/remote/hangup`)
}

const untilListed = (rig: Rig, callIds: readonly string[]): Promise<void> =>
  waitUntil(`${callIds.length} calls to be listed`, async () => {
    const listed = new Set(await rig.listedCalls())
    return listed.size === callIds.length && callIds.every((id) => listed.has(id))
  })

/** The ledger must know of no end: the network says nothing of the calls that it dropped. */
async function findUnexpected(rig: Rig, living: readonly string[]): Promise<string[]> {
  const real = new Set(await rig.realCalls())
  const isAsPlanned = real.size === living.length && living.every((id) => real.has(id))
  return isAsPlanned ? [] : [`the network has ${real.size} calls instead of ${living.length}`]
}

async function findLeft(rig: Rig, living: readonly string[]): Promise<readonly string[]> {
  const listed = new Set(await rig.listedCalls())
  const lives = new Set(living)
  return [
    ...[...listed].filter((id) => !lives.has(id)).map((id) => `left: ${id}`),
    ...living.filter((id) => !listed.has(id)).map((id) => `not listed although it lives: ${id}`),
  ]
}

/** The operator ends every subscription; the network says so on each. */
async function endSubscriptions(rig: Rig): Promise<void> {
  const { body } = await rig.control.call('GET', '/subscriptions')
  const { subscriptions } = body as { subscriptions: readonly { subscription_id: string }[] }
  for (const { subscription_id: id } of subscriptions) await rig.control.call('DELETE', `/subscriptions/${id}`)
}

/** Every channel breaks without a farewell. */
async function breakChannels(rig: Rig): Promise<void> {
  const { body } = await rig.control.call('GET', '/channels')
  const { channels } = body as { channels: readonly { channel_id: string }[] }
  for (const { channel_id: id } of channels) await rig.control.call('POST', `/channels/${id}/drop`)
}

/** When the network first said again what calls each user has. */
async function renewals(rig: Rig, { since }: { readonly since: number }): Promise<ReadonlyMap<string, number>> {
  const at = new Map<string, number>()
  for (const { type, user_id: userId, created_at: createdAt } of await rig.readLedger()) {
    const isState = type === 'CallSubscriptionEvent' || type === 'CallSubscriptionResyncEvent'
    if (isState && createdAt >= since - 1 && !at.has(userId)) at.set(userId, createdAt)
  }
  return at
}

const isRelease = ({ callId, state }: Arrival, of: ReadonlySet<string>): boolean =>
  state === 'released' && of.has(callId)
