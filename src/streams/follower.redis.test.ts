import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { StreamRig } from '../../test/support/stream-rig.ts'
import { untilHolds } from '../../test/support/until.ts'
import { useRedis } from '../../test/support/use-redis.ts'
import { systemClock } from '../core/clock.ts'
import { silentLogger } from '../core/logger.ts'
import type { Position } from '../core/position.ts'
import { AppLog } from './app-log.ts'
import type { Batch } from './batch.ts'
import type { LiveReader } from './follower.ts'
import { Follower } from './follower.ts'

const redis = useRedis()
let rig: StreamRig

beforeAll(async () => {
  rig = await new StreamRig(redis).start()
})
afterAll(() => rig.stop())

/** Writes down what it is offered. */
class Recorder implements LiveReader {
  position: Position
  readonly offered: number[] = []

  constructor(position: Position) {
    this.position = position
  }

  offer(batch: Batch): void {
    const rest = batch.startingAfter(this.position)
    this.offered.push(...(rest?.frames ?? []).map(({ position }) => position?.offset ?? 0))
    this.position = rest?.last ?? this.position
  }

  onGap = (): void => undefined
}

/** A follower of a new app that has read `count` entries. */
async function follow(count: number, padding = 0) {
  const app = rig.addApp()
  const { epoch } = await rig.log.top(app)
  const common = { clock: systemClock, logger: silentLogger }
  const log = new AppLog({ app, log: rig.log, directory: rig.directory, clock: systemClock })
  const follower = new Follower({ log, ...common })
  const stop = new AbortController()
  const running = follower.run(stop.signal)
  await follower.nextTurn()
  for (let n = 1; n <= count; n += 1) await rig.append(app, n, padding)
  const at = (offset: number): Position => ({ epoch, offset })
  while (!follower.retains(at(count))) await follower.nextTurn()
  return {
    follower,
    at,
    append: (n: number) => rig.append(app, n),
    stop: async () => {
      stop.abort()
      await running
    },
  }
}

test('at least the last 256 entries are kept: one who lacks them goes on from memory, one who lacks more does not', async () => {
  const { follower, at, stop } = await follow(600)
  expect(follower.retains(at(344))).toBe(true)
  // Kept by what was read at once, up to 100 entries.
  expect(follower.retains(at(243))).toBe(false)
  expect(follower.retains(at(601))).toBe(false)
  expect(follower.retains({ epoch: '1', offset: 600 })).toBe(false)
  await stop()
})

test('kept entries are bounded in bytes, too', async () => {
  const { follower, at, stop } = await follow(40, 16 * 1024)
  // 15 frames of a little more than 16 KiB fit into 256 KiB, less one batch of up to 64 KiB and a frame.
  expect(follower.retains(at(30))).toBe(true)
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

test('an entry that nobody is woken for is read all the same', async () => {
  const watch = vi.spyOn(rig.log, 'watch').mockReturnValue(() => undefined)
  const { follower, at, stop, append } = await follow(1)
  const reader = new Recorder(at(1))
  expect(follower.join(reader)).toBe(true)
  await append(2)
  await untilHolds(() => expect(reader.offered).toEqual([2]))
  expect(watch).toHaveBeenCalledOnce()
  watch.mockRestore()
  await stop()
})
