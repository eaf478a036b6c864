import { randomUUID } from 'node:crypto'
import { GatewayError } from '../../core/errors.ts'
import { answered } from './answers.ts'
import type { AddCall } from './call-adder.ts'
import type { ZipwhipDeps } from './deps.ts'
import { formatDate, NumberParameters, ReportParameters } from './parameters.ts'
import { MobileAnswer, ReportAnswer, SessionKeyAnswer, TextableAnswer } from './schemas.ts'

const SAMPLES = 'The document names it; path and fields are those of published samples.'

/** The calls that the document names without describing them. */
export function addSecondaryCalls(add: AddCall, deps: ZipwhipDeps): void {
  addEnumCalls(add, deps)
  const { lines, credentials } = deps
  add({
    path: 'account/get-sessionkey',
    summary: 'Create a session key of a line',
    description: `Each call makes a new one, which does not expire while the line is in service. ${SAMPLES}`,
    parameters: NumberParameters,
    schema: SessionKeyAnswer,
    answer: async ({ organization, given }) => {
      const { state } = await lines.line(organization, given.phone_number)
      if (state === 'failed') throw new GatewayError('resource_not_found')
      const owner = { customerId: organization.customerId, number: given.phone_number }
      return { success: true, response: await credentials.issueSessionKey(owner) }
    },
  })
  addReports(add, deps)
}

function addEnumCalls(add: AddCall, { lines }: ZipwhipDeps): void {
  add({
    path: 'enum/textable',
    summary: 'Whether text messages reach a number, and through whom',
    description: `A mobile number takes text messages by nature, others when they are provisioned here. ${SAMPLES}`,
    parameters: NumberParameters,
    schema: TextableAnswer,
    answer: async ({ organization, given }) => {
      const { lineType } = await lines.eligible(organization, given.phone_number)
      const isOurs = await lines.isTextEnabled(given.phone_number)
      return {
        ...answered('success', randomUUID()),
        provider: isOurs ? 'callhalf' : 'unknown',
        textable: isOurs || lineType === 'mobile',
        type: lineType.toLowerCase(),
      }
    },
  })
  add({
    path: 'enum/mobile',
    summary: 'Whether a number is a mobile one',
    description: SAMPLES,
    parameters: NumberParameters,
    schema: MobileAnswer,
    answer: async ({ organization, given }) => {
      const { lineType } = await lines.eligible(organization, given.phone_number)
      return { transaction_id: randomUUID(), is_mobile: lineType === 'mobile' }
    },
  })
}

function addReports(add: AddCall, { optOuts }: ZipwhipDeps): void {
  for (const state of ['stop', 'unstop'] as const) {
    add({
      path: `provision/${state}`,
      summary: `The wireless numbers whose last word to the organization's lines was ${state}`,
      description: 'Newest first, at most 10,000. The document names the report; path and fields are ours.',
      parameters: ReportParameters,
      schema: ReportAnswer,
      answer: async ({ organization: { customerId }, given: { phone_number, from, to } }) => {
        const found = await optOuts.report({
          customerId,
          state,
          line: phone_number,
          from: from === undefined ? undefined : Date.parse(from),
          to: to === undefined ? undefined : Date.parse(to),
        })
        const numbers = found.map(({ number, line, updatedAt }) => ({
          phone_number: number,
          line,
          state,
          last_updated: formatDate(updatedAt),
        }))
        return { ...answered('success', randomUUID()), numbers }
      },
    })
  }
}
