import * as v from 'valibot'
import { canAnswer } from '../call-half.ts'
import type { CallHalf } from '../call-half.ts'
import type { CallModel } from '../calls.ts'
import { CALL_EVENT_TYPES } from '../event-types.ts'
import { ForcedEventSchema, forceEvent } from '../forced-events.ts'
import { parseInput } from '../../core/parse-input.ts'
import { numberOf } from '../parties.ts'
import { paramOf } from './route.ts'
import type { ControlReply, ControlRequest, ControlRoute } from './route.ts'

type Act = (model: CallModel, half: CallHalf) => void

/** What the other party can do. */
const REMOTE_ACTS: Readonly<Record<string, Act>> = {
  answer: (model, half) => model.remoteAnswer(half),
  hold: (model, half) => model.remoteHold(half),
  retrieve: (model, half) => model.remoteRetrieve(half),
  hangup: (model, half) => model.release(half, 'remoteRelease'),
}

/** What the user can do on the own phone. */
const LOCAL_ACTS: Readonly<Record<string, Act>> = {
  answer: (model, half) => model.answer(half),
  pickup: (model, half) => model.answer(half),
  hold: (model, half) => model.hold(half),
  retrieve: (model, half) => model.retrieve(half),
  hangup: (model, half) => {
    if (canAnswer(half) && half.personality === 'Terminator') model.decline(half, 'Busy')
    else model.release(half, 'localRelease')
  },
}

const acts = (side: string, table: Readonly<Record<string, Act>>): readonly ControlRoute[] =>
  Object.entries(table).map(([name, act]) => ({
    method: 'POST',
    path: `calls/:call_id/${side}/${name}`,
    run: (request) => {
      const half = request.backend.model.require(paramOf(request, 'call_id'))
      act(request.backend.model, half)
      return { status: 200, body: callView(half) }
    },
  }))

/** The call model, seen and moved from outside. */
export const callControls: readonly ControlRoute[] = [
  {
    method: 'GET',
    path: 'calls',
    run: ({ backend }) => ({ status: 200, body: { calls: [...backend.model.list()].map(callView) } }),
  },
  {
    method: 'GET',
    path: 'calls/:call_id',
    run: (request) => ({ status: 200, body: callView(request.backend.model.require(paramOf(request, 'call_id'))) }),
  },
  ...acts('remote', REMOTE_ACTS),
  ...acts('local', LOCAL_ACTS),
  { method: 'POST', path: 'calls/:call_id/events/:type', run: emitEvent },
]

function emitEvent(request: ControlRequest): ControlReply {
  const { type } = parseInput(v.object({ type: v.picklist(CALL_EVENT_TYPES) }), { type: paramOf(request, 'type') })
  const half = request.backend.model.require(paramOf(request, 'call_id'))
  forceEvent(request.backend, half, { type, with: parseInput(ForcedEventSchema, request.body) })
  return { status: 202, body: callView(half) }
}

/** A call half as the control API shows it; times are milliseconds since the epoch. */
export const callView = (half: CallHalf) => ({
  call_id: half.callId,
  user_id: half.userId,
  tracking_id: half.trackingId,
  personality: half.personality,
  state: half.state,
  remote_number: numberOf(half.remote),
  remote_name: half.remote.name ?? null,
  /** The other party's half, when that is a simulated user too. */
  peer_call_id: half.peer?.callId ?? null,
  started_at: half.startTime,
  answered_at: half.answerTime ?? null,
  released_at: half.releaseTime ?? null,
  recording: half.recording ?? null,
  dtmf: half.dtmf,
})
