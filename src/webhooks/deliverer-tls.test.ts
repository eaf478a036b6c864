import { once } from 'node:events'
import { createServer } from 'node:https'
import { afterEach, expect, test } from 'vitest'
import { DelivererRig, sendOnce } from '../../test/support/deliverer-rig.ts'
import { createSelfSigned } from '../../test/support/self-signed.ts'

const rig = new DelivererRig()
afterEach(() => rig.clean())

const startTlsReceiver = async () => {
  const { key, cert } = createSelfSigned()
  const seen = { requests: 0, connections: 0 }
  const server = createServer({ key, cert }, (_req, res) => {
    seen.requests += 1
    res.end()
  })
  server.on('connection', () => {
    seen.connections += 1
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  rig.defer(async () => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  })
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return { url: `https://127.0.0.1:${port}/`, cert, seen }
}

test('a certificate that nobody vouches for is not trusted', async () => {
  const { url, seen } = await startTlsReceiver()
  expect((await sendOnce(rig.start(), url)).outcome).toEqual({ kind: 'failed', reason: 'tls_error' })
  expect(seen.requests).toBe(0)
})

test('an endpoint’s own authority is trusted for it, over sockets that nobody else uses', async () => {
  const { url, cert, seen } = await startTlsReceiver()
  const stranger = createSelfSigned().cert
  const deliverer = rig.start()
  const trusting = { target: { caCertificates: cert } }
  const first = await sendOnce(deliverer, url, trusting)
  expect(first).toMatchObject({ outcome: { kind: 'delivered', status: 200 }, reused: false })
  expect(Object.keys(first.timing)).toEqual(['connectMs', 'tlsMs', 'firstByteMs', 'totalMs'])
  expect((await sendOnce(deliverer, url)).outcome).toMatchObject({ reason: 'tls_error' })
  expect((await sendOnce(deliverer, url, { target: { caCertificates: stranger } })).outcome).toMatchObject({
    reason: 'tls_error',
  })
  expect(await sendOnce(deliverer, url, trusting)).toMatchObject({ outcome: { kind: 'delivered' }, reused: true })
  expect(seen).toEqual({ requests: 2, connections: 3 })
})

test('a certificate of a trusted authority for another name is not trusted', async () => {
  const { url, cert } = await startTlsReceiver()
  const deliverer = rig.start({ resolve: () => Promise.resolve([{ address: '127.0.0.1', family: 4 }]) })
  const elsewhere = url.replace('127.0.0.1', 'other.example.net')
  expect((await sendOnce(deliverer, elsewhere, { target: { caCertificates: cert } })).outcome).toMatchObject({
    reason: 'tls_error',
  })
})

test('of many private authorities the least recently used lose their sockets, without a failure', async () => {
  const { url, cert, seen } = await startTlsReceiver()
  const deliverer = rig.start()
  for (let i = 0; i <= 100; i += 1) {
    const { outcome } = await sendOnce(deliverer, url, { target: { caCertificates: `${cert}\n# ${i}\n` } })
    expect(outcome.kind).toBe('delivered')
  }
  expect(seen.connections).toBe(101)
  expect((await sendOnce(deliverer, url, { target: { caCertificates: `${cert}\n# 0\n` } })).reused).toBe(false)
  expect((await sendOnce(deliverer, url, { target: { caCertificates: `${cert}\n# 100\n` } })).reused).toBe(true)
})

test('authorities that cannot be read vouch for nobody', async () => {
  const { url, seen } = await startTlsReceiver()
  const report = await sendOnce(rig.start(), url, {
    target: { caCertificates: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----' },
  })
  expect(report.outcome).toEqual({ kind: 'failed', reason: 'tls_error' })
  expect(seen.requests).toBe(0)
})
