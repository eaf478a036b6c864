import { GatewayError } from '../../src/core/errors.ts'
import { toInstanceId, type InstanceRegistry } from '../../src/core/instances.ts'
import type { ConfirmationBook, GenerationStore, LeaseStore } from '../../src/core/lease.ts'

const unused = () => Promise.reject(new GatewayError('internal'))

const alone: InstanceRegistry = {
  self: { instanceId: toInstanceId('instance-1'), roles: [] },
  live: () => [alone.self],
  ranked: () => [],
  steadyMs: () => 0,
  onChange: () => () => undefined,
}

/** What an adapter shares with other instances, for one that uses none of it. */
export const unusedPorts: {
  readonly takesChannels: boolean
  readonly leases: LeaseStore
  readonly generations: GenerationStore
  readonly confirmations: ConfirmationBook
  readonly instances: InstanceRegistry
} = {
  takesChannels: true,
  leases: { tryAcquire: unused, look: unused, claim: unused },
  generations: { generationOf: unused },
  confirmations: { read: unused, doubt: unused, confirm: unused },
  instances: alone,
}
