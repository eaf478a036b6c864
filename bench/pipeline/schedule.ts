/** Events of each generated call: rings, is answered, held, retrieved, ends. */
export const STEPS = ['receive', 'answer', 'hold', 'retrieve', 'release'] as const

/**
 * A run of events, of which number k is due k / perSecond seconds after the start. The users take turns, and
 * each user's calls follow one another, so that user, call and step of an event say its number, and the other
 * way round: whoever sees the event knows when it was due.
 */
export type Schedule = {
  /** Tells runs apart. */
  readonly run: number
  readonly users: number
  /** A whole number of calls for each user; the most there can be when it is not known yet. */
  readonly events: number
}

/** Where in a run an event is. */
export type Place = { readonly run: number; readonly user: number; readonly call: number; readonly step: number }

/** The schedule nearest to so many events, with as many of the users as have a whole call. */
export function planEvents(run: number, usersMax: number, events: number): Schedule {
  const users = Math.max(1, Math.min(usersMax, Math.floor(events / STEPS.length)))
  const perRound = users * STEPS.length
  return { run, users, events: Math.max(1, Math.floor(events / perRound)) * perRound }
}

export const toPlace = (index: number, { run, users }: Schedule): Place => {
  const turn = Math.floor(index / users)
  return { run, user: index % users, call: Math.floor(turn / STEPS.length), step: turn % STEPS.length }
}

export const toIndex = ({ user, call, step }: Place, { users }: Schedule): number =>
  user + users * (call * STEPS.length + step)

/** The caller's name, by which the call is recognised in what the gateway sends. */
export const callerName = ({ run, user, call }: Place): string => `bench ${run} ${user} ${call}`

const IN_PAYLOAD = /"remote_name":"bench (\d+) (\d+) (\d+)"/
const SEQUENCE = /"sequence_number":"(\d+)"/

/** The place of the event in a payload of the gateway's; undefined for anything else. */
export function findPlace(payload: string): Place | undefined {
  const caller = IN_PAYLOAD.exec(payload)
  const sequence = SEQUENCE.exec(payload)
  if (caller === null || sequence === null) return undefined
  return { run: Number(caller[1]), user: Number(caller[2]), call: Number(caller[3]), step: Number(sequence[1]) - 1 }
}
