import type { NetworkRef } from '../../src/core/ids.ts'
import type { Confirmation, ConfirmationBook } from '../../src/core/lease.ts'

/** What is confirmed, for several adapters in one process. */
export class DoubtBook implements ConfirmationBook {
  doubts = 0
  confirmed: string | undefined

  async read(): Promise<Confirmation> {
    return { isConfirmed: this.confirmed === String(this.doubts), doubts: String(this.doubts) }
  }

  async doubt(): Promise<string> {
    this.doubts += 1
    return String(this.doubts)
  }

  async confirm(_network: NetworkRef, doubts: string): Promise<void> {
    this.confirmed = doubts
  }
}
