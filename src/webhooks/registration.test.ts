import * as fc from 'fast-check'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createDeliverer } from '../../test/support/webhook-engine.ts'
import { GatewayError, isGatewayError } from '../core/errors.ts'
import { createAddressPolicy } from './address-policy.ts'
import { checkEndpointUrl } from './registration.ts'
import type { Resolve } from './resolver.ts'
import { createSigningKey, generateSecret } from './signature.ts'

/** What a name server could answer; a second list is for the second question. */
const ZONE: Readonly<Record<string, readonly (readonly string[])[]>> = {
  'public.example.net': [['8.8.8.8', '2606:4700::1111']],
  'loopback.example.net': [['127.0.0.1']],
  'loopback6.example.net': [['::1']],
  'private10.example.net': [['10.0.0.5']],
  'private172.example.net': [['172.16.9.9']],
  'private192.example.net': [['192.168.1.1']],
  'cgnat.example.net': [['100.64.0.1']],
  'linklocal.example.net': [['169.254.10.10']],
  'metadata.example.net': [['169.254.169.254']],
  'metadata6.example.net': [['fd00:ec2::254']],
  'zero.example.net': [['0.0.0.0']],
  'broadcast.example.net': [['255.255.255.255']],
  'multicast.example.net': [['224.0.0.1']],
  'documentation.example.net': [['192.0.2.1']],
  'benchmark.example.net': [['198.18.0.1']],
  'reserved.example.net': [['240.0.0.1']],
  'mapped.example.net': [['::ffff:127.0.0.1']],
  'compatible.example.net': [['::127.0.0.1']],
  'nat64.example.net': [['64:ff9b::7f00:1']],
  'nat64local.example.net': [['64:ff9b:1::7f00:1']],
  'sixtofour.example.net': [['2002:7f00:1::']],
  'teredo.example.net': [['2001:0:4136:e378:8000:63bf:80ff:fffe']],
  'ula.example.net': [['fc00::1']],
  'linklocal6.example.net': [['fe80::1']],
  'sitelocal.example.net': [['fec0::1']],
  'multicast6.example.net': [['ff02::1']],
  'unassigned6.example.net': [['4000::1']],
  'documentation6.example.net': [['2001:db8::1']],
  'mixed.example.net': [['8.8.8.8', '127.0.0.1']],
  'mixed6.example.net': [['8.8.8.8', '::1']],
  'flips.example.net': [['8.8.8.8'], ['127.0.0.1']],
  'broken.example.net': [['not an address']],
  'empty.example.net': [[]],
  localhost: [['127.0.0.1']],
  'localhost.': [['127.0.0.1']],
  intranet: [['8.8.8.8']],
  'db.internal': [['8.8.8.8']],
  'printer.local': [['8.8.8.8']],
}

const fakeResolver = (): Resolve => {
  const asked = new Map<string, number>()
  return (hostname) => {
    const answers = ZONE[hostname]
    const turn = asked.get(hostname) ?? 0
    asked.set(hostname, turn + 1)
    const answer = answers?.[Math.min(turn, answers.length - 1)]
    if (answer === undefined)
      return Promise.reject(
        new GatewayError('webhook_url_refused', { fields: { field: 'url', reason: 'unresolvable' } }),
      )
    return Promise.resolve(answer.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })))
  }
}

const names = (...hosts: readonly string[]) => hosts.map((host) => `https://${host}.example.net/hook`)

/** Every one of these must open no socket, whether or not it passed the check at registration. */
const hostileUrls = (port: number): readonly string[] => [
  `http://127.0.0.1:${port}/`,
  `https://127.0.0.1:${port}/`,
  `https://127.1:${port}/`,
  `https://127.0.1:${port}/`,
  `https://2130706433:${port}/`,
  `https://0x7f000001:${port}/`,
  `https://0x7f.1:${port}/`,
  `https://0x7f.0x0.0x0.0x1:${port}/`,
  `https://0177.0.0.1:${port}/`,
  `https://017700000001:${port}/`,
  `https://127.0.0.1.:${port}/`,
  `https://127.255.255.254:${port}/`,
  `https://0.0.0.0:${port}/`,
  `https://0:${port}/`,
  `https://[::1]:${port}/`,
  `https://[::]:${port}/`,
  `https://[0:0:0:0:0:0:0:1]:${port}/`,
  `https://[::ffff:127.0.0.1]:${port}/`,
  `https://[::ffff:7f00:1]:${port}/`,
  `https://[0:0:0:0:0:ffff:127.0.0.1]:${port}/`,
  `https://[::127.0.0.1]:${port}/`,
  `https://[64:ff9b::127.0.0.1]:${port}/`,
  `https://[64:ff9b:1::127.0.0.1]:${port}/`,
  `https://[2002:7f00:1::]:${port}/`,
  `https://[2001:0:4136:e378:8000:63bf:80ff:fffe]:${port}/`,
  `https://[fe80::1]:${port}/`,
  `https://[fc00::1]:${port}/`,
  `https://[fd00:ec2::254]/latest/meta-data/`,
  `https://[ff02::1]:${port}/`,
  `https://[2001:db8::1]/`,
  `https://[100::1]/`,
  `https://[4000::1]/`,
  `https://10.0.0.1/`,
  `https://172.31.255.255/`,
  `https://192.168.0.1/`,
  `https://100.64.0.1/`,
  `https://169.254.169.254/latest/meta-data/`,
  `https://0xa9fea9fe/latest/meta-data/`,
  `https://2852039166/latest/meta-data/`,
  `https://198.18.0.1/`,
  `https://192.0.0.8/`,
  `https://192.0.2.1/`,
  `https://224.0.0.1/`,
  `https://240.0.0.1/`,
  `https://255.255.255.255/`,
  `https://localhost:${port}/`,
  `https://localhost.:${port}/`,
  `https://LOCALHOST:${port}/`,
  `https://ｌｏｃａｌｈｏｓｔ:${port}/`,
  `https://①②⑦.⓪.⓪.①:${port}/`,
  `https://127。0。0。1:${port}/`,
  `https://intranet/`,
  `https://db.internal/`,
  `https://printer.local/`,
  `https://user:pass@public.example.net/`,
  `https://public.example.net@127.0.0.1:${port}/`,
  `https://public.example.net:22/`,
  `https://public.example.net:25/`,
  `https://public.example.net:0/`,
  `http://public.example.net/`,
  `http://8.8.8.8/`,
  `ftp://public.example.net/`,
  `file:///etc/passwd`,
  `gopher://127.0.0.1:${port}/`,
  `unix:/var/run/docker.sock`,
  `//public.example.net/`,
  `/hook`,
  ``,
  `https://`,
  `https://${'a'.repeat(2_100)}.example.net/`,
  ...names('loopback', 'loopback6', 'private10', 'private172', 'private192', 'cgnat', 'linklocal', 'metadata'),
  ...names('metadata6', 'zero', 'broadcast', 'multicast', 'documentation', 'benchmark', 'reserved', 'mapped'),
  ...names('compatible', 'nat64', 'nat64local', 'sixtofour', 'teredo', 'ula', 'linklocal6', 'sitelocal'),
  ...names('multicast6', 'unassigned6', 'documentation6', 'mixed', 'mixed6', 'broken', 'empty', 'missing'),
]

const closed = createAddressPolicy([])
const listener = createServer((socket) => {
  connections += 1
  socket.destroy()
})
let connections = 0
let port = 0

beforeAll(async () => {
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const address = listener.address()
  port = typeof address === 'object' && address !== null ? address.port : 0
})
afterAll(() => listener.close())

test('no hostile URL is accepted at registration, and none of them passes an attempt', async () => {
  const urls = hostileUrls(port)
  expect(urls.length).toBeGreaterThanOrEqual(100)
  const deliverer = createDeliverer({ policy: closed, resolve: fakeResolver(), deadlineMs: 2_000 })
  deliverer.start()
  const slipped: string[] = []
  for (const url of urls) {
    const registered = await checkEndpointUrl(url, { policy: closed, resolve: fakeResolver() }).then(
      () => 'accepted',
      (error: unknown) => (isGatewayError(error, 'webhook_url_refused') ? 'refused' : error),
    )
    const outcome = await attempt(deliverer, url)
    const isBlocked = outcome?.kind === 'failed' && ['blocked_address', 'dns_error'].includes(outcome.reason)
    if (registered !== 'refused' || !isBlocked) slipped.push(url)
  }
  await deliverer.stop()
  expect(slipped).toEqual([])
  expect(connections).toBe(0)
})

test('a name that turns to a private address after registration is not connected to', async () => {
  const resolve = fakeResolver()
  const url = `https://flips.example.net:${port}/`
  await expect(checkEndpointUrl(url, { policy: closed, resolve })).resolves.toBe(url)
  const deliverer = createDeliverer({ policy: closed, resolve, deadlineMs: 2_000 })
  deliverer.start()
  expect(await attempt(deliverer, url)).toEqual({ kind: 'failed', reason: 'blocked_address' })
  await deliverer.stop()
  expect(connections).toBe(0)
})

test.each([
  ['https://private10.example.net/', 'blocked_address'],
  ['http://public.example.net/', 'https_required'],
  ['https://missing.example.net/', 'unresolvable'],
  ['https://a:b@public.example.net/', 'credentials'],
])('that %s is refused is told with its reason and without an address', async (url, reason) => {
  const refusal: unknown = await checkEndpointUrl(url, { policy: closed, resolve: fakeResolver() }).catch(
    (error: unknown) => error,
  )
  expect(refusal).toMatchObject({ code: 'webhook_url_refused', fields: { field: 'url', reason } })
  expect(String(refusal)).not.toMatch(/\d+\.\d+/)
})

test('a name server that does not answer is not waited for', async () => {
  const check = checkEndpointUrl('https://public.example.net/', {
    policy: closed,
    resolve: () => new Promise(() => undefined),
    deadlineMs: 50,
  })
  await expect(check).rejects.toMatchObject({ fields: { reason: 'unresolvable' } })
})

test.each([
  ['https://public.example.net/hook?a=1', 'https://public.example.net/hook?a=1'],
  ['HTTPS://Public.Example.NET:443/hook', 'https://public.example.net/hook'],
  ['https://public.example.net:8443/', 'https://public.example.net:8443/'],
  ['https://8.8.8.8/', 'https://8.8.8.8/'],
  ['https://[2606:4700::1111]/', 'https://[2606:4700::1111]/'],
  ['https://[64:ff9b::8.8.8.8]/', 'https://[64:ff9b::808:808]/'],
])('%s is accepted as %s', async (url, canonical) => {
  await expect(checkEndpointUrl(url, { policy: closed, resolve: fakeResolver() })).resolves.toBe(canonical)
})

test('a URL that grows beyond 2048 characters in its canonical form, which is what is sent to, is refused', async () => {
  const options = { policy: closed, resolve: fakeResolver() }
  await expect(checkEndpointUrl(`https://public.example.net/${'ä'.repeat(400)}`, options)).rejects.toMatchObject({
    code: 'webhook_url_refused',
    fields: { field: 'url', reason: 'too_long' },
  })
  const longest = `https://public.example.net/${'ä'.repeat(336)}abcde`
  await expect(checkEndpointUrl(longest, options)).resolves.toHaveLength(2_048)
})

test.each(['http://127.0.0.1:9000/', 'http://localhost:9000/', 'https://127.0.0.1/', 'http://[::ffff:127.0.0.1]/'])(
  '%s is accepted when the operator opened loopback',
  async (url) => {
    const policy = createAddressPolicy(['127.0.0.0/8'])
    await expect(checkEndpointUrl(url, { policy, resolve: fakeResolver() })).resolves.toContain('://')
  },
)

test.each(['http://public.example.net/', 'http://10.0.0.1/', 'https://intranet/', 'https://mixed.example.net/x'])(
  '%s is refused although the operator opened loopback only',
  async (url) => {
    const policy = createAddressPolicy(['::1/128', '172.20.0.0/16'])
    await expect(checkEndpointUrl(url, { policy, resolve: fakeResolver() })).rejects.toMatchObject({
      code: 'webhook_url_refused',
    })
  },
)

test('no IPv4 address hides behind an IPv6 form', () => {
  const octet = fc.integer({ min: 0, max: 255 })
  fc.assert(
    fc.property(fc.tuple(octet, octet, octet, octet), (octets) => {
      const four = octets.join('.')
      const permitted = closed.isPermitted(four)
      expect(closed.isPermitted(`::ffff:${four}`)).toBe(permitted)
      expect(closed.isPermitted(`64:ff9b::${four}`)).toBe(permitted)
      expect(closed.isPermitted(`::${four}`)).toBe(false)
      const [a, b, c, d] = octets.map((value) => value.toString(16).padStart(2, '0'))
      expect(closed.isPermitted(`2002:${a}${b}:${c}${d}::1`)).toBe(false)
    }),
    { numRuns: 1_000 },
  )
})

test.each(['127.0.0.1', '10.0.0.0/33', 'localhost', '', '10.0.0.0/', '::/129'])(
  '%j is not an address range',
  (text) => {
    expect(() => createAddressPolicy([text])).toThrow('is not an address range')
  },
)

const attempt = (deliverer: ReturnType<typeof createDeliverer>, url: string) =>
  deliverer.attempt(
    {
      url,
      keys: [createSigningKey(generateSecret())],
      position: '7:1',
      messageId: 'msg_1',
      type: 'call.ringing',
      number: 1,
      payload: '{}',
    },
    new AbortController().signal,
  )
