import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'
import { generateSecret } from '../../src/webhooks/signature.ts'
import { startTestRedis } from '../support/redis.ts'
import { until } from '../support/until.ts'
import { callEntry, createEventLog, EndpointBook, startEngine } from '../support/webhook-engine.ts'

test('the example receiver verifies what the gateway sends and prints it', async () => {
  const redis = await startTestRedis()
  const secret = generateSecret()
  const script = join(import.meta.dirname, '../../examples/webhook-receiver.ts')
  const example = spawn(process.execPath, [script, '--secret', secret, '--port', '0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    const lines: string[] = []
    createInterface(example.stdout).on('line', (line) => lines.push(line))
    const port = await until('the port', () => lines[0]?.split(' ').at(-1))
    const book = new EndpointBook()
    const endpoint = book.add(`http://127.0.0.1:${port}/`)
    book.put({ ...endpoint, secret })
    const eventLog = createEventLog(redis)
    const engine = await startEngine(redis, book, { eventLog })
    await until('the cursor', async () => (await redis.connect().exists(`ch:{wh}:cursors:${book.app.appId}`)) === 1)
    await eventLog.append(book.app, callEntry('callhalf-1:0', 3, 'call.ringing'))
    expect(await until('the event', () => lines[1])).toContain('call.ringing - callhalf-1:0 #3')
    expect((await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: '{}' })).status).toBe(401)
    await engine.stop()
  } finally {
    example.kill()
    await once(example, 'exit')
    await redis.stop()
  }
})
