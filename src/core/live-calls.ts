import type { CallReader } from './call-reader.ts'
import type { CallResource } from './call-resource.ts'
import { toCallResource } from './call-resource.ts'
import type { Assignment } from './directory.ts'

/**
 * The live calls of the subscribers that an app is assigned to, as the app sees them, the oldest first:
 * what REST lists and what the stream's snapshots hold. Rejects with `store_unavailable`.
 */
export async function readLiveCalls(
  calls: Pick<CallReader, 'liveCalls'>,
  assignments: readonly Assignment[],
): Promise<readonly CallResource[]> {
  const byNetwork = Map.groupBy(assignments, ({ network }) => network.networkId)
  const lists = await Promise.all([...byNetwork.values()].map((own) => readNetwork(calls, own)))
  return lists.flat().toSorted((a, b) => a.started_at - b.started_at || (a.call_id < b.call_id ? -1 : 1))
}

/** `assignments` are all of one network. */
async function readNetwork(
  calls: Pick<CallReader, 'liveCalls'>,
  assignments: readonly Assignment[],
): Promise<readonly CallResource[]> {
  const network = assignments[0]?.network
  if (network === undefined) return []
  const bySubscriber = new Map(assignments.map((assignment) => [assignment.subscriberId, assignment]))
  const stored = await calls.liveCalls(network, [...bySubscriber.keys()])
  return stored.flatMap((call) => {
    const assignment = bySubscriber.get(call.subscriberId)
    return assignment === undefined ? [] : [toCallResource(call, assignment)]
  })
}
