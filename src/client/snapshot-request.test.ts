import { expect, test } from 'vitest'
import type { EventsQuery } from './requests.ts'
import { readSnapshot } from './snapshot-request.ts'

const at = (offset: number, epoch = '7') => ({ epoch, offset })
const fresh = (offset: number, epoch?: string) => ({ recovered: false, position: at(offset, epoch), snapshot: [] })
const never = new AbortController().signal

/** Answers one after the other. */
function answering(...answers: readonly object[]) {
  const asked: EventsQuery[] = []
  const poll = (query: EventsQuery): Promise<unknown> => {
    asked.push(query)
    return Promise.resolve(answers[asked.length - 1])
  }
  return { requests: { poll }, asked }
}

test('a snapshot that is older than the position is asked for again; reading goes on from the position', async () => {
  const { requests, asked } = answering(fresh(3), fresh(4), fresh(6))
  const filter = { event_types: ['call.*'] }
  expect(await readSnapshot(requests, { position: at(5), filter }, never)).toEqual({
    position: at(5),
    calls: [],
    lost: undefined,
  })
  const question = { after: null, filter, waitSeconds: 0 }
  expect(asked).toEqual([question, question, question])
})

test('one of another epoch is a fresh start, and says so', async () => {
  const { requests } = answering(fresh(0, '8'))
  expect(await readSnapshot(requests, { position: at(5), filter: null }, never)).toEqual({
    position: at(0, '8'),
    calls: [],
    lost: 'epoch_changed',
  })
})

test('a gateway that only has older ones is given up', async () => {
  const { requests, asked } = answering(...Array.from({ length: 9 }, () => fresh(4)))
  await expect(readSnapshot(requests, { position: at(5), filter: null }, never)).rejects.toThrow('no snapshot')
  expect(asked).toHaveLength(5)
})

test('an answer that is none is refused', async () => {
  const { requests } = answering({ login: 'please' })
  await expect(readSnapshot(requests, { position: at(5), filter: null }, never)).rejects.toThrow(TypeError)
})
