import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { isFinalRequest, REQUEST_STATUS, requestMayBecome, type RequestStatusId } from './status.ts'

const { submitted, inProgress, complete, inError, cancelled, held } = REQUEST_STATUS
const ALL: readonly RequestStatusId[] = Object.values(REQUEST_STATUS)
const status = fc.constantFrom(...ALL)

test('a request moves along these edges and no others', () => {
  const edges = ALL.flatMap((from) => ALL.filter((to) => requestMayBecome(from, to)).map((to) => [from, to]))
  expect(edges).toEqual([
    [submitted, inProgress],
    [submitted, complete],
    [submitted, inError],
    [submitted, held],
    [inProgress, complete],
    [inProgress, inError],
    [inProgress, held],
    [inError, submitted],
    [inError, complete],
    [inError, cancelled],
    [held, submitted],
    [held, complete],
    [held, inError],
  ])
})

test('however it moves, nothing follows the end, and from everywhere else an end can be reached', () => {
  fc.assert(
    fc.property(fc.array(status, { maxLength: 30 }), (wanted) => {
      const path = wanted.reduce<readonly RequestStatusId[]>(
        (taken, next) => (requestMayBecome(taken.at(-1) ?? submitted, next) ? [...taken, next] : taken),
        [submitted],
      )
      const last = path.at(-1) ?? submitted
      expect(path.slice(0, -1).some(isFinalRequest)).toBe(false)
      expect(isFinalRequest(last) || requestMayBecome(last, complete)).toBe(true)
    }),
  )
})
