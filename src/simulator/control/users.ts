import * as v from 'valibot'
import { GatewayError } from '../../core/errors.ts'
import { USER_EVENT_TYPES } from '../event-types.ts'
import { parseInput } from '../../core/parse-input.ts'
import { UserRangeSchema, UserSchema } from '../users.ts'
import { callView } from './calls.ts'
import { NO_CONTENT, paramOf } from './route.ts'
import type { ControlReply, ControlRequest, ControlRoute } from './route.ts'

const IncomingCallSchema = v.strictObject({
  from: v.pipe(v.string(), v.minLength(1), v.maxLength(161)),
  name: v.optional(v.pipe(v.string(), v.maxLength(161))),
})
const OriginateSchema = v.strictObject({ to: v.pipe(v.string(), v.minLength(1), v.maxLength(161)) })
const UserEventSchema = v.strictObject({
  active: v.optional(v.boolean()),
  number: v.optional(v.string()),
  new_messages: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0))),
  old_messages: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0))),
  agent_state: v.optional(v.picklist(['Sign-In', 'Available', 'Unavailable', 'Wrap-Up', 'Sign-Out'])),
  unavailable_code: v.optional(v.string()),
})

/** Users, and what their phones do. */
export const userControls: readonly ControlRoute[] = [
  { method: 'POST', path: 'users', run: createUsers },
  { method: 'GET', path: 'users', run: ({ backend }) => ({ status: 200, body: { users: [...backend.users.list()] } }) },
  { method: 'GET', path: 'users/:user_id', run: readUser },
  { method: 'DELETE', path: 'users/:user_id', run: deleteUser },
  { method: 'POST', path: 'users/:user_id/incoming-calls', run: ringUser },
  { method: 'POST', path: 'users/:user_id/originate', run: dialFromPhone },
  { method: 'GET', path: 'users/:user_id/calls', run: listCallsOfUser },
  { method: 'POST', path: 'users/:user_id/events/:type', run: emitUserEvent },
]

function createUsers({ backend, body }: ControlRequest): ControlReply {
  if (typeof body === 'object' && body !== null && 'count' in body) {
    const users = backend.users.addRange(parseInput(UserRangeSchema, body))
    return {
      status: 201,
      body: { count: users.length, users: users.map(({ user_id, number }) => ({ user_id, number })) },
    }
  }
  return { status: 201, body: backend.users.add(parseInput(UserSchema, body)) }
}

function readUser(request: ControlRequest): ControlReply {
  return { status: 200, body: request.backend.users.require(paramOf(request, 'user_id')) }
}

function deleteUser(request: ControlRequest): ControlReply {
  const userId = paramOf(request, 'user_id')
  if (!request.backend.removeUser(userId)) {
    throw new GatewayError('subscriber_not_found', { fields: { user_id: userId } })
  }
  return NO_CONTENT
}

function ringUser(request: ControlRequest): ControlReply {
  const { from, name } = parseInput(IncomingCallSchema, request.body)
  const user = request.backend.users.require(paramOf(request, 'user_id'))
  return { status: 201, body: callView(request.backend.model.receive(user, from, name)) }
}

function dialFromPhone(request: ControlRequest): ControlReply {
  const { to } = parseInput(OriginateSchema, request.body)
  const user = request.backend.users.require(paramOf(request, 'user_id'))
  return { status: 201, body: callView(request.backend.model.originate(user, to)) }
}

function listCallsOfUser(request: ControlRequest): ControlReply {
  const user = request.backend.users.require(paramOf(request, 'user_id'))
  return { status: 200, body: { calls: request.backend.model.callsOf(user.user_id).map(callView) } }
}

function emitUserEvent(request: ControlRequest): ControlReply {
  const type = parseInput(v.object({ type: v.picklist(USER_EVENT_TYPES) }), { type: paramOf(request, 'type') }).type
  const user = request.backend.users.require(paramOf(request, 'user_id'))
  const data = parseInput(UserEventSchema, request.body)
  const events = request.backend.publisher.publishUserEvent(user, type, {
    active: data.active,
    number: data.number,
    newMessages: data.new_messages,
    oldMessages: data.old_messages,
    agentState: data.agent_state,
    unavailableCode: data.unavailable_code,
  })
  return { status: 202, body: { events } }
}
