import type { ReleaseCause } from './call.ts'
import type { DeliveryOutcome } from './observation.ts'
import type { Rule } from './transition.ts'

/** What ingest counts; implemented with the other metrics of call state. */
export interface IngestMetrics {
  /** An observation was decided. `unassigned`: no app has the subscriber. */
  observed(outcome: DeliveryOutcome, rule: Rule | undefined): void
  /** Another writer was first; the observation is decided again. */
  conflicted(): void
  /** The store refused a sender whose lease was granted to somebody else. */
  fenced(): void
  /** A call was ended by conclusion, not by the network's report. */
  ghostReleased(cause: ReleaseCause): void
}
