/** What a provisioned object is; 1 is the document's, the others are ours. Names are in `object_statuses`. */
export const OBJECT_STATUS = { active: 1, suspended: 2, disconnected: 3, pending: 4 } as const
export type ObjectStatusId = (typeof OBJECT_STATUS)[keyof typeof OBJECT_STATUS]

/** How it gets there; 1 is the document's. Names, and the status that each leads to, are in `object_transitions`. */
const TRANSITION = { activate: 1, suspend: 2, disconnect: 3, restore: 4, change: 5 } as const
export type TransitionId = (typeof TRANSITION)[keyof typeof TRANSITION]

/** How a provisioning request stands; 1 and the names `In Error` and `Cancelled` are the document's. */
export const REQUEST_STATUS = { submitted: 1, inProgress: 2, complete: 3, inError: 4, cancelled: 5, held: 6 } as const
export type RequestStatusId = (typeof REQUEST_STATUS)[keyof typeof REQUEST_STATUS]

const NEXT: Readonly<Record<RequestStatusId, readonly RequestStatusId[]>> = {
  [REQUEST_STATUS.submitted]: [2, 3, 4, 6],
  [REQUEST_STATUS.inProgress]: [3, 4, 6],
  [REQUEST_STATUS.held]: [1, 3, 4],
  [REQUEST_STATUS.inError]: [1, 3, 5],
  [REQUEST_STATUS.complete]: [],
  [REQUEST_STATUS.cancelled]: [],
}
/** Whether a request may go from one status to the other. Held is for the safeguard, see `safeguarding.ts`. */
export const requestMayBecome = (from: RequestStatusId, to: RequestStatusId): boolean => NEXT[from].includes(to)

/** Complete or cancelled: nothing happens to it any more. One in error may be resubmitted. */
export const isFinalRequest = (status: RequestStatusId): boolean => NEXT[status].length === 0
