import { expect, test } from 'vitest'
import { START_MS, attemptOf, lane, type DeliveryRig } from '../../test/support/delivery-rig.ts'
import { useDeliveryRigs } from '../../test/support/use-delivery-rigs.ts'

/*
 * A connection that breaks sends again what was not answered, though it may have been done.
 */

const { openRig } = useDeliveryRigs()

/** What puts a lane off after one failed request, as often as it is called with the same arguments. */
async function failOnce(rig: DeliveryRig, key: string, owner: string, due: number) {
  const turn = await rig.due(key, owner)
  const { now, rules } = rig
  const attempts = [attemptOf('endpoint', turn, now, 'http_status', due)]
  const { token } = turn.pending
  return () => rig.store.postpone(lane(key), { owner, token, due, attempts, failed: true, now, rules })
}

const attempted = async (rig: DeliveryRig) => (await rig.facts()).filter(({ kind }) => kind === 'attempted')

test('a failure that is told twice counts once, and its lane goes on at the same time', async () => {
  const rig = await openRig()
  await rig.take([{ key: 'a', type: 'call.released' }])
  const postpone = await failOnce(rig, 'a', 'o', START_MS + 5_000)
  const first = await postpone()
  expect(first).toMatchObject({ kind: 'ok', due: START_MS + 5_000, health: { failures: 1 } })
  expect(await postpone()).toEqual(first)
  expect(await attempted(rig)).toHaveLength(1)
  rig.now = START_MS + 5_000
  expect(await rig.due('a', 'p')).toMatchObject({ attempts: 1, failed: 1 })
})

test('told again after somebody else has begun with the lane, it takes nothing from them', async () => {
  const rig = await openRig()
  await rig.take([{ key: 'a', type: 'call.released' }])
  const postpone = await failOnce(rig, 'a', 'o', START_MS)
  await postpone()
  const heir = await rig.due('a', 'heir')
  expect(await postpone()).toMatchObject({ kind: 'lost', health: { failures: 1 } })
  expect(await rig.begin('a', 'stray')).toMatchObject({ kind: 'busy' })
  expect(await rig.fail('a', 'heir', heir, { due: START_MS })).toMatchObject({ kind: 'ok', health: { failures: 2 } })
  expect(await attempted(rig)).toHaveLength(2)
})

test('a former owner’s failure counts once, too', async () => {
  const rig = await openRig()
  await rig.take([{ key: 'a', type: 'call.released' }])
  const postpone = await failOnce(rig, 'a', 'slow', START_MS + 6_000)
  rig.now += 5_000
  await rig.due('a', 'heir')
  expect(await postpone()).toMatchObject({ kind: 'lost', health: { failures: 1 } })
  expect(await postpone()).toMatchObject({ kind: 'lost', health: { failures: 1 } })
  expect(await attempted(rig)).toHaveLength(1)
})

test('the same owner’s next failure is another one', async () => {
  const rig = await openRig()
  await rig.take([{ key: 'a', type: 'call.released' }])
  await (
    await failOnce(rig, 'a', 'o', START_MS)
  )()
  expect(await (await failOnce(rig, 'a', 'o', START_MS))()).toMatchObject({ kind: 'ok', health: { failures: 2 } })
  expect(await rig.due('a', 'o')).toMatchObject({ attempts: 2, failed: 2 })
})

test('a delivery that is told twice ends once, and both tell of the same attempt', async () => {
  const rig = await openRig()
  await rig.take([{ key: 'a' }, { key: 'a' }])
  const turn = await rig.due('a', 'o')
  const attempts = [attemptOf('endpoint', turn, rig.now, 'delivered')]
  expect(await rig.settle('a', turn, 'delivered', { attempts })).toMatchObject({ kind: 'more' })
  expect(await rig.settle('a', turn, 'delivered', { attempts })).toMatchObject({ kind: 'lost' })
  const facts = await rig.facts()
  expect(facts.filter(({ kind }) => kind === 'ended')).toHaveLength(1)
  const ids = facts.flatMap(({ kind, factId }) => (kind === 'attempted' ? [factId] : []))
  expect(ids).toEqual([attempts[0]?.attemptId, attempts[0]?.attemptId])
  expect(await rig.due('a', 'o', { fresh: false })).toMatchObject({ event: { payload: '{"n":2}' } })
})
