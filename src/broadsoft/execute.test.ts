import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { callDetails, callList, errorInfo } from '../../test/fixtures/xsi/documents.ts'
import { TestNodes } from '../../test/support/nodes.ts'
import { systemClock } from '../core/clock.ts'
import { GatewayError } from '../core/errors.ts'
import { toCallId, toSubscriberId } from '../core/ids.ts'
import { silentLogger } from '../core/logger.ts'
import { XsiClient } from './client.ts'
import { CommandExecutor, executeCommand } from './execute.ts'

type Answer = { readonly status: number; readonly body?: string; readonly headers?: Readonly<Record<string, string>> }

const ANN = toSubscriberId('ann@example.net')
const CALL = toCallId('callhalf-1:0')
const USER = '/com.broadsoft.xsi-actions/v2.0/user/ann@example.net'
const never = new AbortController().signal

const nodes = new TestNodes()
let client: XsiClient
let requests: string[] = []
let answer: (request: string) => Answer | Promise<Answer>

beforeEach(async () => {
  requests = []
  answer = () => ({ status: 200 })
  const node = await nodes.serve(async (req, res) => {
    const request = `${req.method} ${req.url}`
    requests.push(request)
    const { status, body, headers } = await answer(request)
    res.writeHead(status, headers).end(body)
  })
  client = new XsiClient({
    nodes: [node],
    credentials: { username: 'admin', password: 'secret' },
    log: silentLogger,
    clock: systemClock,
  })
})
afterEach(async () => {
  await client.close()
  await nodes.close()
})

const errorOf = async (promise: Promise<unknown>): Promise<GatewayError> => {
  const [outcome] = await Promise.allSettled([promise])
  if (outcome.status === 'rejected' && outcome.reason instanceof GatewayError) return outcome.reason
  throw new Error('no GatewayError was thrown')
}

describe('requests of the commands', () => {
  test.each([
    ['answer', `PUT ${USER}/calls/callhalf-1:0/Talk`],
    ['hold', `PUT ${USER}/calls/callhalf-1:0/Hold`],
    ['resume', `PUT ${USER}/calls/callhalf-1:0/Talk`],
    ['end', `DELETE ${USER}/calls/callhalf-1:0?decline=true`],
  ] as const)('%s', async (type, request) => {
    expect(await executeCommand(client, { type, subscriberId: ANN, callId: CALL }, never)).toBeUndefined()
    expect(requests).toEqual([request])
  })

  test('dial', async () => {
    const body =
      '<CallStartInfo xmlns="http://schema.broadsoft.com/xsi"><callId>callhalf-488:0</callId><externalTrackingId>70:1</externalTrackingId></CallStartInfo>'
    answer = () => ({ status: 201, body })
    const result = await executeCommand(
      client,
      { type: 'dial', subscriberId: ANN, remoteNumber: '+15551230100' },
      never,
    )
    expect(result).toEqual({ callId: 'callhalf-488:0', trackingId: '70:1' })
    expect(requests).toEqual([`POST ${USER}/calls/new?address=%2B15551230100`])
  })

  test('dial finds the call in Location when the answer has no document', async () => {
    answer = () => ({ status: 201, headers: { location: '/v2.0/user/ann@example.net/calls/callhalf-488%3A0' } })
    const result = await executeCommand(client, { type: 'dial', subscriberId: ANN, remoteNumber: '1012' }, never)
    expect(result).toEqual({ callId: 'callhalf-488:0', trackingId: '' })
  })

  test('dial without either is a protocol error, and is not sent again', async () => {
    const error = await errorOf(
      executeCommand(client, { type: 'dial', subscriberId: ANN, remoteNumber: '1012' }, never),
    )
    expect(error.code).toBe('protocol_error')
    expect(requests).toHaveLength(1)
  })

  test('ids are encoded, but for the characters that BroadWorks expects raw', async () => {
    const command = { type: 'hold', subscriberId: toSubscriberId('änn b?#%@example.net'), callId: CALL } as const
    await executeCommand(client, command, never)
    expect(requests).toEqual([
      'PUT /com.broadsoft.xsi-actions/v2.0/user/%C3%A4nn%20b%3F%23%25@example.net/calls/callhalf-1:0/Hold',
    ])
  })

  test.each(['..', '.', 'a/b', 'a\\b', 'a\nb', '\ud800'])('the id %j leads nowhere', async (id) => {
    const command = { type: 'hold', subscriberId: ANN, callId: toCallId(id) } as const
    expect((await errorOf(executeCommand(client, command, never))).code).toBe('invalid_request')
    expect(requests).toEqual([])
  })
})

describe('refusals', () => {
  const hold = { type: 'hold', subscriberId: ANN, callId: CALL } as const
  const dial = { type: 'dial', subscriberId: ANN, remoteNumber: '1012' } as const

  test.each([
    ['404 of a call', hold, { status: 404 }, { code: 'call_not_found', fields: { provider_status: 404 } }],
    ['404 of a user', dial, { status: 404 }, { code: 'subscriber_not_found' }],
    [
      '403 of a call',
      hold,
      { status: 403, body: errorInfo('5001') },
      { code: 'provider_refused', fields: { provider_status: 403, provider_code: '5001', maybe_gone: true } },
    ],
    [
      '403 of a user',
      dial,
      { status: 403, body: errorInfo('4008') },
      { code: 'provider_refused', fields: { provider_status: 403, provider_code: '4008' } },
    ],
    ['409 of a call', hold, { status: 409 }, { code: 'call_state_conflict' }],
    ['400', hold, { status: 400 }, { code: 'provider_refused', fields: { provider_status: 400 } }],
    ['401', hold, { status: 401 }, { code: 'provider_unauthorized' }],
    [
      '429',
      hold,
      { status: 429, headers: { 'retry-after': '2' } },
      { code: 'provider_unavailable', retryAfterSeconds: 2 },
    ],
    [
      '503 with an HTML page',
      hold,
      { status: 503, body: '<html>' },
      { code: 'provider_unavailable', retryAfterSeconds: 5 },
    ],
    ['500', dial, { status: 500 }, { code: 'provider_unavailable' }],
  ] as const)('%s', async (_, command, reply, error) => {
    answer = () => reply
    expect(await errorOf(executeCommand(client, command, never))).toMatchObject(error)
  })
})

const details = (request: string): string => callDetails({ callId: /calls\/([^?]+)/.exec(request)?.[1] ?? '' })

describe('list', () => {
  const list = { type: 'list', subscriberId: ANN } as const

  test('gives every call in full, in the order of the list', async () => {
    const ids = ['callhalf-3:0', 'callhalf-1:0', 'callhalf-2:0', 'callhalf-5:0', 'callhalf-4:0']
    answer = (request) => ({ status: 200, body: request.endsWith('/calls') ? callList(...ids) : details(request) })
    const calls = await executeCommand(client, list, never)
    expect(calls.map(({ callId }) => callId)).toEqual(ids)
    expect(calls[0]).toMatchObject({ state: 'ringing', remoteNumber: '+15551230100' })
    expect(requests[0]).toBe(`GET ${USER}/calls`)
    expect(requests).toContain(`GET ${USER}/calls/callhalf-1:0?allowDetached=true`)
    expect(requests).toHaveLength(6)
  })

  test('is empty when the user has no calls', async () => {
    answer = () => ({ status: 200, body: callList() })
    expect(await executeCommand(client, list, never)).toEqual([])
  })

  test('leaves out a call that ended meanwhile', async () => {
    answer = (request) => {
      if (request.endsWith('/calls')) return { status: 200, body: callList('callhalf-1:0', 'callhalf-2:0') }
      return request.includes('callhalf-1') ? { status: 404 } : { status: 200, body: details(request) }
    }
    expect((await executeCommand(client, list, never)).map(({ callId }) => callId)).toEqual(['callhalf-2:0'])
  })

  test('leaves out a refused call only if the list no longer has it', async () => {
    let isListed = true
    answer = (request) => {
      if (!request.endsWith('/calls')) return { status: 403, body: errorInfo('5001') }
      return { status: 200, body: requests.length === 1 || isListed ? callList('callhalf-1:0') : callList() }
    }
    expect((await errorOf(executeCommand(client, list, never))).code).toBe('provider_refused')
    requests = []
    isListed = false
    expect(await executeCommand(client, list, never)).toEqual([])
  })

  test('fails rather than leave out a call that cannot be read', async () => {
    answer = (request) =>
      request.endsWith('/calls') ? { status: 200, body: callList('callhalf-1:0') } : { status: 503 }
    expect((await errorOf(executeCommand(client, list, never))).code).toBe('provider_unavailable')
    answer = () => ({ status: 200, body: '<html/>' })
    expect((await errorOf(executeCommand(client, list, never))).code).toBe('protocol_error')
  })

  test('reads at most four calls at a time', async () => {
    let running = 0
    let most = 0
    const ids = Array.from({ length: 12 }, (_, i) => `callhalf-${i}:0`)
    answer = async (request) => {
      if (request.endsWith('/calls')) return { status: 200, body: callList(...ids) }
      running += 1
      most = Math.max(most, running)
      await new Promise((resolve) => setImmediate(resolve))
      running -= 1
      return { status: 200, body: details(request) }
    }
    expect(await executeCommand(client, list, never)).toHaveLength(12)
    expect(most).toBeLessThanOrEqual(4)
  })
})

const breakThen404 = async (type: 'end' | 'hold'): Promise<unknown> => {
  let sendings = 0
  const node = await nodes.serve((req, res) => {
    sendings += 1
    if (sendings === 1) req.socket.resetAndDestroy()
    else res.writeHead(404).end()
  })
  const breaking = new XsiClient({
    nodes: [node],
    credentials: { username: 'admin', password: 'secret' },
    log: silentLogger,
    clock: systemClock,
  })
  try {
    return await executeCommand(breaking, { type, subscriberId: ANN, callId: CALL }, never)
  } finally {
    await breaking.close()
    expect(sendings).toBe(2)
  }
}

describe('a command whose connection breaks and whose repeat is answered 404', () => {
  test('has ended the call, if that was the command', async () => {
    expect(await breakThen404('end')).toBeUndefined()
  })

  test('has failed, if it was another one', async () => {
    expect((await errorOf(breakThen404('hold'))).code).toBe('call_not_found')
  })

  test('without a break before it, an end that is answered 404 is for no call', async () => {
    answer = () => ({ status: 404 })
    const command = { type: 'end', subscriberId: ANN, callId: CALL } as const
    expect((await errorOf(executeCommand(client, command, never))).code).toBe('call_not_found')
  })
})

const requestsFor = (callId: string): string[] => requests.filter((request) => request.includes(callId))

describe('the executor', () => {
  test('runs the commands for one call one after the other, those for others beside them', async () => {
    const executor = new CommandExecutor(client)
    const other = { type: 'hold', subscriberId: ANN, callId: toCallId('callhalf-2:0') } as const
    // Until an answer has shown that the credentials are good, requests go one by one anyway.
    await executor.execute(other, never)
    const held = Promise.withResolvers<Answer>()
    answer = (request) => (request.endsWith('callhalf-1:0/Hold') ? held.promise : { status: 200 })
    const first = executor.execute({ type: 'hold', subscriberId: ANN, callId: CALL }, never)
    const second = executor.execute({ type: 'resume', subscriberId: ANN, callId: CALL }, never)
    await executor.execute(other, never)
    await executor.execute(other, never)
    expect(requestsFor('callhalf-1')).toEqual([`PUT ${USER}/calls/callhalf-1:0/Hold`])
    held.resolve({ status: 200 })
    await Promise.all([first, second])
    expect(requestsFor('callhalf-1')).toEqual([
      `PUT ${USER}/calls/callhalf-1:0/Hold`,
      `PUT ${USER}/calls/callhalf-1:0/Talk`,
    ])
  })

  test('a command behind a failed one is carried out', async () => {
    const executor = new CommandExecutor(client)
    answer = (request) => ({ status: request.endsWith('Hold') ? 403 : 200 })
    const failed = errorOf(executor.execute({ type: 'hold', subscriberId: ANN, callId: CALL }, never))
    await executor.execute({ type: 'end', subscriberId: ANN, callId: CALL }, never)
    expect((await failed).code).toBe('provider_refused')
  })

  test('a ninth command for a call is turned away', async () => {
    const executor = new CommandExecutor(client)
    const held = Promise.withResolvers<Answer>()
    answer = () => held.promise
    const command = { type: 'hold', subscriberId: ANN, callId: CALL } as const
    const taken = Array.from({ length: 8 }, () => executor.execute(command, never))
    expect((await errorOf(executor.execute(command, never))).code).toBe('too_many_requests')
    held.resolve({ status: 200 })
    await Promise.all(taken)
    expect(requests).toHaveLength(8)
  })

  test('a command that is given up while it waits is never sent', async () => {
    const executor = new CommandExecutor(client)
    const held = Promise.withResolvers<Answer>()
    answer = () => held.promise
    const controller = new AbortController()
    const first = executor.execute({ type: 'hold', subscriberId: ANN, callId: CALL }, never)
    const second = errorOf(executor.execute({ type: 'end', subscriberId: ANN, callId: CALL }, controller.signal))
    const third = executor.execute({ type: 'resume', subscriberId: ANN, callId: CALL }, never)
    controller.abort()
    const error = await second
    expect([error.code, error.fields]).toEqual(['provider_unavailable', { sent: false }])
    held.resolve({ status: 200 })
    await Promise.all([first, third])
    expect(requests).toEqual([`PUT ${USER}/calls/callhalf-1:0/Hold`, `PUT ${USER}/calls/callhalf-1:0/Talk`])
  })
})
