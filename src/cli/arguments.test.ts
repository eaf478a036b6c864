import { expect, test } from 'vitest'
import { readOptions, readPort, UsageError } from './arguments.ts'

test('an unknown option is named', () => {
  expect(() => readOptions(['--prot', '1'], { port: { type: 'string' } })).toThrow(/--prot/)
})

test('an argument that is no option is refused', () => {
  expect(() => readOptions(['now'], {})).toThrow(UsageError)
})

test.each(['', 'abc', '-1', '65536', '1.5', '1e3'])('%j is no port', (text) => {
  expect(() => readPort('--port', text)).toThrow('--port must be a whole number from 0 to 65535')
})

test('0 and 65535 are ports', () => {
  expect([readPort('--port', '0'), readPort('--port', '65535')]).toEqual([0, 65_535])
})
