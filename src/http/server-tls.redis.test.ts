import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect as connectTcp } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { Registry } from 'prom-client'
import { Agent, request } from 'undici'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import { upgradeRequest } from '../../test/support/upgrade-request.ts'
import { useRedis } from '../../test/support/use-redis.ts'
import { createSelfSigned } from '../../test/support/self-signed.ts'
import { StreamClient } from '../../test/support/stream-client.ts'
import { StreamRig } from '../../test/support/stream-rig.ts'
import { systemClock } from '../core/clock.ts'
import { silentLogger } from '../core/logger.ts'
import { CertificateWatch } from './certificate.ts'

const first = createSelfSigned()
const second = createSelfSigned()

const redis = useRedis()
let folder: string
let rig: StreamRig
let certificate: CertificateWatch

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callhalf-tls-'))
  await write(first)
  certificate = new CertificateWatch({
    files: { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'key.pem') },
    registry: new Registry(),
    clock: systemClock,
    log: silentLogger,
  })
  await certificate.start()
  rig = new StreamRig(redis, { certificate })
  rig.web.get('/hello', (c) => c.text('hello'))
  await rig.start()
})
afterEach(async () => {
  await rig.stop()
  await certificate.stop()
  await rm(folder, { recursive: true, force: true })
})

async function write({ cert, key }: { readonly cert: string; readonly key: string }): Promise<void> {
  await writeFile(join(folder, 'cert.pem'), cert)
  await writeFile(join(folder, 'key.pem'), key)
}

/** GET on a connection of its own that trusts `ca`. */
async function get(path: string, ca: string, headers: Record<string, string> = {}) {
  const agent = new Agent({ connect: { ca } })
  onTestFinished(() => agent.destroy())
  return request(`${rig.server.url}${path}`, { dispatcher: agent, headers })
}

async function shakeHands(options: ConnectionOptions): Promise<TLSSocket> {
  const { hostname, port } = new URL(rig.server.url)
  const socket = connect({ host: hostname, port: Number(port), ca: first.cert, ...options })
  onTestFinished(() => void socket.destroy())
  await once(socket, 'secureConnect')
  return socket
}

test('requests, a WebSocket and an SSE stream are served over TLS', async () => {
  const app = rig.addApp()
  expect(rig.server.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/)
  expect(await (await get('/hello', first.cert)).body.text()).toBe('hello')

  const client = await StreamClient.open(rig.streamUrl(app), { key: app.key, ca: first.cert })
  client.subscribe(null)
  await client.frame(({ type }) => type === 'subscribed')
  await rig.append(app, 1)
  await client.until(() => client.numbers.length === 1)

  const { body } = await get(`/apps/${app.appId}/stream`, first.cert, {
    authorization: `Bearer ${app.key}`,
    accept: 'text/event-stream',
  })
  let text = ''
  body.on('data', (chunk: Buffer) => (text += chunk.toString()))
  await expect.poll(() => text).toContain('event: subscribed')
  await rig.append(app, 2)
  await expect.poll(() => text).toContain('"n":2')
  await client.until(() => client.numbers.length === 2)
  expect(client.numbers).toEqual([1, 2])
  await client.disconnect()
})

test('TLS 1.2 and 1.3 are spoken, and nothing older', async () => {
  expect((await shakeHands({ maxVersion: 'TLSv1.2' })).getProtocol()).toBe('TLSv1.2')
  expect((await shakeHands({})).getProtocol()).toBe('TLSv1.3')
  await expect(
    shakeHands({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }),
  ).rejects.toThrow(/alert protocol version/)
})

test('a renewed certificate is shown to new connections, and streams that are open go on', async () => {
  const app = rig.addApp()
  const client = await StreamClient.open(rig.streamUrl(app), { key: app.key, ca: first.cert })
  client.subscribe(null)
  await client.frame(({ type }) => type === 'subscribed')
  await write(second)
  await certificate.look()
  await expect(get('/hello', first.cert)).rejects.toThrow(/self-signed|unable to verify|signature/)
  expect(await (await get('/hello', second.cert)).body.text()).toBe('hello')
  await rig.append(app, 1)
  await client.until(() => client.numbers.length === 1)
  await client.disconnect()
})

test('files that do not fit each other change nothing', async () => {
  await write({ cert: second.cert, key: first.key })
  await certificate.look()
  expect(await (await get('/hello', first.cert)).body.text()).toBe('hello')
})

test('what is not TLS is cut off, and others are served on', async () => {
  const { hostname, port } = new URL(rig.server.url)
  const socket = connectTcp(Number(port), hostname)
  socket.write('GET /hello HTTP/1.1\r\nHost: a\r\n\r\n')
  let answer = ''
  socket.on('data', (chunk) => (answer += chunk.toString('latin1')))
  socket.on('error', () => undefined)
  await once(socket, 'close')
  expect(answer).not.toContain('HTTP/1.1')
  expect(await (await get('/hello', first.cert)).body.text()).toBe('hello')
})

test('a connection that never shakes hands does not hold up the shutdown beyond its deadline', async () => {
  const { hostname, port } = new URL(rig.server.url)
  const silent = connectTcp(Number(port), hostname)
  silent.on('error', () => undefined)
  await once(silent, 'connect')
  // The server has taken the one before when it has taken this one.
  await get('/hello', first.cert).then(({ body }) => body.text())
  const closed = once(silent, 'close')
  const startedAt = performance.now()
  await rig.server.stop(AbortSignal.timeout(200))
  await closed
  expect(performance.now() - startedAt).toBeLessThan(5_000)
})

test('what was written to a client before it sent its last still reaches it', async () => {
  const app = rig.addApp()
  const socket = await shakeHands({})
  const asked = upgradeRequest(`/apps/${app.appId}/stream`, { Authorization: `Bearer ${app.key}` })
  // A ping, masked with zeros, and the end: all in one.
  socket.end(Buffer.concat([Buffer.from(asked), Buffer.from([0x89, 0x81, 0, 0, 0, 0, 0x78])]))
  const [head, frames] = Buffer.concat(await socket.toArray())
    .toString('latin1')
    .split('\r\n\r\n')
  expect(head).toMatch(/^HTTP\/1\.1 101 /)
  expect(frames).toBe('\x8A\x01x')
})
