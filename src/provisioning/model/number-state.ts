import type { NumberState } from '../../core/provisioning-event.ts'

export type { NumberState } from '../../core/provisioning-event.ts'

/** Kept by the trigger `number_moves` of migration 0005, whoever writes. */
const NEXT: Readonly<Record<NumberState, readonly NumberState[]>> = {
  discovery: ['available', 'removed'],
  available: ['reserved', 'removed'],
  reserved: ['available', 'in_service', 'aging', 'removed'],
  in_service: ['released', 'aging', 'available', 'port_out', 'removed'],
  released: ['aging', 'available', 'removed'],
  aging: ['available', 'removed'],
  port_in: ['in_service', 'removed'],
  port_out: ['removed', 'in_service'],
  removed: ['available', 'port_in'],
}

/** Whether a number may go from one state to the other. */
export const mayBecome = (from: NumberState, to: NumberState): boolean => NEXT[from].includes(to)
