import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestProvisioning, type TestProvisioning } from '../../../../test/support/provisioning.ts'
import { STORES } from '../../../../test/support/records.ts'
import { RequestOffice } from '../../../../test/support/request-rig.ts'
import { isGatewayError } from '../../../core/errors.ts'

const ROUNDS = 12

describe.each(STORES)('changes of a provisioning request that race on %s', (store) => {
  let rig: TestProvisioning
  let office: RequestOffice
  beforeAll(async () => {
    rig = await startTestProvisioning(store)
    office = await RequestOffice.open(rig.database, { name: 'races', start: '+12125580000' })
  })
  afterAll(() => rig.stop())

  const of = (requestId: number) => ({ environment: office.environment, actor: 'key:test', requestId, note: undefined })
  const numberOfRegenerated = async (sourceId: number) => {
    const rows = await rig.database.query((db) =>
      db.selectFrom('provisioning_requests').select('request_id').where('regenerated_from_id', '=', sourceId).execute(),
    )
    return rows.length
  }

  test('of those that regenerate, resubmit and complete one in error, each finds it as the one before left it', async () => {
    const profileId = await office.addProfile([])
    for (let round = 0; round < ROUNDS; round += 1) {
      const sourceId = await office.submit({ profileId, batchTotal: 1 })
      const { batch_id: batchId } = await office.find(sourceId)
      await office.changes.fail(of(sourceId))
      const actions = [
        ...[1, 2, 3].map(() => () => office.submit({ profileId, regeneratedFromId: sourceId })),
        // Which are quicker: without them it is regenerated for sure.
        ...(round % 2 === 0 ? [() => office.changes.resubmit(of(sourceId))] : []),
        ...(round % 4 === 0 ? [() => office.changes.complete({ ...of(sourceId), isForced: true })] : []),
        () => office.changes.completeBatch({ ...of(sourceId), batchId: batchId ?? 0 }),
        () => office.runner.runDue(),
      ]
      // Another one is first in each round.
      const turned = [...actions.slice(round % actions.length), ...actions.slice(0, round % actions.length)]
      const outcomes = await Promise.allSettled(turned.map((act) => act()))
      const unexpected = outcomes.flatMap((outcome) =>
        outcome.status === 'rejected' && !isGatewayError(outcome.reason, 'invalid_request') ? [outcome.reason] : [],
      )
      expect(unexpected).toEqual([])
      const { status, batch_id: batchLeft } = await office.find(sourceId)
      const regenerated = await numberOfRegenerated(sourceId)
      // It is regenerated once and is then over, or not at all; the batch has one member in any case.
      expect([status === 'Cancelled', batchLeft === null, regenerated]).toEqual(
        regenerated === 0 ? [false, false, 0] : [true, true, 1],
      )
      expect(await membersOf(batchId)).toBe(1)
      expect(round % 2 === 0 || regenerated === 1).toBe(true)
    }
  })

  const membersOf = async (batchId: number | null) => {
    const rows = await rig.database.query((db) =>
      db.selectFrom('provisioning_requests').select('request_id').where('batch_id', '=', batchId).execute(),
    )
    return rows.length
  }

  test('a batch takes no more members than it has room for, nor any when it is closed', async () => {
    const profileId = await office.addProfile([])
    const first = await office.submit({ profileId, batchTotal: 3 })
    const { batch_id: batchId } = await office.find(first)
    const joining = () => office.submit({ profileId, batchId: batchId ?? undefined })
    const outcomes = await Promise.allSettled([
      ...Array.from({ length: 6 }, joining),
      office.changes.complete({ ...of(first), isForced: false }),
    ])
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(3)
    expect(await membersOf(batchId)).toBe(3)
  })

  test('whoever switches the safeguard while requests begin, none is held that may go on', async () => {
    const profileId = await office.addProfile([])
    await office.setSafeguarded(true)
    const requests = await Promise.all(Array.from({ length: 8 }, () => office.submit({ profileId, batchTotal: 1 })))
    await Promise.all([office.runner.runDue(), office.setSafeguarded(false), office.runner.runDue()])
    await office.runner.runDue()
    await office.runner.runDue()
    for (const requestId of requests) expect(await office.find(requestId)).toMatchObject({ status: 'In Progress' })
  })
})
