import { randomUUID } from 'node:crypto'
import type { Hono } from 'hono'
import type * as v from 'valibot'
import type { HttpEnv } from '../../http/context.ts'
import type { DefineOperation, Reply } from '../../http/operation.ts'
import type { Eligibility } from '../../provisioning/model/eligibility.ts'
import type { LineState } from '../../provisioning/store/lines.ts'
import { STATUS_CODES, STATUS_OF_REASON, type StatusName } from './codes.ts'
import type { ZipwhipDeps } from './deps.ts'
import { transactionOf, type LineAnswer } from './lines.ts'
import {
  DeleteParameters,
  formatDate,
  LineParameters,
  NumberParameters,
  ReportParameters,
  requestedDateOf,
} from './parameters.ts'
import { answerZipwhipError, readCall, type ZipwhipCall } from './call.ts'
import { AnswerSchema } from './schemas.ts'

const BASE = '/api/20140925'
const TAG = 'Zipwhip'

/**
 * The Zipwhip provisioning API ("Provision Phone Numbers", version 1.0): five primary calls and the secondary ones
 * that it names. Every call is a GET whose parameters are in the query, or a POST of the same as a form: the
 * document says the one and its samples do the other.
 */
export function addZipwhipFace(app: Hono<HttpEnv>, define: DefineOperation, deps: ZipwhipDeps): void {
  const add = callAdder(app, define, deps)
  const { lines, clock } = deps
  add({
    path: 'provision/eligible',
    summary: 'Verify that a number is eligible',
    parameters: NumberParameters,
    answer: async ({ organization, given }) => eligibleAnswer(await lines.eligible(organization, given.phone_number)),
  })
  add({
    path: 'provision/add',
    summary: 'Set up service for an eligible number',
    parameters: LineParameters,
    answer: async ({ organization, given }) => {
      const answer = await lines.add({ organization, ...toRequest(given, clock.now()) })
      const reply = lineAnswer(answer, given, clock.now())
      if (answer.status !== 'success') return reply
      const owner = { customerId: organization.customerId, number: given.phone_number }
      return { ...reply, password: await deps.credentials.issue('password', owner) }
    },
  })
  add({
    path: 'provision/status',
    summary: 'Show the service status of a number of the organization',
    parameters: NumberParameters,
    answer: async ({ organization, given }) => statusAnswer(await lines.line(organization, given.phone_number)),
  })
  add({
    path: 'provision/update',
    summary: 'Change details of a service',
    description: 'The only detail that can be changed is vendor_customer_id.',
    parameters: LineParameters,
    answer: async ({ organization, given }) =>
      lineAnswer(await lines.update({ organization, ...toRequest(given, clock.now()) }), given, clock.now()),
  })
  add({
    path: 'provision/delete',
    summary: 'Remove a service',
    parameters: DeleteParameters,
    answer: async ({ organization, given }) =>
      lineAnswer(await lines.remove({ organization, ...toRequest(given, clock.now()) }), given, clock.now()),
  })
  addSecondaryCalls(add, deps)
}

type AddCall = ReturnType<typeof callAdder>

function addSecondaryCalls(add: AddCall, { lines, credentials, optOuts }: ZipwhipDeps): void {
  add({
    path: 'enum/textable',
    summary: 'Whether text messages reach a number, and through whom',
    parameters: NumberParameters,
    answer: async ({ organization, given }) => {
      const { reason, lineType } = await lines.eligible(organization, given.phone_number)
      const textable = reason === 'provisioned_by_you' || reason === 'provisioned_by_another'
      return {
        ...answered('success', randomUUID()),
        provider: textable ? 'callhalf' : 'unknown',
        textable,
        type: lineType.toLowerCase(),
      }
    },
  })
  add({
    path: 'enum/mobile',
    summary: 'Whether a number is a mobile one',
    parameters: NumberParameters,
    answer: async ({ organization, given }) => {
      const { lineType } = await lines.eligible(organization, given.phone_number)
      return { transaction_id: randomUUID(), is_mobile: lineType === 'mobile' }
    },
  })
  add({
    path: 'account/get-sessionkey',
    summary: 'Create a session key of a line',
    description: 'Each call makes a new one, which does not expire while the line is in service.',
    parameters: NumberParameters,
    answer: async ({ organization, given }) => {
      await lines.line(organization, given.phone_number)
      const owner = { customerId: organization.customerId, number: given.phone_number }
      return { success: true, response: await credentials.issue('session_key', owner) }
    },
  })
  for (const state of ['stop', 'unstop'] as const) {
    add({
      path: `provision/${state}`,
      summary: `The wireless numbers whose last word to the organization's lines was ${state}`,
      parameters: ReportParameters,
      answer: async ({ organization: { customerId }, given: { phone_number, from, to } }) => {
        const found = await optOuts.report({
          customerId,
          state,
          line: phone_number,
          from: from === undefined ? undefined : Date.parse(from),
          to: to === undefined ? undefined : Date.parse(to),
        })
        const numbers = found.map(({ number, updatedAt }) => ({
          phone_number: number,
          state,
          last_updated: formatDate(updatedAt),
        }))
        return { ...answered('success', randomUUID()), numbers }
      },
    })
  }
}

type Call<Parameters extends ZipwhipCall['parameters']> = {
  readonly path: string
  readonly summary: string
  readonly description?: string
  readonly parameters: Parameters
  readonly answer: (call: {
    readonly organization: ZipwhipCall['organization']
    readonly given: v.InferOutput<Parameters>
  }) => Promise<Readonly<Record<string, unknown>>>
}

function callAdder(app: Hono<HttpEnv>, define: DefineOperation, deps: ZipwhipDeps) {
  return <Parameters extends ZipwhipCall['parameters']>(call: Call<Parameters>): void => {
    const { path, summary, description, parameters, answer } = call
    const name = path.replaceAll(/[^a-z]+(\w)/g, (_, letter: string) => letter.toUpperCase())
    for (const method of ['get', 'post'] as const) {
      app[method](
        `${BASE}/${path}`,
        define(
          {
            operationId: method === 'get' ? name : `${name}ByForm`,
            tag: TAG,
            summary,
            ...(description !== undefined && { description }),
            access: 'open',
            described: { parameters, place: method === 'get' ? 'query' : 'form' },
            responses: { 200: { description: 'The result, also one that says no', schema: AnswerSchema } },
            answerError: (error, c) => answerZipwhipError(error, c, deps),
          },
          async ({ c }) => reply(await answer(await readCall(c, parameters, deps))),
        ),
      )
    }
  }
}

/** A side effect behind GET must never come from a cache or a preview (RFC 9111, 5.2.2.5). */
const reply = (json: unknown): Reply => ({ status: 200, json, headers: { 'cache-control': 'no-store' } })

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

/** Fields and spelling of the document's samples: booleans are texts. */
const answered = (status: StatusName, transactionId: string) => ({
  transaction_id: transactionId,
  status_code: STATUS_CODES[status].code,
  status_desc: STATUS_CODES[status].text,
  error: 'false',
})

/** Section 4.1.2 has the code of an eligible number as a number, and no description; the others are texts. */
function eligibleAnswer({ reason }: Eligibility) {
  const transactionId = randomUUID()
  if (reason === 'eligible') {
    return { eligible: 'true', error: 'false', status_code: 100, transaction_id: transactionId }
  }
  const { code, text } = STATUS_CODES[STATUS_OF_REASON[reason]]
  return { eligible: 'false', error: 'false', status_code: code, status_desc: text, transaction_id: transactionId }
}

function lineAnswer(
  { status, transactionId }: LineAnswer,
  given: { readonly effective_date?: string | undefined },
  now: number,
) {
  if (status !== 'success') return { ...answered(status, transactionId), error: 'true' }
  return { ...answered(status, transactionId), effective_date: given.effective_date ?? formatDate(now) }
}

const statusAnswer = (line: LineState) => ({
  ...answered('success', transactionOf(line.orderId)),
  account_status: ACCOUNT_STATUS[line.state],
  last_updated: formatDate(line.updatedAt),
})

/**
 * Section 5.3 calls an active account "Account Activated"; the sample in 5.3.2, which clients were written by, has
 * "provisioned".
 */
const ACCOUNT_STATUS: Readonly<Record<LineState['state'], string>> = {
  active: 'provisioned',
  pending: 'Pending Activation',
  scheduled: 'Pending Activation',
  unknown: 'Unknown',
}
