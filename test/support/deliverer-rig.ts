import type { AttemptMessage, AttemptReport } from '../../src/webhooks/attempt.ts'
import type { Deliverer, DelivererOptions } from '../../src/webhooks/deliverer.ts'
import { createDeliverer, messageOf, targetAt } from './deliverer.ts'
import type { TargetOptions } from './deliverer.ts'
import { WebhookReceiver } from './webhook-receiver.ts'
import type { Answer } from './webhook-receiver.ts'

/** What a test of attempts starts, and ends with `clean`. */
export class DelivererRig {
  readonly #cleanups: (() => Promise<unknown>)[] = []

  /** To be done after the test, the last one first. */
  defer(cleanup: () => Promise<unknown>): void {
    this.#cleanups.push(cleanup)
  }

  async clean(): Promise<void> {
    for (const cleanup of this.#cleanups.splice(0).toReversed()) await cleanup()
  }

  start(options: Partial<DelivererOptions> = {}): Deliverer {
    const deliverer = createDeliverer(options)
    deliverer.start()
    this.defer(() => deliverer.stop())
    return deliverer
  }

  async startReceiver(answer?: Answer): Promise<WebhookReceiver> {
    const receiver = await new WebhookReceiver().start()
    if (answer !== undefined) receiver.answer(answer)
    this.defer(() => receiver.stop())
    return receiver
  }
}

/** What is special about an attempt. */
export type Trial = Partial<AttemptMessage> & {
  readonly target?: TargetOptions
  readonly signal?: AbortSignal
}

/** One round; resolves with its reports. */
export const sendRound = (deliverer: Deliverer, url: string, { target, signal, ...message }: Trial = {}) =>
  deliverer.attempt(targetAt(url, target), messageOf(message), signal ?? new AbortController().signal)

/** One round at an endpoint without a failover; resolves with its only report. */
export async function sendOnce(deliverer: Deliverer, url: string, trial?: Trial): Promise<AttemptReport> {
  const [report, ...more] = await sendRound(deliverer, url, trial)
  if (report === undefined || more.length > 0) throw new Error('not exactly one report')
  return report
}
