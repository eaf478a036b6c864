import { afterAll, beforeAll, expect, test } from 'vitest'
import { StreamRig } from '../../test/support/stream-rig.ts'
import type { TestRedis } from '../../test/support/redis.ts'
import { startTestRedis } from '../../test/support/redis.ts'
import { systemClock } from '../core/clock.ts'
import { silentLogger } from '../core/logger.ts'
import type { Position } from '../core/position.ts'
import type { LiveSession } from './follower.ts'
import { Follower } from './follower.ts'

let redis: TestRedis
let rig: StreamRig

beforeAll(async () => {
  redis = await startTestRedis()
  rig = await new StreamRig(redis).start()
})
afterAll(async () => {
  await rig.stop()
  await redis.stop()
})

/** Writes down what it is offered. */
class Recorder implements LiveSession {
  readonly position: Position
  readonly offered: number[] = []

  constructor(position: Position) {
    this.position = position
  }

  offer(_: unknown, { offset }: Position): void {
    this.offered.push(offset)
  }

  onGap = (): void => undefined
}

/** A follower of a new app that has read `count` entries. */
async function follow(count: number, padding = 0) {
  const app = rig.addApp()
  const { epoch } = await rig.log.top(app)
  const follower = new Follower({ app, log: rig.log, clock: systemClock, logger: silentLogger })
  const stop = new AbortController()
  const running = follower.run(stop.signal)
  await follower.nextTurn()
  for (let n = 1; n <= count; n += 1) await rig.append(app, n, padding)
  const at = (offset: number): Position => ({ epoch, offset })
  while (!follower.retains(at(count))) await follower.nextTurn()
  return {
    follower,
    at,
    stop: async () => {
      stop.abort()
      await running
    },
  }
}

test('the last 256 entries are kept: one who lacks them goes on from memory, one who lacks more does not', async () => {
  const { follower, at, stop } = await follow(300)
  expect(follower.retains(at(44))).toBe(true)
  expect(follower.retains(at(43))).toBe(false)
  expect(follower.retains(at(301))).toBe(false)
  expect(follower.retains({ epoch: '1', offset: 300 })).toBe(false)
  await stop()
})

test('kept entries are bounded in bytes, too', async () => {
  const { follower, at, stop } = await follow(40, 16 * 1024)
  // 15 frames of a little more than 16 KiB fit into 256 KiB.
  expect(follower.retains(at(25))).toBe(true)
  expect(follower.retains(at(24))).toBe(false)
  await stop()
})

test('who joins is handed what it lacks, and one that lacks too much is not taken', async () => {
  const { follower, at, stop } = await follow(300)
  const [joins, cannot] = [new Recorder(at(297)), new Recorder(at(10))]
  expect(follower.join(joins)).toBe(true)
  expect(joins.offered).toEqual([298, 299, 300])
  expect(follower.join(cannot)).toBe(false)
  expect(cannot.offered).toEqual([])
  await stop()
})
