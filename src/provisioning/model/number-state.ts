/** The life of a number in the inventory; names as in Kazoo's number manager and Bandwidth's inventory. */
export const NUMBER_STATES = [
  'discovery',
  'available',
  'reserved',
  'in_service',
  'released',
  'aging',
  'port_in',
  'port_out',
  'removed',
] as const
export type NumberState = (typeof NUMBER_STATES)[number]

const NEXT: Readonly<Record<NumberState, readonly NumberState[]>> = {
  discovery: ['available', 'removed'],
  available: ['reserved', 'removed'],
  reserved: ['available', 'in_service', 'removed'],
  in_service: ['released', 'port_out'],
  released: ['aging', 'available', 'removed'],
  aging: ['available', 'removed'],
  port_in: ['in_service', 'removed'],
  port_out: ['removed', 'in_service'],
  removed: ['available', 'port_in'],
}

/** Whether a number may go from one state to the other. */
export const mayBecome = (from: NumberState, to: NumberState): boolean => NEXT[from].includes(to)
