import { expect, test } from 'vitest'
import { toEndpointId } from '../core/ids.ts'
import { PrimaryWatch } from './primary-watch.ts'

const ID = toEndpointId('endpoint-1')
const URL_A = 'https://a.example.net/'

const failing = (times: number): PrimaryWatch => {
  const watch = new PrimaryWatch()
  for (let i = 0; i < times; i += 1) watch.note(ID, { url: URL_A, failed: true, now: 0 })
  return watch
}

test('a primary is tried first until it failed three times in a row', () => {
  expect(failing(2).isFirst(ID, URL_A, 1)).toBe(true)
  expect(failing(3).isFirst(ID, URL_A, 1)).toBe(false)
})

test('a primary that is down is probed once every ten seconds', () => {
  const watch = failing(3)
  expect(watch.isFirst(ID, URL_A, 9_999)).toBe(false)
  expect(watch.isFirst(ID, URL_A, 10_000)).toBe(true)
  expect(watch.isFirst(ID, URL_A, 10_001)).toBe(false)
  expect(watch.isFirst(ID, URL_A, 20_000)).toBe(true)
})

test('one success makes a primary the first again', () => {
  const watch = failing(3)
  watch.note(ID, { url: URL_A, failed: false, now: 1 })
  watch.note(ID, { url: URL_A, failed: true, now: 2 })
  expect(watch.isFirst(ID, URL_A, 3)).toBe(true)
})

test('another URL of the same endpoint starts afresh, and other endpoints are not concerned', () => {
  const watch = failing(3)
  expect(watch.isFirst(ID, 'https://b.example.net/', 1)).toBe(true)
  expect(watch.isFirst(toEndpointId('endpoint-2'), URL_A, 1)).toBe(true)
})

test('at most ten thousand endpoints are remembered', () => {
  const watch = failing(3)
  for (let i = 0; i < 10_000; i += 1) watch.note(toEndpointId(`other-${i}`), { url: URL_A, failed: true, now: 0 })
  expect(watch.isFirst(ID, URL_A, 1)).toBe(true)
})
