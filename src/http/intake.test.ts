import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { afterEach, expect, test, vi } from 'vitest'
import { Intake } from './intake.ts'

const REQUEST = 'GET / HTTP/1.1\r\nHost: gateway.example.net\r\n\r\n'
const AT_ONCE = { turn: () => Promise.resolve() }

const started: Intake[] = []
afterEach(async () => {
  await Promise.all(started.splice(0).map((intake) => intake.close(AbortSignal.abort())))
})

/** An intake before a server that answers everything and has no patience. */
async function start(pace: { turn: () => Promise<void> }) {
  const server = createServer(
    { headersTimeout: 50, requestTimeout: 50, connectionsCheckingInterval: 10 },
    (_request, response) => response.end('hello'),
  )
  const intake = new Intake({ server, pace, onError: () => undefined })
  started.push(intake)
  await intake.listen({ host: '127.0.0.1', port: 0 })
  const open = () => connect({ host: '127.0.0.1', port: intake.address?.port ?? 0 })
  return { server, intake, open }
}

test('takes connections one after the other as their turns come, and reads nothing from the others', async () => {
  const turns: (() => void)[] = []
  const { server, open } = await start({ turn: () => new Promise((resolve) => turns.push(resolve)) })
  const requests = vi.fn<() => void>()
  server.on('request', requests)
  const [first, second] = [open(), open()]
  for (const client of [first, second]) client.write(REQUEST)
  await vi.waitFor(() => expect(turns).toHaveLength(2))
  expect(requests).not.toHaveBeenCalled()
  turns[0]?.()
  await Promise.race([once(first, 'data'), once(second, 'data')])
  expect(requests).toHaveBeenCalledTimes(1)
  turns[1]?.()
  await vi.waitFor(() => expect(requests).toHaveBeenCalledTimes(2))
})

test('a request that does not come is too late, as on any server', async () => {
  const { open } = await start(AT_ONCE)
  const client = open()
  client.write(REQUEST.slice(0, 20))
  expect(String((await once(client, 'data'))[0])).toMatch(/^HTTP\/1\.1 408 /)
})

test('a client that has left before its turn does no harm', async () => {
  const turn = Promise.withResolvers<void>()
  const { open } = await start({ turn: () => turn.promise })
  const [gone, other] = [open(), open()]
  await Promise.all([once(gone, 'connect'), once(other, 'connect')])
  gone.resetAndDestroy()
  await once(gone, 'close')
  turn.resolve()
  other.write(REQUEST)
  expect(String((await once(other, 'data'))[0])).toContain('hello')
})

test('closes idle connections, waits for the others until the deadline, and takes no more', async () => {
  const { server, intake, open } = await start(AT_ONCE)
  const [idle, busy] = [open(), open()]
  idle.write(REQUEST)
  await once(idle, 'data')
  server.removeAllListeners('request')
  const arrived = once(server, 'request')
  busy.write(REQUEST)
  await arrived
  const ended = [once(idle, 'close'), once(busy, 'close')]
  const deadline = new AbortController()
  const closed = intake.close(deadline.signal)
  await ended[0]
  expect(busy.destroyed).toBe(false)
  deadline.abort()
  await Promise.all([...ended, closed])
  expect(intake.address).toBeUndefined()
})

test('an address that is taken is an error that names it', async () => {
  const { intake } = await start(AT_ONCE)
  const port = intake.address?.port ?? 0
  const second = new Intake({ server: createServer(), pace: AT_ONCE, onError: () => undefined })
  await expect(second.listen({ host: '127.0.0.1', port })).rejects.toThrow(`cannot listen on 127.0.0.1:${port}`)
})
