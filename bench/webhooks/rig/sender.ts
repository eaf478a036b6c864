/**
 * A process that does nothing but POST: bare undici, or one attempt after the other by the gateway's
 * deliverer (guard, headers, signature, deadline). Started by {@link Child}.
 */
import { createSecretKey, randomBytes } from 'node:crypto'
import { Agent, request } from 'undici'
import { systemClock } from '../../../src/core/clock.ts'
import { toAppId, toEndpointId } from '../../../src/core/ids.ts'
import { createAddressPolicy } from '../../../src/webhooks/address-policy.ts'
import { Deliverer } from '../../../src/webhooks/deliverer.ts'
import { createResolver } from '../../../src/webhooks/resolver.ts'
import { answerCalls } from './child.ts'
import { composePayload } from './generator.ts'
import { paced } from './wait.ts'

export type SendPlan = {
  readonly urls: readonly string[]
  readonly way: 'bare' | 'signed'
} & (
  | { readonly pace: 'even'; readonly perSecond: number; readonly seconds: number }
  /** As fast as it goes with so many under way. */
  | { readonly pace: 'full'; readonly concurrency: number; readonly count: number }
)

export type SendResult = {
  readonly seconds: number
  readonly cpuUs: number
  readonly sent: number
  readonly failed: number
}

type Post = (url: string, payload: string, index: number) => Promise<boolean>

const APP_ID = toAppId('bench-app')

function barePost(agent: Agent): Post {
  return async (url, payload) => {
    const { statusCode, body } = await request(url, {
      method: 'POST',
      dispatcher: agent,
      headers: { 'content-type': 'application/json' },
      body: payload,
    })
    await body.dump()
    return statusCode === 200
  }
}

function signedPost(deliverer: Deliverer): Post {
  const own = { keys: { symmetric: [createSecretKey(randomBytes(32))], asymmetric: [] }, headers: {} }
  const credentials = () => Promise.resolve(own)
  const signal = new AbortController().signal
  return async (url, payload, index) => {
    const reports = await deliverer.attempt(
      { endpointId: toEndpointId('bench-endpoint'), url, credentials },
      {
        messageId: `msg_${String(index).padStart(27, '0')}`,
        payload,
        number: 1,
        timeoutMs: 10_000,
        headers: {
          'callhalf-event': 'call.ringing',
          'callhalf-position': `1700000000000000:${index}`,
          'callhalf-sequence': '1',
          'callhalf-call-id': `call-${index}`,
          'callhalf-age-ms': '1',
          'callhalf-expires': '1700000030000',
        },
      },
      signal,
    )
    return reports.at(-1)?.outcome.kind === 'delivered'
  }
}

async function send(plan: SendPlan): Promise<SendResult> {
  const agent = new Agent({ connections: 64, pipelining: 1, allowH2: false })
  const deliverer = new Deliverer({
    policy: createAddressPolicy(['127.0.0.0/8']),
    resolve: createResolver({ timeoutMs: 1_000, localNames: true }),
    clock: systemClock,
    userAgent: 'Callhalf/bench',
  })
  deliverer.start()
  const post = plan.way === 'bare' ? barePost(agent) : signedPost(deliverer)
  let failed = 0
  const sendOne = async (index: number): Promise<void> => {
    const url = plan.urls[index % plan.urls.length] ?? ''
    const change = { callId: `call-${index}`, subscriberId: 'anna@example.net', sequence: 1, state: 'ringing' } as const
    if (!(await post(url, JSON.stringify(composePayload(APP_ID, change)), index).catch(() => false))) failed += 1
  }
  const cpuBefore = process.cpuUsage()
  const startedAt = performance.now()
  const sent = await (plan.pace === 'even' ? sendEvenly(plan, sendOne) : sendFully(plan, sendOne))
  const seconds = (performance.now() - startedAt) / 1_000
  const { user, system } = process.cpuUsage(cpuBefore)
  await Promise.all([agent.destroy(), deliverer.stop()])
  return { seconds, cpuUs: user + system, sent, failed }
}

async function sendEvenly(
  plan: { readonly perSecond: number; readonly seconds: number },
  sendOne: (index: number) => Promise<void>,
): Promise<number> {
  const under: Promise<void>[] = []
  await paced(plan, (index) => under.push(sendOne(index)))
  await Promise.all(under)
  return under.length
}

async function sendFully(
  { concurrency, count }: { readonly concurrency: number; readonly count: number },
  sendOne: (index: number) => Promise<void>,
): Promise<number> {
  let next = 0
  const lane = async () => {
    while (next < count) {
      next += 1
      await sendOne(next - 1)
    }
  }
  await Promise.all(Array.from({ length: concurrency }, lane))
  return count
}

const calls = { send }

export type SenderCalls = typeof calls

answerCalls(calls)
