import * as v from 'valibot'
import {
  FAULTS_MAX,
  FAULTS_OF_ANY_OPERATION,
  SANDBOX_FAULTS,
  SANDBOX_OPERATIONS,
} from '../../../provisioning/adapters/sandbox/fault.ts'
import { idSchema } from '../../../provisioning/model/ids.ts'
import { numberField } from '../../zilkr/schemas/fields.ts'

const count = (max: number) => v.pipe(v.number(), v.integer('must be a whole number'), v.minValue(1), v.maxValue(max))
const faultFields = {
  fault: v.picklist(SANDBOX_FAULTS),
  operation: v.optional(v.picklist(SANDBOX_OPERATIONS), 'execute'),
  number: v.pipe(v.optional(numberField), v.description('Only requests with this number')),
  productId: v.optional(idSchema('product')),
  requests: v.pipe(v.optional(count(1_000_000)), v.description('How many requests it is for; all of them if absent')),
  delayMs: v.optional(v.pipe(v.number(), v.integer('must be a whole number'), v.minValue(0), v.maxValue(600_000))),
}
const Fault = v.pipe(
  v.strictObject(faultFields),
  v.forward(
    v.check(
      ({ fault, operation }) => operation === 'execute' || FAULTS_OF_ANY_OPERATION.has(fault),
      `of another operation than execute must be one of ${[...FAULTS_OF_ANY_OPERATION].join(', ')}`,
    ),
    ['fault'],
  ),
)

export const FaultsBody = v.pipe(
  v.strictObject({
    faults: v.pipe(
      v.array(Fault),
      v.maxLength(FAULTS_MAX, `may have up to ${FAULTS_MAX} faults`),
      v.description('The first that matches a request befalls it; an empty list ends all of them'),
    ),
  }),
  v.metadata({ ref: 'SandboxFaultsBody', title: 'What is to go wrong at the sandbox carrier' }),
)
export const FaultsSchema = v.pipe(
  v.object({
    faults: v.array(
      v.object({
        ...faultFields,
        requests: v.pipe(v.optional(v.number()), v.description('How many requests it is still for')),
      }),
    ),
  }),
  v.metadata({ ref: 'SandboxFaults', title: 'What goes wrong at the sandbox carrier' }),
)
