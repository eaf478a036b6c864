import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { toAppId, toEndpointId } from '../core/ids.ts'
import { STORES, startTestRecords, type TestRecords } from '../../test/support/records.ts'
import { formatCursor } from './cursor.ts'
import { OperatorEvents } from './operator-events.ts'

const APP = toAppId('app-1')

describe.each(STORES)('operator events on %s', (store) => {
  let opened: TestRecords
  let events: OperatorEvents
  beforeAll(async () => {
    opened = await startTestRecords(store)
    events = new OperatorEvents(opened.records)
    await events.append({ type: 'records.lost', details: { facts: 12 } })
    for (let n = 1; n <= 4; n += 1) {
      const endpointId = toEndpointId(`endpoint-${n}`)
      await events.append({ type: 'webhook.disabled', appId: APP, endpointId, details: { reason: "it's gone", n } })
    }
    await events.append({ type: 'webhook.failing', appId: toAppId('app-2'), details: {} })
  })
  afterAll(() => opened?.stop())

  test('come newest first with what they say, under ids that grow', async () => {
    const { events: all, ...rest } = await events.list({ limit: 10 })
    expect(rest).toEqual({})
    expect(all.map(({ type }) => type)).toEqual([
      'webhook.failing',
      'webhook.disabled',
      'webhook.disabled',
      'webhook.disabled',
      'webhook.disabled',
      'records.lost',
    ])
    expect(all[1]).toEqual({
      eventId: expect.stringMatching(/^\d+$/),
      type: 'webhook.disabled',
      at: expect.any(Number),
      appId: APP,
      endpointId: 'endpoint-4',
      details: { reason: "it's gone", n: 4 },
    })
    expect(all[5]).toEqual({
      eventId: expect.any(String),
      type: 'records.lost',
      at: expect.any(Number),
      details: { facts: 12 },
    })
    const ids = all.map(({ eventId }) => Number(eventId))
    expect(ids).toEqual(ids.toSorted((a, b) => b - a))
  })

  test('are found by type and app, and paged without a gap or an overlap', async () => {
    const numbers: unknown[] = []
    let cursor: string | undefined
    for (let page = 0; page < 3; page += 1) {
      const found = await events.list({
        limit: 2,
        type: 'webhook.disabled',
        appId: APP,
        ...(cursor !== undefined && { cursor }),
      })
      numbers.push(...found.events.map(({ details }) => details['n']))
      cursor = found.cursor
      if (cursor === undefined) break
    }
    expect(numbers).toEqual([4, 3, 2, 1])
    expect(await events.list({ limit: 2, type: 'webhook.failing', appId: APP })).toEqual({ events: [] })
  })

  test.each(['', 'x', formatCursor({ at: 1, id: 'not-a-number' }), formatCursor({ at: 1, id: '9'.repeat(19) })])(
    'the cursor "%s" is refused',
    async (cursor) => {
      await expect(events.list({ limit: 2, cursor })).rejects.toMatchObject({ code: 'invalid_request' })
    },
  )

  test('are removed when they are old', async () => {
    const before = opened.clock.now() + 1
    opened.clock.advance(1_000)
    await events.append({ type: 'webhook.log_gap', details: { entries: 3 } })
    expect(await events.prune(before)).toBe(6)
    const { events: left } = await events.list({ limit: 10 })
    expect(left.map(({ type }) => type)).toEqual(['webhook.log_gap'])
  })
})
