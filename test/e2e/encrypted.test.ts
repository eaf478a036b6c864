import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Agent, request } from 'undici'
import { expect, onTestFinished, test } from 'vitest'
import { ApiClient } from '../../src/cli/api-client.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { Simulator } from '../../src/simulator/simulator.ts'
import { GatewayProgram, runCallhalf } from '../support/gateway-program.ts'
import { addTenant } from '../support/installation.ts'
import { freePort, RedisProcess } from '../support/redis-process.ts'
import { createSelfSigned } from '../support/self-signed.ts'
import { until } from '../support/until.ts'
import { WebhookReceiver } from '../support/webhook-receiver.ts'

const ADMIN_KEY = 'an-admin-key-of-tests'
const ANN = { id: 'ann@example.net', number: '+15550100001' }
/** As docs/operations.md has it. */
const ACL_RULES = ['on', '>red-pass', '~ch:*', '&ch:*', '+@all', '-@dangerous', '+info']

async function makeFolder() {
  const folder = await mkdtemp(join(tmpdir(), 'callhalf-encrypted-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const { cert, key } = createSelfSigned()
  const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  await writeFile(certFile, cert)
  await writeFile(keyFile, key)
  return { folder, certFile, keyFile, cert }
}

test('a Redis with TLS and a user of few rights serves calls, streams and webhooks', async () => {
  const { folder, certFile, keyFile } = await makeFolder()
  const tlsPort = await freePort()
  await using redis = await RedisProcess.start({
    'tls-port': tlsPort,
    'tls-cert-file': certFile,
    'tls-key-file': keyFile,
    'tls-ca-cert-file': certFile,
    'tls-auth-clients': 'no',
  })
  await redis.run((client) => client.call('ACL', 'SETUSER', 'callhalf', ...ACL_RULES))
  const simulator = new Simulator({
    ports: [0],
    controlPort: 0,
    username: 'admin@example.net',
    password: 'correct horse',
    log: silentLogger,
  })
  await simulator.start()
  onTestFinished(() => simulator.stop(AbortSignal.timeout(5_000)))
  const receiver = await new WebhookReceiver().start()
  onTestFinished(() => receiver.stop())
  await using gateway = await GatewayProgram.start({
    REDIS_URL: `rediss://callhalf:red-pass@127.0.0.1:${tlsPort}`,
    NODE_EXTRA_CA_CERTS: certFile,
    CALLHALF_PORT: '0',
    CALLHALF_DATA_DIR: folder,
    CALLHALF_ADMIN_KEY: ADMIN_KEY,
    CALLHALF_ALLOW_PRIVATE_TARGETS: '127.0.0.0/8',
  })
  const admin = new ApiClient({ baseUrl: gateway.url, key: ADMIN_KEY })
  const control = new ApiClient({ baseUrl: simulator.controlUrl })
  const tenant = await addTenant({ gateway, simulator, admin, control }, [ANN])
  await tenant.client.call('POST', tenant.path('/webhooks'), { url: `${receiver.url}/events` })
  await control.call('POST', `/users/${encodeURIComponent(ANN.id)}/incoming-calls`, { from: '+15550199001' })
  const [received] = await until('the webhook', () => (receiver.received.length > 0 ? receiver.received : undefined))
  expect(JSON.parse(received?.body ?? '')).toMatchObject({ subscriber_id: ANN.id, state: 'ringing' })
  const { body: calls } = await tenant.client.call('GET', tenant.path('/calls'))
  expect(calls).toMatchObject([{ state: 'ringing' }])
  // What it was not allowed to do: nothing.
  const denied = await redis.run((client) => client.call('ACL', 'LOG'))
  expect(denied).toEqual([])
  expect(await gateway.stop()).toBe(0)
})

test('`callhalf ready` asks a gateway with TLS, and one that is not there', async () => {
  const { folder, certFile, keyFile, cert } = await makeFolder()
  const env = {
    CALLHALF_PORT: String(await freePort()),
    CALLHALF_HOST: '0.0.0.0',
    CALLHALF_DATA_DIR: folder,
    CALLHALF_TLS_CERT: certFile,
    CALLHALF_TLS_KEY: keyFile,
  }
  await using gateway = await GatewayProgram.start(env)
  expect(gateway.url).toBe(`https://0.0.0.0:${env.CALLHALF_PORT}`)
  const agent = new Agent({ connect: { ca: cert } })
  onTestFinished(() => agent.destroy())
  const { statusCode } = await request(`https://127.0.0.1:${env.CALLHALF_PORT}/readyz`, { dispatcher: agent })
  expect(statusCode).toBe(200)
  const asked = await runCallhalf('ready', env)
  expect(asked).toMatchObject({ code: 0 })
  expect(asked.said).toContain('"ready":true')
  expect(await gateway.stop()).toBe(0)
  const askedAgain = await runCallhalf('ready', env)
  expect(askedAgain).toMatchObject({ code: 1 })
  expect(askedAgain.said).toContain('does not answer')
})

test('a certificate that cannot be used ends the start with one clear line', async () => {
  const { folder, certFile } = await makeFolder()
  const missing = join(folder, 'absent.pem')
  const { code, said } = await runCallhalf('serve', {
    CALLHALF_PORT: '0',
    CALLHALF_DATA_DIR: folder,
    CALLHALF_TLS_CERT: certFile,
    CALLHALF_TLS_KEY: missing,
  })
  expect(code).toBe(1)
  expect(said).toBe(`CALLHALF_TLS_KEY: ${missing} cannot be read (ENOENT)\n`)
})
