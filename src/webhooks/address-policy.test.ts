import { describe, expect, test } from 'vitest'
import { createAddressPolicy } from './address-policy.ts'

const closed = createAddressPolicy([])

describe('special addresses', () => {
  test.each([
    ['this network (RFC 791)', '0.0.0.0', '0.1.2.3'],
    ['private (RFC 1918)', '10.0.0.0', '10.255.255.255'],
    ['private (RFC 1918)', '172.16.0.0', '172.31.255.255'],
    ['private (RFC 1918)', '192.168.0.0', '192.168.255.255'],
    ['carrier-grade NAT (RFC 6598)', '100.64.0.0', '100.127.255.255'],
    ['a metadata service in it', '100.100.100.200', '100.100.100.200'],
    ['loopback', '127.0.0.0', '127.255.255.255'],
    ['link-local with metadata services', '169.254.0.0', '169.254.169.254'],
    ['IETF protocol assignments', '192.0.0.0', '192.0.0.255'],
    ['documentation', '192.0.2.0', '192.0.2.255'],
    ['documentation', '198.51.100.0', '198.51.100.255'],
    ['documentation', '203.0.113.0', '203.0.113.255'],
    ['AS112', '192.31.196.0', '192.175.48.255'],
    ['AMT', '192.52.193.0', '192.52.193.255'],
    ['6to4 relay anycast', '192.88.99.0', '192.88.99.255'],
    ['benchmarking', '198.18.0.0', '198.19.255.255'],
    ['multicast', '224.0.0.0', '239.255.255.255'],
    ['reserved', '240.0.0.0', '255.255.255.254'],
    ['broadcast', '255.255.255.255', '255.255.255.255'],
    ['Azure’s host', '168.63.129.16', '168.63.129.16'],
    ['IBM Cloud’s services', '161.26.0.0', '161.26.255.255'],
    ['IBM Cloud’s services', '166.8.0.0', '166.11.255.255'],
    ['unspecified', '::', '::'],
    ['loopback', '::1', '::1'],
    ['IPv4-mapped loopback', '::ffff:127.0.0.1', '::ffff:7f00:1'],
    ['IPv4-compatible', '::8.8.8.8', '::127.0.0.1'],
    ['IPv4-translated (RFC 6145)', '::ffff:0:8.8.8.8', '::ffff:0:7f00:1'],
    ['NAT64 of a private address', '64:ff9b::10.0.0.1', '64:ff9b::7f00:1'],
    ['local NAT64 (RFC 8215)', '64:ff9b:1::8.8.8.8', '64:ff9b:1::7f00:1'],
    ['discard and dummy (RFC 6666, RFC 9780)', '100::1', '100:0:0:1::1'],
    ['Teredo', '2001::1', '2001:0:4136:e378:8000:63bf:80ff:fffe'],
    ['benchmarking', '2001:2::1', '2001:2:0:ffff::1'],
    ['AMT', '2001:3::1', '2001:3::1'],
    ['AS112', '2001:4:112::1', '2620:4f:8000::1'],
    ['ORCHID', '2001:10::1', '2001:2f:ffff::1'],
    ['drone identifiers', '2001:30::1', '2001:3f:ffff::1'],
    ['the rest of 2001::/23', '2001:100::1', '2001:1ff:ffff::1'],
    ['documentation', '2001:db8::1', '2001:db8:ffff::1'],
    ['documentation (RFC 9637)', '3fff::1', '3fff:fff::1'],
    ['6to4', '2002::1', '2002:808:808::1'],
    ['the 6bone', '3ffe::1', '3ffe:ffff::1'],
    ['SRv6 identifiers (RFC 9602)', '5f00::1', '5f00:ffff::1'],
    ['never assigned', '4000::1', 'e000::1'],
    ['unique local', 'fc00::1', 'fdff:ffff::1'],
    ['a metadata service in it', 'fd00:ec2::254', 'fd20:ce::254'],
    ['link-local', 'fe80::1', 'febf::1'],
    ['site-local', 'fec0::1', 'feff::1'],
    ['multicast', 'ff00::1', 'ff0e::1'],
  ])('%s (%s, %s) is not public', (_name, first, last) => {
    expect(closed.isPermitted(first)).toBe(false)
    expect(closed.isPermitted(last)).toBe(false)
  })

  test.each(['fe80::1%lo', '2606:4700::1111%eth0', '0177.0.0.1', '8.8.8', '134744072', '0x8.8.8.8', '', 'example.net'])(
    '%j is no address, so it is refused',
    (text) => {
      expect(closed.isPermitted(text)).toBe(false)
      expect(closed.isOpened(text)).toBe(false)
    },
  )
})

test.each([
  '1.1.1.1',
  '9.255.255.255',
  '11.0.0.0',
  '100.63.255.255',
  '100.128.0.0',
  '168.63.129.15',
  '168.63.129.17',
  '172.15.255.255',
  '172.32.0.0',
  '192.0.1.0',
  '223.255.255.255',
  '2001:200::1',
  '2001:db7::1',
  '2003::1',
  '2606:4700::1111',
  '::ffff:8.8.8.8',
  '64:ff9b::8.8.8.8',
])('%s is public', (address) => {
  expect(closed.isPermitted(address)).toBe(true)
  expect(closed.isOpened(address)).toBe(false)
})

test('the operator opens exactly the ranges that are named', () => {
  const policy = createAddressPolicy(['10.1.0.0/16', '::1/128', '168.63.129.16/32'])
  expect(policy.opensAny).toBe(true)
  expect(closed.opensAny).toBe(false)
  for (const address of ['10.1.0.1', '::ffff:10.1.0.1', '::1', '168.63.129.16']) {
    expect(policy.isOpened(address)).toBe(true)
    expect(policy.isPermitted(address)).toBe(true)
  }
  for (const address of ['10.2.0.1', '::2', '127.0.0.1', '64:ff9b::10.1.0.1']) {
    expect(policy.isPermitted(address)).toBe(false)
  }
})
