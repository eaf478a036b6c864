import { describe, expect, test } from 'vitest'
import { until } from '../../test/support/until.ts'
import { Commands } from './commands.ts'
import type { ClientFrame, ReplyFrame } from './frames.ts'

const DIAL = {
  op: 'dial',
  idempotency_key: 'k',
  subscriber_id: 'ann',
  subscriber_number: '1',
  remote_number: '2',
} as const
const HOLD = { op: 'hold', call_id: 'c' } as const
const OPTIONS = { timeoutMs: 10_000 }

type Sent = ClientFrame & { readonly request_id?: string }

/** Commands with a connection that remembers what went over it. */
function createRig() {
  const commands = new Commands(() => performance.now())
  const sent: Sent[] = []
  return {
    commands,
    sent,
    attach: () => commands.attach((frame) => sent.push(frame)),
    reply: (index: number, reply: Partial<ReplyFrame>) =>
      commands.settle({ type: 'reply', request_id: sent[index]?.request_id ?? '', status: 204, ...reply }),
  }
}

describe('a command', () => {
  test('waits for a connection, and resolves with its reply', async () => {
    const { commands, sent, attach, reply } = createRig()
    const running = commands.run(HOLD, OPTIONS)
    expect(sent).toEqual([])
    attach()
    expect(sent).toEqual([{ op: 'hold', call_id: 'c', request_id: 'c1' }])
    reply(0, {})
    expect(await running).toMatchObject({ status: 204 })
  })

  test('rejects with the problem of the gateway', async () => {
    const { commands, attach, reply } = createRig()
    attach()
    const running = commands.run(HOLD, OPTIONS)
    reply(0, {
      status: 409,
      problem: { status: 409, code: 'call_state_conflict', detail: 'it rings' },
      retry_after_ms: 7,
    })
    await expect(running).rejects.toMatchObject({
      name: 'CommandRefusedError',
      status: 409,
      code: 'call_state_conflict',
      message: 'it rings',
      retryAfterMs: 7,
    })
  })

  test('is not sent again when the connection breaks: it may have been carried out', async () => {
    const { commands, sent, attach } = createRig()
    attach()
    const running = commands.run(HOLD, OPTIONS)
    commands.detach()
    await expect(running).rejects.toMatchObject({ reason: 'disconnected', mayHaveHappened: true })
    attach()
    expect(sent).toHaveLength(1)
  })

  test('that was never sent has not happened when its time is over', async () => {
    const { commands, sent, attach } = createRig()
    await expect(commands.run(HOLD, { timeoutMs: 20 })).rejects.toMatchObject({
      reason: 'timeout',
      mayHaveHappened: false,
    })
    attach()
    expect(sent).toEqual([])
  })

  test('that was sent may have happened when its time is over; a late reply is ignored', async () => {
    const { commands, attach, reply } = createRig()
    attach()
    const running = commands.run(DIAL, { timeoutMs: 20 })
    await expect(running).rejects.toMatchObject({ reason: 'timeout', mayHaveHappened: true, idempotencyKey: 'k' })
    reply(0, { status: 201 })
  })

  test('can be given up, and is given up when the client is closed', async () => {
    const { commands, attach } = createRig()
    attach()
    const giveUp = new AbortController()
    const [first, second] = [commands.run(HOLD, { ...OPTIONS, signal: giveUp.signal }), commands.run(HOLD, OPTIONS)]
    giveUp.abort()
    await expect(first).rejects.toMatchObject({ reason: 'aborted', mayHaveHappened: true })
    commands.close()
    await expect(second).rejects.toMatchObject({ reason: 'closed', mayHaveHappened: true })
    await expect(commands.run(HOLD, OPTIONS)).rejects.toMatchObject({ reason: 'closed', mayHaveHappened: false })
    await expect(commands.run(HOLD, { ...OPTIONS, signal: giveUp.signal })).rejects.toMatchObject({ reason: 'closed' })
  })

  test('that is too large is not sent', async () => {
    const { commands, sent, attach } = createRig()
    attach()
    await expect(commands.run({ op: 'hold', call_id: 'x'.repeat(70_000) }, OPTIONS)).rejects.toThrow(RangeError)
    expect(sent).toEqual([])
  })
})

describe('a call to place', () => {
  test('is sent again over the next connection with the same key and another request id', async () => {
    const { commands, sent, attach, reply } = createRig()
    attach()
    const running = commands.run(DIAL, OPTIONS)
    commands.detach()
    attach()
    expect(sent.map((frame) => [frame.request_id, 'idempotency_key' in frame && frame.idempotency_key])).toEqual([
      ['c1', 'k'],
      ['c2', 'k'],
    ])
    reply(1, { status: 201, body: { call_id: 'x' } })
    expect(await running).toMatchObject({ body: { call_id: 'x' } })
  })

  test('whose first request still runs is asked for until it has an answer', async () => {
    const { commands, sent, attach, reply } = createRig()
    attach()
    const running = commands.run(DIAL, OPTIONS)
    const inProgress = { status: 409, problem: { status: 409, code: 'idempotency_in_progress' } }
    reply(0, inProgress)
    await until('the second question', () => sent.length === 2)
    reply(1, inProgress)
    await until('the third question', () => sent.length === 3)
    reply(2, { status: 201, body: { call_id: 'x' } })
    expect(await running).toMatchObject({ body: { call_id: 'x' } })
  })
})

test('at most 16 are under way; the others follow as the replies come', async () => {
  const { commands, sent, attach, reply } = createRig()
  attach()
  const running = Array.from({ length: 25 }, () => commands.run(HOLD, OPTIONS))
  expect(sent).toHaveLength(16)
  for (let index = 0; index < 25; index += 1) reply(index, {})
  await Promise.all(running)
  expect(new Set(sent.map((frame) => frame.request_id)).size).toBe(25)
})

test('more than a burst is spread over time', async () => {
  const { commands, sent, attach, reply } = createRig()
  attach()
  const running = Array.from({ length: 36 }, () => commands.run(HOLD, OPTIONS))
  for (let index = 0; index < 30; index += 1) reply(index, {})
  expect(sent).toHaveLength(30)
  await until('the rest is sent', () => sent.length === 36)
  for (let index = 30; index < 36; index += 1) reply(index, {})
  await Promise.all(running)
})

test('no more than 1,000 wait', async () => {
  const { commands } = createRig()
  const running = Array.from({ length: 1_000 }, () => commands.run(HOLD, OPTIONS).catch(() => 'given up'))
  await expect(commands.run(HOLD, OPTIONS)).rejects.toThrow(RangeError)
  commands.close()
  expect(new Set(await Promise.all(running))).toEqual(new Set(['given up']))
})
