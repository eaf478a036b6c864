import { expect, test } from 'vitest'
import { GatewayError } from '../core/errors.ts'
import { isRedirect, redirectTarget } from './redirect.ts'

const FROM = new URL('https://xsp1.example.net/com.broadsoft.xsi-actions/v2.0/user/ann')
const ALLOWED = new Set(['xsp1.example.net', 'xsp2.example.net:8443', 'any-port.example.net'])

test.each([
  ['/other?x=1#part', 'https://xsp1.example.net/other?x=1'],
  ['https://xsp2.example.net:8443/a', 'https://xsp2.example.net:8443/a'],
  ['https://any-port.example.net:9443/a', 'https://any-port.example.net:9443/a'],
  ['//xsp1.example.net/a', 'https://xsp1.example.net/a'],
])('%s is followed to %s', (location, target) => {
  expect(redirectTarget(FROM, location, ALLOWED).href).toBe(target)
})

test.each([
  undefined,
  'https://',
  'http://xsp1.example.net/',
  'https://xsp2.example.net/',
  'https://xsp1.example.net.evil.example/',
  'https://user:pass@xsp1.example.net/',
  'https://xsp1.example.net@evil.example/',
  'file:///etc/passwd',
])('%s is refused', (location) => {
  expect(() => redirectTarget(FROM, location, ALLOWED)).toThrow(GatewayError)
})

test('303 is not a redirect: it would turn the request into another one', () => {
  expect([300, 301, 302, 303, 304, 307, 308].filter(isRedirect)).toEqual([301, 302, 307, 308])
})
