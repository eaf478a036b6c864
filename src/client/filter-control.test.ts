import { describe, expect, test } from 'vitest'
import { FilterControl } from './filter-control.ts'
import type { ClientFrame, Filter } from './frames.ts'

const ANN: Filter = { subscriber_ids: ['ann'] }
const BERT: Filter = { subscriber_ids: ['bert'] }
const TIMEOUT_MS = 10_000

function createRig(filter: Filter | null) {
  const control = new FilterControl(filter)
  const asked: { readonly filter: Filter | null; readonly request_id: string }[] = []
  const send = (frame: ClientFrame) => {
    if (frame.op === 'filter') asked.push(frame)
  }
  return { control, asked, send, last: () => asked.at(-1)?.request_id ?? '' }
}

describe('a changed filter', () => {
  test('is asked for over the open stream, and is there when that is confirmed', async () => {
    const { control, asked, send, last } = createRig(ANN)
    control.attach(send, { isFresh: true })
    const changing = control.set(BERT, TIMEOUT_MS)
    expect(asked).toMatchObject([{ filter: BERT }])
    expect(control.applied).toEqual(ANN)
    control.confirm('of somebody else')
    expect(control.applied).toEqual(ANN)
    control.confirm(last())
    await changing
    expect(control.applied).toEqual(BERT)
  })

  test('waits for the stream, which is resumed with the one that it had', async () => {
    const { control, asked, send, last } = createRig(ANN)
    control.attach(send, { isFresh: true })
    control.detach()
    const changing = control.set(BERT, TIMEOUT_MS)
    expect(control.applied).toEqual(ANN)
    control.attach(send, { isFresh: false })
    expect(asked).toMatchObject([{ filter: BERT }])
    control.confirm(last())
    await changing
  })

  test('is the one to begin with when nothing is resumed', async () => {
    const { control, asked, send } = createRig(ANN)
    const changing = control.set(BERT, TIMEOUT_MS)
    expect(control.startAnew()).toEqual(BERT)
    control.attach(send, { isFresh: true })
    await changing
    expect(asked).toEqual([])
  })

  test('is asked for again when its answer was lost with the connection', async () => {
    const { control, asked, send, last } = createRig(ANN)
    control.attach(send, { isFresh: true })
    const changing = control.set(BERT, TIMEOUT_MS)
    control.detach()
    expect(control.applied).toEqual(ANN)
    control.attach(send, { isFresh: false })
    expect(asked).toHaveLength(2)
    control.confirm(asked[0]?.request_id)
    expect(control.applied).toEqual(ANN)
    control.confirm(last())
    await changing
    expect(control.applied).toEqual(BERT)
  })

  test('that is changed again before the answer ends as the last one, asked for one after the other', async () => {
    const { control, asked, send, last } = createRig(null)
    control.attach(send, { isFresh: true })
    const changing = [control.set(ANN, TIMEOUT_MS), control.set(BERT, TIMEOUT_MS), control.set(null, TIMEOUT_MS)]
    expect(asked).toHaveLength(1)
    control.confirm(last())
    expect(asked).toMatchObject([{ filter: ANN }, { filter: null }])
    control.confirm(last())
    await Promise.all(changing)
    expect(control.applied).toBeNull()
    expect(asked).toHaveLength(2)
  })

  test('that is refused leaves the filter as it was', async () => {
    const { control, asked, send, last } = createRig(ANN)
    control.attach(send, { isFresh: true })
    const changing = control.set(BERT, TIMEOUT_MS)
    control.settle({
      type: 'reply',
      request_id: last(),
      status: 400,
      problem: { status: 400, code: 'invalid_request' },
    })
    await expect(changing).rejects.toMatchObject({ status: 400, code: 'invalid_request' })
    control.detach()
    control.attach(send, { isFresh: false })
    control.refresh()
    expect(asked.at(-1)).toMatchObject({ filter: ANN })
  })

  test('has a deadline, and is given up when the client is closed', async () => {
    const { control } = createRig(ANN)
    await expect(control.set(BERT, 10)).rejects.toMatchObject({ reason: 'timeout' })
    const changing = control.set(ANN, TIMEOUT_MS)
    control.close()
    await expect(changing).rejects.toMatchObject({ reason: 'closed' })
  })
})

describe('a refresh', () => {
  test('asks for the filter that there is; one question at a time', () => {
    const { control, asked, send, last } = createRig(ANN)
    control.attach(send, { isFresh: true })
    control.refresh()
    control.refresh()
    expect(asked).toMatchObject([{ filter: ANN }])
    control.confirm(last())
    expect(asked).toHaveLength(2)
    control.confirm(last())
    expect(asked).toHaveLength(2)
  })

  test('whose answer was lost is repeated, unless the stream begins anew', () => {
    const { control, asked, send } = createRig(ANN)
    control.attach(send, { isFresh: true })
    control.refresh()
    control.detach()
    control.attach(send, { isFresh: false })
    expect(asked).toHaveLength(2)
    control.detach()
    control.attach(send, { isFresh: true })
    expect(asked).toHaveLength(2)
  })

  test('asks for what a mirror needs, too', () => {
    const { control, asked, send } = createRig({ event_types: ['call.*'] })
    control.attach(send, { isFresh: true })
    control.refresh()
    expect(asked).toMatchObject([{ filter: { event_types: ['call.*', 'subscriber.*'] } }])
  })
})
