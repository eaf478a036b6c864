import { expect, test } from 'vitest'
import { useCleanups } from '../../test/support/use-cleanups.ts'
import { useEmptyRedis } from '../../test/support/use-redis.ts'
import { StateRig } from '../../test/support/state-rig.ts'
import { until } from '../../test/support/until.ts'

const redis = useEmptyRedis()
const cleanups = useCleanups()

/** A watch of its own, and how often it found the store empty. */
async function startWatch() {
  const rig = new StateRig(redis.socketPath)
  await rig.connection.start()
  cleanups.push(() => rig.connection.stop())
  const found = { count: 0 }
  rig.watch.onEmpty(() => {
    found.count += 1
  })
  await rig.watch.start()
  cleanups.push(() => rig.watch.stop())
  return found
}

test('a store that is new or was emptied while nobody watched is told of by the first who starts', async () => {
  expect(await startWatch()).toEqual({ count: 1 })
  expect(await startWatch()).toEqual({ count: 0 })
})

test('a store that is emptied is told of by everybody who watches', async () => {
  const watches = [await startWatch(), await startWatch()]
  await redis.connect().flushall()
  await until('both to notice', () => watches[0]?.count === 2 && watches[1]?.count === 1)
  expect(watches).toEqual([{ count: 2 }, { count: 1 }])
})
