/**
 * A long-lived part of the gateway. Constructors allocate nothing that must be closed; `start` does,
 * and resolves once the part works. `stop` releases everything, is idempotent, and gives up waiting
 * for work in flight when `deadline` aborts. A failed `start` leaves nothing behind.
 */
export interface Service {
  readonly name: string
  start(): Promise<void>
  stop(deadline: AbortSignal): Promise<void>
}
