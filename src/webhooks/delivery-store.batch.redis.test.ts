import { expect, test } from 'vitest'
import { DeliveryRig, manyLanes, ringing, START_MS } from '../../test/support/delivery-rig.ts'
import { useEmptyRedis } from '../../test/support/use-redis.ts'

const redis = useEmptyRedis()

const LANES = 100
const keys = Array.from({ length: LANES }, (_none, i) => `lane-${i + 1}`)

async function openRig() {
  const rig = await new DeliveryRig(redis.connect()).open('endpoint')
  rig.rules = { ...rig.rules, slots: LANES }
  return rig
}

/** How many scripts the server has run so far. */
async function scriptsRun(): Promise<number> {
  const stats = await redis.connect().info('commandstats')
  return Number(/^cmdstat_evalsha:calls=(\d+)/m.exec(stats)?.[1] ?? 0)
}

test('lanes that are asked about at once are answered each with its own, by few scripts', async () => {
  const rig = await openRig()
  await rig.take(manyLanes(LANES))
  await rig.take(manyLanes(LANES))
  await rig.settle('none', await rig.due('lane-1', 'o'))
  const before = await scriptsRun()
  const turns = await Promise.all(keys.slice(1).map((key) => rig.due(key, `owner of ${key}`)))
  expect(turns.map(({ event }) => event.payload)).toEqual(keys.slice(1).map((_key, i) => `{"n":${i + 2}}`))
  const settled = await Promise.all(
    turns.map((turn, i) => rig.settle(`lane-${i + 2}`, turn, 'delivered', { owner: `owner of lane-${i + 2}` })),
  )
  expect(settled.map(({ turn }) => turn?.kind === 'due' && turn.event.payload)).toEqual(
    keys.slice(1).map((_key, i) => `{"n":${LANES + i + 2}}`),
  )
  expect((await scriptsRun()) - before).toBeLessThanOrEqual(8)
  expect(Object.keys(await rig.ended())).toHaveLength(LANES - 1)
})

test('what is asked together is answered by the latest of the times', async () => {
  const rig = await openRig()
  await rig.take([
    { ...ringing('a'), ttlMs: 1_000 },
    { ...ringing('b'), ttlMs: 1_000 },
  ])
  const early = rig.begin('a', 'o')
  rig.now = START_MS + 1_000
  const late = rig.begin('b', 'p')
  expect([(await early).kind, (await late).kind]).toEqual(['idle', 'idle'])
})

test('a lane that cannot be read fails alone', async () => {
  const rig = await openRig()
  await rig.take([ringing('a'), ringing('b'), ringing('c')])
  await redis.connect().set('ch:{wh}:pending:endpoint:b', 'no list')
  const [a, b, c] = await Promise.allSettled(['a', 'b', 'c'].map((key) => rig.begin(key, 'o')))
  expect([a?.status, b?.status, c?.status]).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  expect(b).toMatchObject({
    reason: { code: 'store_unavailable', cause: { message: expect.stringMatching(/^WRONGTYPE/) } },
  })
})

test('when nothing can be done the script itself fails, as a replica does that was a primary', async () => {
  const rig = await openRig()
  await rig.take([ringing('a'), ringing('b')])
  const admin = redis.connect()
  await admin.replicaof('127.0.0.1', '1')
  try {
    const asked = await Promise.allSettled([rig.begin('a', 'o'), rig.begin('b', 'o')])
    expect(asked.map((one) => one.status === 'rejected' && String(one.reason))).toEqual([
      expect.stringContaining('READONLY'),
      expect.stringContaining('READONLY'),
    ])
  } finally {
    await admin.replicaof('NO', 'ONE')
  }
})
