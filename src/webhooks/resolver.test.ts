import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createResolver } from './resolver.ts'
import type { Resolve } from './resolver.ts'

const TYPE_A = 1
const TYPE_AAAA = 28
const IPV6 = '26064700000000000000000000001111'

/**
 * A name server (RFC 1035): `both` has an address of each family, `four` only an IPv4 one, `none` does
 * not exist, about `slow` it says nothing, and about `half` nothing but its IPv4 address.
 */
const server = createSocket('udp4', (query, peer) => {
  const nameEnd = query.indexOf(0, 12)
  const label = query.subarray(13, 13 + (query[12] ?? 0)).toString()
  const type = query.readUInt16BE(nameEnd + 1)
  if (label === 'slow' || (label === 'half' && type === TYPE_AAAA)) return
  const hasAnswer = (type === TYPE_A && label !== 'none') || (type === TYPE_AAAA && label === 'both')
  const header = Buffer.from(query.subarray(0, 12))
  header.writeUInt16BE(label === 'none' ? 0x8183 : 0x8180, 2)
  header.writeUInt16BE(hasAnswer ? 1 : 0, 6)
  header.writeUInt16BE(0, 10)
  const record = type === TYPE_A ? '000100010000003c000408080808' : `001c00010000003c0010${IPV6}`
  const answer = hasAnswer ? Buffer.from(`c00c${record}`, 'hex') : Buffer.alloc(0)
  server.send(Buffer.concat([header, query.subarray(12, nameEnd + 5), answer]), peer.port, peer.address)
})
let resolve: Resolve

beforeAll(async () => {
  server.bind(0, '127.0.0.1')
  await once(server, 'listening')
  resolve = createResolver({ timeoutMs: 400, localNames: false, servers: [`127.0.0.1:${server.address().port}`] })
})
afterAll(() => server.close())

test('all addresses of both families are found', async () => {
  expect(await resolve('both.example.net')).toEqual([
    { address: '2606:4700::1111', family: 6 },
    { address: '8.8.8.8', family: 4 },
  ])
})

test('one family is enough', async () => {
  expect(await resolve('four.example.net')).toEqual([{ address: '8.8.8.8', family: 4 }])
})

test('a family about which the name server says nothing is not waited for once the other has been answered', async () => {
  const startedAt = performance.now()
  expect(await resolve('half.example.net')).toEqual([{ address: '8.8.8.8', family: 4 }])
  expect(performance.now() - startedAt).toBeLessThan(300)
})

test('a name that does not exist is refused', async () => {
  await expect(resolve('none.example.net')).rejects.toMatchObject({ fields: { reason: 'unresolvable' } })
})

test('a name server that says nothing is given up in time, for each name by itself', async () => {
  const startedAt = performance.now()
  const slow = Array.from({ length: 20 }, () => resolve('slow.example.net'))
  expect(await resolve('four.example.net')).toHaveLength(1)
  expect(performance.now() - startedAt).toBeLessThan(300)
  const outcomes = await Promise.allSettled(slow)
  expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true)
  expect(performance.now() - startedAt).toBeLessThan(1_000)
})

test('a local name is asked for only if any local address is open', async () => {
  await expect(resolve('localhost')).rejects.toMatchObject({ fields: { reason: 'unresolvable' } })
  const addresses = await createResolver({ timeoutMs: 400, localNames: true })('localhost')
  expect(addresses).toContainEqual({ address: '127.0.0.1', family: 4 })
})
