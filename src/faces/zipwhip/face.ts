import type { Hono } from 'hono'
import type { HttpEnv } from '../../http/context.ts'
import type { DefineOperation } from '../../http/operation.ts'
import { eligibleAnswer, lineAnswer, statusAnswer } from './answers.ts'
import { callAdder, type AddCall } from './call-adder.ts'
import type { ZipwhipDeps } from './deps.ts'
import {
  DeleteParameters,
  EligibleParameters,
  LineParameters,
  NumberParameters,
  requestedDateOf,
} from './parameters.ts'
import { AddAnswer, EligibleAnswer, LineAnswer, StatusAnswer } from './schemas.ts'
import { addSecondaryCalls } from './secondary-calls.ts'

/**
 * The Zipwhip provisioning API ("Provision Phone Numbers", version 1.0): five primary calls and the secondary ones
 * that it names. Every call is a GET whose parameters are in the query, or a POST of the same as a form: the
 * document says the one and its samples do the other.
 */
export function addZipwhipFace(app: Hono<HttpEnv>, define: DefineOperation, deps: ZipwhipDeps): void {
  const add = callAdder(app, define, deps)
  addQuestions(add, deps)
  addRequests(add, deps)
  addSecondaryCalls(add, deps)
}

function addQuestions(add: AddCall, { lines }: ZipwhipDeps): void {
  add({
    path: 'provision/eligible',
    summary: 'Verify that a number is eligible',
    description: 'Part of the Zipwhip document (4).',
    parameters: EligibleParameters,
    schema: EligibleAnswer,
    answer: async ({ organization, given }) => eligibleAnswer(await lines.eligible(organization, given.phone_number)),
  })
  add({
    path: 'provision/status',
    summary: 'Show the service status of a number of the organization',
    description: 'Part of the Zipwhip document (5.3).',
    parameters: NumberParameters,
    schema: StatusAnswer,
    answer: async ({ organization, given }) => statusAnswer(await lines.line(organization, given.phone_number)),
  })
}

function addRequests(add: AddCall, { lines, clock }: ZipwhipDeps): void {
  add({
    path: 'provision/add',
    summary: 'Set up service for an eligible number',
    description: 'Part of the Zipwhip document (5.2), with the password of its sample. A repetition changes nothing.',
    parameters: LineParameters,
    schema: AddAnswer,
    answer: async ({ organization, given }) =>
      lineAnswer(await lines.add({ organization, ...toRequest(given, clock.now()) }), given, clock.now()),
  })
  add({
    path: 'provision/update',
    summary: 'Change details of a service',
    description: 'Part of the Zipwhip document (6). The only detail that can be changed is vendor_customer_id.',
    parameters: LineParameters,
    schema: LineAnswer,
    answer: async ({ organization, given }) =>
      lineAnswer(await lines.update({ organization, ...toRequest(given, clock.now()) }), given, clock.now()),
  })
  add({
    path: 'provision/delete',
    summary: 'Remove a service',
    description: 'Part of the Zipwhip document (7). Before the service begins, it cancels the request for it.',
    parameters: DeleteParameters,
    schema: LineAnswer,
    answer: async ({ organization, given }) =>
      lineAnswer(await lines.remove({ organization, ...toRequest(given, clock.now()) }), given, clock.now()),
  })
}

const toRequest = (
  given: {
    readonly phone_number: string
    readonly effective_date?: string | undefined
    readonly vendor_customer_id?: string | undefined
    readonly reason?: string | undefined
  },
  now: number,
) => ({
  number: given.phone_number,
  requestedDate: requestedDateOf(given.effective_date, now),
  vendorCustomerId: given.vendor_customer_id,
  reason: given.reason,
})
