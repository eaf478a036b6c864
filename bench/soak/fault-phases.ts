import { setTimeout as delay } from 'node:timers/promises'
import type { Rig } from './rig.ts'

/** A slice of the run with one fault switched on. */
export type FaultPhase = { readonly name: string; run(rig: Rig, phaseMs: number): Promise<void> }

const withFaults = (name: string, faults: Readonly<Record<string, unknown>>): FaultPhase => ({
  name,
  async run(rig, phaseMs) {
    await rig.setFaults(faults)
    await delay(phaseMs)
  },
})

/** Every fault of the simulator, in turn. */
export const FAULT_PHASES: readonly FaultPhase[] = [
  withFaults('no fault', {}),
  withFaults('documents split at every few bytes', { split: { mode: 'bytes', max_bytes: 7 } }),
  withFaults('documents joined, non-ASCII names', { join: 5, non_ascii_names: true }),
  withFaults('delayed by up to 300 ms', { delay_ms: 300 }),
  withFaults('every event twice with ratio 0.3', { duplicate_ratio: 0.3 }),
  withFaults('reordered with ratio 0.2', { reorder_ratio: 0.2 }),
  withFaults('unknown event types and extra elements', { unknown_event_ratio: 0.2, extra_elements: true }),
  withFaults('socket dropped without farewell, again and again', { drop_socket_every: 150 }),
  withFaults('503 burst', { http_burst: { status: 503, count: 20 } }),
  withFaults('one 401, then good again', { http_burst: { status: 401, count: 1 } }),
  withFaults('403 burst', { http_burst: { status: 403, count: 3 } }),
  withFaults('404 burst', { http_burst: { status: 404, count: 5 } }),
  withFaults('redirected to the other node', { redirect: { to_xsp_index: 1, count: 5 } }),
  {
    name: 'half-open stream, then dropped',
    async run(rig, phaseMs) {
      await rig.setFaults({ half_open: true })
      await delay(phaseMs / 2)
      await rig.setFaults({ drop_socket_every: 1 })
      await delay(phaseMs / 2)
    },
  },
  {
    name: 'application server failover: every call vanishes silently',
    async run(rig, phaseMs) {
      await rig.setFaults({})
      await rig.failover()
      await delay(phaseMs)
    },
  },
  {
    name: 'kill -9 of the gateway and restart',
    async run(rig, phaseMs) {
      await rig.setFaults({})
      await delay(phaseMs / 4)
      await rig.killAndRestartGateway()
      await delay(phaseMs / 2)
    },
  },
  withFaults('no fault', {}),
]
