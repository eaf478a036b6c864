import { describe, expect, it } from 'vitest'
import { InFlightLimit } from './in-flight-limit.ts'

/** Work that ends when it is told to. */
function heldWork() {
  const held = Promise.withResolvers<string>()
  const work = { isRunning: false, ...held }
  return {
    ...work,
    run: () => {
      work.isRunning = true
      return held.promise
    },
    get isRunning() {
      return work.isRunning
    },
  }
}

const startAll = (limit: InFlightLimit, key: string, count: number) => {
  const works = Array.from({ length: count }, heldWork)
  return { works, results: works.map((work) => limit.run(key, work.run)) }
}
const running = (works: readonly { readonly isRunning: boolean }[]) => works.map(({ isRunning }) => isRunning)
const settle = () => new Promise((resolve) => setImmediate(resolve))

describe('work of one key', () => {
  it('beyond what may run waits, and runs in its order as the others end', async () => {
    const limit = new InFlightLimit({ runningMax: 2, waitingMax: 2 })
    const { works, results } = startAll(limit, 'app', 4)
    expect(running(works)).toEqual([true, true, false, false])
    works[1]?.resolve('second')
    expect(await results[1]).toBe('second')
    await settle()
    expect(running(works)).toEqual([true, true, true, false])
    works[0]?.reject(new Error('failed'))
    await expect(results[0]).rejects.toThrow('failed')
    await settle()
    expect(running(works)).toEqual([true, true, true, true])
    works[2]?.resolve('third')
    works[3]?.resolve('fourth')
    expect(await Promise.all([results[2], results[3]])).toEqual(['third', 'fourth'])
  })

  it('is refused when as much waits as may, and taken again afterwards', async () => {
    const limit = new InFlightLimit({ runningMax: 1, waitingMax: 1 })
    const { works, results } = startAll(limit, 'app', 2)
    const refused = limit.run('app', () => Promise.resolve('never'))
    await expect(refused).rejects.toMatchObject({ code: 'too_many_requests', retryAfterSeconds: 1 })
    for (const { resolve } of works) resolve('done')
    await Promise.all(results)
    expect(await limit.run('app', () => Promise.resolve('again'))).toBe('again')
  })

  it('does not make that of another key wait', async () => {
    const limit = new InFlightLimit({ runningMax: 1, waitingMax: 0 })
    const { works, results } = startAll(limit, 'app', 1)
    expect(await limit.run('other', () => Promise.resolve('runs'))).toBe('runs')
    works[0]?.resolve('done')
    await Promise.all(results)
  })

  it('never runs more than may, in whatever order it ends', async () => {
    const limit = new InFlightLimit({ runningMax: 3, waitingMax: 50 })
    let now = 0
    let most = 0
    const work = async (turns: number) => {
      now += 1
      most = Math.max(most, now)
      for (let i = 0; i < turns; i += 1) await settle()
      now -= 1
    }
    await Promise.all(Array.from({ length: 40 }, (_, i) => limit.run('app', () => work((i * 7) % 5))))
    expect([now, most]).toEqual([0, 3])
  })
})
