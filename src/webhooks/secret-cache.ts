import type { KeyObject } from 'node:crypto'
import type { Clock } from '../core/clock.ts'
import type { EndpointRepository } from '../core/endpoint.ts'
import type { EndpointId } from '../core/ids.ts'
import { createSigningKey } from './signature.ts'

type Entry = { readonly keys: Promise<readonly KeyObject[]>; readonly readAt: number }

/** Short, because a rotated or removed secret stays in use for as long. */
const MAX_AGE_MS = 5_000
const ENTRIES_MAX = 10_000

/** Endpoints' signing keys, newest first, read from the records at most every few seconds. */
export class SecretCache {
  readonly #endpoints: Pick<EndpointRepository, 'secretsOf'>
  readonly #clock: Pick<Clock, 'monotonic'>
  /** In the order of reading, so that the first is the oldest. */
  readonly #entries = new Map<EndpointId, Entry>()

  constructor(endpoints: Pick<EndpointRepository, 'secretsOf'>, clock: Pick<Clock, 'monotonic'>) {
    this.#endpoints = endpoints
    this.#clock = clock
  }

  /** Empty when the endpoint was removed. Rejects with the repository's error, which is not remembered. */
  keysOf(endpointId: EndpointId): Promise<readonly KeyObject[]> {
    const known = this.#entries.get(endpointId)
    if (known !== undefined && this.#clock.monotonic() - known.readAt < MAX_AGE_MS) return known.keys
    const keys = this.#endpoints.secretsOf(endpointId).then((secrets) => secrets.map(createSigningKey))
    this.#entries.delete(endpointId)
    this.#entries.set(endpointId, { keys, readAt: this.#clock.monotonic() })
    keys.catch(() => {
      if (this.#entries.get(endpointId)?.keys === keys) this.#entries.delete(endpointId)
    })
    if (this.#entries.size > ENTRIES_MAX) this.#dropOldest()
    return keys
  }

  #dropOldest(): void {
    const oldest = this.#entries.keys().next()
    if (oldest.done !== true) this.#entries.delete(oldest.value)
  }
}
