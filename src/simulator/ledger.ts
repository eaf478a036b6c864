/** One event as emitted, in the control API's names. Times are milliseconds since the epoch. */
export type LedgerEntry = {
  readonly event_id: string
  readonly subscription_id: string
  readonly sequence_number: number
  /** The monitored user. */
  readonly user_id: string
  readonly call_id: string | null
  readonly type: string
  /** The call's state when the event was made. */
  readonly state: string | null
  readonly created_at: number
  readonly emissions: { readonly at: number; readonly channel_id: string }[]
  acked_at: number | null
  /** The last status that the client answered with. */
  ack_status: number | null
  /** When the simulator gave the event up. */
  expired_at: number | null
  expired_reason: string | null
}

export type ExpiryReason = 'lost' | 'no_channel' | 'refused' | 'subscription_deleted' | 'too_many_pending' | 'stopped'

export type LedgerSummary = {
  readonly events: number
  readonly emissions: number
  readonly acked: number
  readonly refused: number
  readonly expired: number
  readonly pending: number
  /** Entries that were dropped from the ledger because it was full. */
  readonly forgotten: number
  readonly by_type: Readonly<Record<string, number>>
}

/** A record of every event ever made, oldest forgotten first once it is full. */
export class Ledger {
  readonly #entriesMax: number
  readonly #byId = new Map<string, LedgerEntry>()
  #entries: LedgerEntry[] = []
  /** Cursor of the first entry held. */
  #base = 0
  #forgotten = 0

  constructor(entriesMax = 500_000) {
    this.#entriesMax = entriesMax
  }

  add(entry: LedgerEntry): void {
    this.#entries.push(entry)
    this.#byId.set(entry.event_id, entry)
    // In blocks, so that a full ledger does not move its entries for each event.
    if (this.#entries.length > this.#entriesMax * 1.1) this.#forget(this.#entries.length - this.#entriesMax)
  }

  find(eventId: string): LedgerEntry | undefined {
    return this.#byId.get(eventId)
  }

  /** Up to `limit` entries after the cursor; `next` is the cursor to go on from. */
  read(after: number, limit: number): { readonly entries: readonly LedgerEntry[]; readonly next: number } {
    const start = Math.max(after - this.#base, 0)
    const entries = this.#entries.slice(start, start + limit)
    return { entries, next: this.#base + Math.min(start + entries.length, this.#entries.length) }
  }

  clear(): void {
    this.#base += this.#entries.length
    this.#entries = []
    this.#byId.clear()
    this.#forgotten = 0
  }

  summary(): LedgerSummary {
    const byType: Record<string, number> = {}
    let [emissions, acked, refused, expired, pending] = [0, 0, 0, 0, 0]
    for (const entry of this.#entries) {
      byType[entry.type] = (byType[entry.type] ?? 0) + 1
      emissions += entry.emissions.length
      if (entry.expired_at !== null) expired += 1
      else if (entry.acked_at === null) pending += 1
      else if (entry.ack_status === 200) acked += 1
      else refused += 1
    }
    const [events, forgotten] = [this.#entries.length, this.#forgotten]
    return { events, emissions, acked, refused, expired, pending, forgotten, by_type: byType }
  }

  #forget(count: number): void {
    for (const entry of this.#entries.slice(0, count)) this.#byId.delete(entry.event_id)
    this.#entries = this.#entries.slice(count)
    this.#base += count
    this.#forgotten += count
  }
}
