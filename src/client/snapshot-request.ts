import type { Filter, GapReason, Position, SnapshotCall } from './frames.ts'
import { readPollAnswer } from './poll-answer.ts'
import type { StreamRequests } from './requests.ts'

/** Snapshots that may be older than the position before it is given up. */
const TRIES_MAX = 5

export type PolledSnapshot = {
  /** To read on from; the asked position unless `lost` says why that is not possible. */
  readonly position: Position
  readonly calls: readonly SnapshotCall[]
  readonly lost: GapReason | undefined
}

/**
 * The live calls that a filter wants, including every event up to `position`: reading on from there then leads
 * to the right calls. The gateway may answer with a snapshot that it was reading already, which can be older.
 */
export async function readSnapshot(
  requests: Pick<StreamRequests, 'poll'>,
  { position, filter }: { readonly position: Position; readonly filter: Filter | null },
  signal: AbortSignal,
): Promise<PolledSnapshot> {
  for (let tries = 0; tries < TRIES_MAX; tries += 1) {
    const answer = readPollAnswer(await requests.poll({ after: null, filter, waitSeconds: 0 }, signal))
    if (answer.recovered) continue
    const { snapshot: calls } = answer
    if (answer.position.epoch !== position.epoch) return { position: answer.position, calls, lost: 'epoch_changed' }
    if (answer.position.offset >= position.offset) return { position, calls, lost: undefined }
  }
  throw new Error('the gateway has no snapshot of the present')
}
