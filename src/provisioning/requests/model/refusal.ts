import { GatewayError } from '../../../core/errors.ts'

/** That there is nothing of this id, or not in this environment, in the document's words; `field` names the id. */
export const noAccess = (what: string, id: number | string, field: string): GatewayError =>
  new GatewayError('resource_not_found', {
    detail: `You do not have access to ${what} ID ${id} or it does not exist.`,
    fields: { field },
  })
