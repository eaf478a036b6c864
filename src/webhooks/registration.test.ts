import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { fakeResolver } from '../../test/support/hostile-urls.ts'
import { createAddressPolicy } from './address-policy.ts'
import { checkEndpointUrl } from './registration.ts'

const closed = createAddressPolicy([])

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
