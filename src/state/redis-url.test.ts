import { expect, test } from 'vitest'
import { parseRedisUrl } from './redis-url.ts'

test.each(['redis://127.0.0.1:6379/2', 'rediss://user:p%40ss@redis.example.net', 'redis://[::1]:6379'])(
  'a server is named by %s',
  (url) => {
    expect(parseRedisUrl(url)).toEqual({ url })
  },
)

test('sentinels are named with their ports, or the usual one', () => {
  expect(parseRedisUrl('redis+sentinel://s1.example.net:5000,10.0.0.2,[fd00::3]:26380/calls')).toEqual({
    sentinels: [
      { host: 's1.example.net', port: 5_000 },
      { host: '10.0.0.2', port: 26_379 },
      { host: 'fd00::3', port: 26_380 },
    ],
    name: 'calls',
    isEncrypted: false,
  })
})

test('logins of Redis and of the sentinels, database and TLS are read', () => {
  expect(
    parseRedisUrl('rediss+sentinel://callhalf:p%40ss%3A@s1,s2/calls/3?sentinel_username=watch&sentinel_password=a%26b'),
  ).toEqual({
    sentinels: [
      { host: 's1', port: 26_379 },
      { host: 's2', port: 26_379 },
    ],
    name: 'calls',
    isEncrypted: true,
    username: 'callhalf',
    password: 'p@ss:',
    db: 3,
    sentinelUsername: 'watch',
    sentinelPassword: 'a&b',
  })
  expect(parseRedisUrl('redis+sentinel://:pw@s1/calls')).toMatchObject({ password: 'pw' })
})

test.each([
  'redis+sentinel://s1:26379',
  'redis+sentinel:///calls',
  'redis+sentinel://s1,,s2/calls',
  'redis+sentinel://s1:99999/calls',
  'redis+sentinel://s1/calls/x',
  'redis+sentinel://s1/calls?password=x',
  'redis+sentinel://a%zz:b@s1/calls',
  'sentinel://s1/calls',
  'redis://',
  'http://redis.example.net',
])('%s names no Redis', (url) => {
  expect(parseRedisUrl(url)).toBeUndefined()
})
