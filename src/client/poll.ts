import type { ReadStream } from './http-connection.ts'
import type { PollAnswer } from './poll-answer.ts'
import { readPollAnswer } from './poll-answer.ts'

/**
 * Reads a stream by asking again and again (docs/stream-protocol.md, long poll). The first question is answered at
 * once, so that it is known early whether the position could be resumed.
 */
export const readByPolling: ReadStream = async ({ requests, query, waitSeconds, onFrame, signal }) => {
  let { after } = query
  for (let isFirst = true; ; isFirst = false) {
    const wait = isFirst ? 0 : waitSeconds
    const answer = readPollAnswer(await requests.poll({ ...query, after, waitSeconds: wait }, signal))
    signal.throwIfAborted()
    if (!answer.recovered) onFrame({ type: 'subscribed', ...withoutEvents(answer) })
    else if (isFirst && after !== null) onFrame({ type: 'subscribed', recovered: true, position: after })
    if (answer.recovered) for (const event of answer.events) onFrame({ type: 'event', ...event })
    onFrame({ type: 'ping', position: answer.position })
    after = answer.position
  }
}

const withoutEvents = ({ recovered, reason, position, snapshot }: Extract<PollAnswer, { recovered: false }>) => ({
  recovered,
  position,
  snapshot,
  ...(reason !== undefined && { reason }),
})
