import { expect, test } from 'vitest'
import { silentLogger } from './core/logger.ts'
import type { Service } from './core/service.ts'
import { Lifecycle } from './lifecycle.ts'

function recorded(name: string, calls: string[], failing: { start?: boolean; stop?: boolean } = {}): Service {
  return {
    name,
    async start() {
      calls.push(`start ${name}`)
      if (failing.start === true) throw new Error(`${name} does not start`)
    },
    async stop() {
      calls.push(`stop ${name}`)
      if (failing.stop === true) throw new Error(`${name} does not stop`)
    },
  }
}

const soon = () => AbortSignal.timeout(1_000)

test('services start in order and stop in reverse', async () => {
  const calls: string[] = []
  const lifecycle = new Lifecycle([recorded('a', calls), recorded('b', calls)], silentLogger)
  await lifecycle.start()
  await lifecycle.stop(soon())
  expect(calls).toEqual(['start a', 'start b', 'stop b', 'stop a'])
})

test('a failed start stops what had started and rejects with the cause', async () => {
  const calls: string[] = []
  const lifecycle = new Lifecycle(
    [recorded('a', calls), recorded('b', calls, { start: true }), recorded('c', calls)],
    silentLogger,
  )
  await expect(lifecycle.start()).rejects.toThrow('b does not start')
  expect(calls).toEqual(['start a', 'start b', 'stop a'])
})

test('a failed stop does not keep the others from stopping', async () => {
  const calls: string[] = []
  const lifecycle = new Lifecycle([recorded('a', calls), recorded('b', calls, { stop: true })], silentLogger)
  await lifecycle.start()
  await expect(lifecycle.stop(soon())).rejects.toBeInstanceOf(AggregateError)
  expect(calls).toEqual(['start a', 'start b', 'stop b', 'stop a'])
})

test('a stop during the start leaves nothing running', async () => {
  const calls: string[] = []
  let release: (() => void) | undefined
  const slow: Service = {
    name: 'slow',
    start: () => new Promise((resolve) => (release = resolve)),
    async stop() {
      calls.push('stop slow')
    },
  }
  const lifecycle = new Lifecycle([recorded('a', calls), slow, recorded('c', calls)], silentLogger)
  const starting = lifecycle.start()
  await expect.poll(() => release).toBeDefined()
  const stopping = lifecycle.stop(soon())
  release?.()
  await Promise.all([starting, stopping])
  expect(calls).toEqual(['start a', 'stop a', 'stop slow'])
})

test('a service that never stops does not keep the others running', async () => {
  const calls: string[] = []
  const stuck: Service = { name: 'stuck', start: async () => undefined, stop: () => new Promise(() => undefined) }
  const lifecycle = new Lifecycle([recorded('a', calls), stuck], silentLogger)
  await lifecycle.start()
  await expect(lifecycle.stop(AbortSignal.abort())).rejects.toThrow('some services failed to stop')
  expect(calls).toEqual(['start a', 'stop a'])
})
