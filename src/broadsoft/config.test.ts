import { expect, test } from 'vitest'
import * as v from 'valibot'
import { BROADSOFT_SECRET_FIELDS, BroadsoftConfigSchema } from './config.ts'

const minimal = { xsp: ['https://xsp1.example.net'], username: 'admin@example.net', password: 'secret' }

/** `field: message` of every problem. */
function problems(config: unknown): readonly string[] {
  const parsed = v.safeParse(BroadsoftConfigSchema, config)
  return parsed.success ? [] : parsed.issues.map((issue) => v.getDotPath(issue) ?? '')
}

test('the smallest config gets its defaults', () => {
  expect(v.parse(BroadsoftConfigSchema, minimal)).toEqual({
    xsp: ['https://xsp1.example.net'],
    username: 'admin@example.net',
    password: 'secret',
    subscribe: 'user',
    redirect_hosts: [],
    heartbeat_seconds: 15,
    expires_seconds: 86_400,
    subscribe_per_second: 50,
    actions_path: '/com.broadsoft.xsi-actions',
    events_path: '/com.broadsoft.xsi-events',
    channel_path: '/com.broadsoft.async/com.broadsoft.xsi-events',
  })
})

test('XSP URLs become origins, with a trailing slash taken off', () => {
  const parsed = v.parse(BroadsoftConfigSchema, {
    ...minimal,
    xsp: ['https://XSP1.example.net:443/', 'https://xsp2.example.net:8443'],
  })
  expect(parsed.xsp).toEqual(['https://xsp1.example.net', 'https://xsp2.example.net:8443'])
})

test.each([
  [{ ...minimal, colour: 'red' }, ['colour']],
  [{ ...minimal, xsp: [] }, ['xsp']],
  [{ ...minimal, xsp: ['https://xsp1.example.net', 'https://xsp1.example.net/'] }, ['xsp']],
  [{ ...minimal, username: 'a:b' }, ['username']],
  [{ ...minimal, password: '' }, ['password']],
  [{ ...minimal, subscribe: 'everybody' }, ['subscribe']],
  [{ ...minimal, subscribe: 'enterprise' }, ['enterprise_id']],
  [{ ...minimal, subscribe: 'group', enterprise_id: 'acme' }, ['group_id']],
  [{ ...minimal, subscribe: 'group', group_id: 'sales' }, ['enterprise_id']],
  [{ ...minimal, subscribe: 'group', enterprise_id: 'a/b', group_id: 'sales' }, ['enterprise_id']],
  [{ ...minimal, ca: 'not a certificate' }, ['ca']],
  [{ ...minimal, redirect_hosts: ['https://xsp3.example.net'] }, ['redirect_hosts.0']],
  [{ ...minimal, heartbeat_seconds: 0 }, ['heartbeat_seconds']],
  [{ ...minimal, expires_seconds: 60 }, ['expires_seconds']],
  [{ ...minimal, subscribe_per_second: 0 }, ['subscribe_per_second']],
])('%j is refused, naming the field', (config, fields) => {
  expect(problems(config)).toEqual(fields)
})

test.each([
  ['https://user:pass@xsp1.example.net'],
  ['https://xsp1.example.net/com.broadsoft.xsi-actions'],
  ['https://xsp1.example.net/?a=1'],
  ['ftp://xsp1.example.net'],
  ['xsp1.example.net'],
  ['http://xsp1.example.net'],
  ['http://203.0.113.5'],
])('%s is not an XSP URL', (url) => {
  expect(new Set(problems({ ...minimal, xsp: [url] }))).toEqual(new Set(['xsp.0']))
})

test.each([
  ['http://127.0.0.1:8070'],
  ['http://localhost:8070'],
  ['http://10.1.2.3'],
  ['http://[::1]:80'],
  ['http://simulator:8070'],
])('plain http is taken for the private host of %s', (url) => {
  expect(problems({ ...minimal, xsp: [url] })).toEqual([])
})

test('a group subscription with both ids is valid', () => {
  expect(problems({ ...minimal, subscribe: 'group', enterprise_id: 'acme', group_id: 'sales' })).toEqual([])
})

test('the password is a secret field', () => {
  expect(BROADSOFT_SECRET_FIELDS).toEqual(['password'])
})

test('context paths lose a trailing slash and the version', () => {
  const parsed = v.parse(BroadsoftConfigSchema, {
    ...minimal,
    actions_path: '/xsi/actions/v2.0/',
    events_path: '/xsi/events/',
  })
  expect([parsed.actions_path, parsed.events_path]).toEqual(['/xsi/actions', '/xsi/events'])
})
