import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'
import { createSigningKey, generateSecret, signatureList } from '../../src/webhooks/signature.ts'
import { startTestRedis } from '../support/redis.ts'
import { until } from '../support/until.ts'
import { callEntry, createEventLog, EndpointBook, startEngine } from '../support/webhook-engine.ts'

/** The example as a process of its own. */
async function startExample() {
  const secret = generateSecret()
  const script = join(import.meta.dirname, '../../examples/webhook-receiver.ts')
  const example = spawn(process.execPath, [script, '--secret', secret, '--port', '0'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const lines: string[] = []
  createInterface(example.stdout).on('line', (line) => lines.push(line))
  const port = await until('the port', () => lines[0]?.split(' ').at(-1))
  return {
    secret,
    url: `http://127.0.0.1:${port}/`,
    /** What it has printed about events. */
    line: (number: number) => until(`line ${number}`, () => lines[number]),
    async stop() {
      example.kill()
      await once(example, 'exit')
    },
  }
}

const ofCall = (state: string, sequence: string) => ({
  event: `call.${state}`,
  subscriber_id: 'ann@example.net',
  call_id: 'callhalf-1:0',
  sequence_number: sequence,
  state,
})

test('the example receiver verifies what the gateway sends and prints it', async () => {
  const redis = await startTestRedis()
  const example = await startExample()
  try {
    const book = new EndpointBook()
    book.add(example.url, { secret: example.secret })
    const eventLog = createEventLog(redis)
    const engine = await startEngine(redis, book, { eventLog })
    await until('the cursor', async () => (await redis.connect().exists(`ch:{wh}:cursors:${book.app.appId}`)) === 1)
    await eventLog.append(book.app, callEntry('callhalf-1:0', 3, 'call.ringing'))
    expect(await example.line(1)).toContain('call.ringing - callhalf-1:0 #3')
    expect((await fetch(example.url, { method: 'POST', body: '{}' })).status).toBe(401)
    await engine.stop()
  } finally {
    await example.stop()
    await redis.stop()
  }
})

test('the example receiver drops repetitions, tells old from new, and answers the challenge', async () => {
  const example = await startExample()
  const post = (id: string, body: object, headers: Record<string, string> = {}) => {
    const payload = JSON.stringify(body)
    const timestamp = Math.floor(Date.now() / 1_000)
    const keys = { symmetric: [createSigningKey(example.secret)], asymmetric: [] }
    return fetch(example.url, {
      method: 'POST',
      headers: {
        'webhook-id': id,
        'webhook-timestamp': String(timestamp),
        'webhook-signature': signatureList({ id, timestamp, payload }, keys),
        ...headers,
      },
      body: payload,
    })
  }
  try {
    expect((await post('msg_1', ofCall('ringing', '1'))).status).toBe(202)
    expect((await post('msg_1', ofCall('ringing', '1'))).status).toBe(202)
    expect((await post('msg_3', ofCall('held', '3'), { 'callhalf-skipped': '2;parked' })).status).toBe(202)
    expect((await post('msg_2', ofCall('active', '2'), { 'callhalf-replay': '1' })).status).toBe(202)
    expect((await post('msg_4', ofCall('ringing', '4'), { 'callhalf-expires': '1700000000000' })).status).toBe(202)
    const asked = await post('msg_5', { type: 'webhook.challenge', timestamp: '', data: { challenge: 'abc' } })
    expect([asked.status, await asked.json()]).toEqual([200, { challenge: 'abc' }])
    await post('msg_6', { subscriber_number: '+15550100001' }, { 'callhalf-event': 'subscriber.assigned' })

    expect(await example.line(1)).toMatch(/call\.ringing .* #1 .* somebody should answer$/)
    expect(await example.line(2)).toMatch(/call\.held .* #3 .* not delivered before: 2;parked$/)
    expect(await example.line(3)).toMatch(/call\.active .* #2 .* older than what is known: kept for the history only$/)
    expect(await example.line(4)).toMatch(/call\.ringing .* #4 .* expired: not acted on$/)
    expect(await example.line(5)).toMatch(/subscriber\.assigned - \+15550100001$/)
  } finally {
    await example.stop()
  }
})
