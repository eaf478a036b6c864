import { expect, test } from 'vitest'
import { CookieJar } from './cookie-jar.ts'

const EVENTS = '/com.broadsoft.xsi-events'

test('a cookie is sent to its path and below, and to no other path', () => {
  const jar = new CookieJar()
  jar.store(`JSESSIONID=abc; Path=${EVENTS}; HttpOnly`, '/com.broadsoft.async/com.broadsoft.xsi-events/v2.0/channel')
  expect(jar.headerFor(`${EVENTS}/v2.0/channel/c/heartbeat`, true)).toBe('JSESSIONID=abc')
  expect(jar.headerFor(EVENTS, true)).toBe('JSESSIONID=abc')
  expect(jar.headerFor(`${EVENTS}-other/v2.0`, true)).toBeUndefined()
  expect(jar.headerFor('/com.broadsoft.xsi-actions/v2.0', true)).toBeUndefined()
})

test('cookies of two paths live side by side, the longer path first', () => {
  const jar = new CookieJar()
  jar.store(['LB=1; Path=/', 'LB=2; Path=/a/b'], '/')
  expect(jar.headerFor('/a/b/c', true)).toBe('LB=2; LB=1')
})

test('a cookie without a path belongs to the directory of the request', () => {
  const jar = new CookieJar()
  jar.store('a=1', '/x/y')
  jar.store('b=2', '/')
  expect(jar.headerFor('/x/z', true)).toBe('a=1; b=2')
  expect(jar.headerFor('/z', true)).toBe('b=2')
})

test('a new value replaces the old one', () => {
  const jar = new CookieJar()
  jar.store('a=1; Path=/', '/')
  jar.store('a=2; Path=/', '/')
  expect(jar.headerFor('/', true)).toBe('a=2')
})

test.each(['a=; Path=/; Max-Age=0', 'a=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT'])(
  '%j removes the cookie',
  (header) => {
    const jar = new CookieJar()
    jar.store('a=1; Path=/', '/')
    jar.store(header, '/')
    expect(jar.headerFor('/', true)).toBeUndefined()
  },
)

test('a secure cookie is not sent in clear', () => {
  const jar = new CookieJar()
  jar.store('a=1; Path=/; Secure', '/')
  expect(jar.headerFor('/', false)).toBeUndefined()
  expect(jar.headerFor('/', true)).toBe('a=1')
})

test('cookies that are no cookies or too long are left out, and the number is bounded', () => {
  const jar = new CookieJar()
  jar.store(['no-equals', '=x', `long=${'x'.repeat(5000)}`, 'bad=\u0001'], '/')
  expect(jar.headerFor('/', true)).toBeUndefined()
  jar.store(
    Array.from({ length: 40 }, (_, i) => `c${i}=1; Path=/`),
    '/',
  )
  expect(jar.headerFor('/', true)?.split('; ')).toHaveLength(32)
})
