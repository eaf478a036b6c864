import type { Clock } from '../../../core/clock.ts'
import type { Logger } from '../../../core/logger.ts'
import { Loop } from '../../../core/loop.ts'
import type { Service } from '../../../core/service.ts'
import { VERSION } from '../../../core/version.ts'
import { Waker } from '../../../core/waker.ts'
import type { Eligibility } from '../../model/eligibility.ts'
import { PROVIDER_ACTIONS } from '../../model/provider.ts'
import type {
  NumberProvider,
  ProviderCapabilities,
  ProviderContext,
  ProviderNotice,
  ProviderRequest,
  ProviderResult,
} from '../../model/provider.ts'
import type { ProvisioningDatabase, Queries } from '../../store/database.ts'
import { readFaults, takeFault, writeFaults } from './fault-script.ts'
import { FAULT_DELAY_MS, FAULTS_OF_ANY_OPERATION } from './fault.ts'
import type { SandboxFault, SandboxOperation, ScriptedFault } from './fault.ts'
import { judgeNumber } from './judgement.ts'
import { cancelOrder, insertOrder, nextDueInMs, readOrder, settleNext, takeNotices } from './orders.ts'
import { isSameRequest, magicFaultOfRequest, planRequest, toStoredRequest } from './plan.ts'

export type SandboxOptions = {
  readonly database: ProvisioningDatabase
  readonly clock: Clock
  readonly log: Logger
  /** How long the carrier takes; 1 s unless given. */
  readonly fulfilMs?: number
  /** How long a losing carrier takes when no date is asked for; 10 s unless given. */
  readonly portMs?: number
  /** The customer that we are at the carrier. */
  readonly account?: string
}

const BATCH_MAX = 500
export const SANDBOX_CAPABILITIES: ProviderCapabilities = {
  actions: new Set(PROVIDER_ACTIONS),
  isIdempotent: true,
  canFind: true,
  canCancel: true,
  judgesEligibility: true,
  batchMax: BATCH_MAX,
}
const NOTICES_AT_ONCE = 50
/** Another instance's request may be due earlier than what is known here, or be at work on what is due. */
const LOOK_MS = 2_000
const LOOK_MIN_MS = 20

/**
 * A carrier that is part of the gateway: it has lines and orders of its own, takes its time, and fails as it is told
 * to, by a script or by a number's last digits. Nothing leaves the gateway. What it has is in the database, so that
 * it outlives the process and is the same for all instances. It carries orders out when somebody asks after them, and
 * by itself while it runs.
 */
export class SandboxProvider implements NumberProvider, Service {
  readonly id = 'sandbox'
  readonly name = 'sandbox-carrier'
  readonly about = {
    name: 'Sandbox carrier',
    description: 'A carrier that is part of the gateway; nothing leaves it.',
    version: VERSION,
  }
  readonly capabilities = SANDBOX_CAPABILITIES
  readonly #options: SandboxOptions
  readonly #account: string
  readonly #listeners = new Set<(notice: ProviderNotice) => Promise<boolean>>()
  readonly #waker: Waker
  readonly #loop = new Loop()

  constructor(options: SandboxOptions) {
    this.#options = options
    this.#account = options.account ?? 'callhalf'
    this.#waker = new Waker(options.clock)
  }

  start(): Promise<void> {
    this.#loop.start((signal) => this.#run(signal))
    return Promise.resolve()
  }

  stop(): Promise<void> {
    return this.#loop.stop()
  }

  listen(listener: (notice: ProviderNotice) => Promise<boolean>): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Replaces the script of faults. */
  async setFaults(faults: readonly SandboxFault[]): Promise<void> {
    await this.#options.database.transaction((tx) => writeFaults(tx, this.#account, faults))
  }

  /** The script as it stands; `requests` has counted down. */
  faults(): Promise<readonly ScriptedFault[]> {
    return this.#options.database.query((db) => readFaults(db, this.#account))
  }

  execute(request: ProviderRequest, context: ProviderContext): Promise<ProviderResult> {
    return this.#answer('execute', request, context, (tx, fault) => this.#take(tx, request, fault))
  }

  poll(ref: string, request: ProviderRequest, context: ProviderContext): Promise<ProviderResult> {
    return this.#answer('poll', request, context, async (tx) => {
      const found = await readOrder(tx, { account: this.#account, ref })
      return found?.result ?? NO_SUCH_ORDER
    })
  }

  async find(request: ProviderRequest, context: ProviderContext): Promise<ProviderResult | undefined> {
    const result = await this.#answer('find', request, context, async (tx) => {
      const { idempotencyKey } = request
      const found = await readOrder(tx, { account: this.#account, idempotencyKey })
      return found?.result ?? NO_SUCH_ORDER
    })
    return result === NO_SUCH_ORDER ? undefined : result
  }

  cancel(ref: string, request: ProviderRequest, context: ProviderContext): Promise<ProviderResult> {
    return this.#answer(
      'cancel',
      request,
      context,
      async (tx) => (await cancelOrder(tx, this.#account, ref)) ?? NO_SUCH_ORDER,
    )
  }

  async judgeEligibility(e164: string, context: ProviderContext): Promise<Eligibility> {
    await context.record({ isResponse: false, content: JSON.stringify({ operation: 'judge', number: e164 }) })
    await this.#settleDue(context.signal)
    const judged = await this.#options.database.query((db) => judgeNumber(db, this.#account, e164))
    await context.record({ isResponse: true, content: JSON.stringify(judged) })
    return judged
  }

  /** What every request has in common: a record of it, what goes wrong with it, and a record of the answer. */
  async #answer(
    operation: SandboxOperation,
    request: ProviderRequest,
    context: ProviderContext,
    work: (tx: Queries, fault: ScriptedFault | undefined) => Promise<ProviderResult>,
  ): Promise<ProviderResult> {
    const { idempotencyKey } = request
    const stored = toStoredRequest(request)
    await context.record({ isResponse: false, content: JSON.stringify({ operation, idempotencyKey, ...stored }) })
    if (context.signal.aborted) return { kind: 'unknown', reason: 'the deadline has passed' }
    const { result, fault } = await this.#options.database.transaction(async (tx) => {
      const scripted = await takeFault(tx, {
        account: this.#account,
        operation,
        productId: request.productId,
        numbers: request.lines.map(({ e164 }) => e164),
      })
      const befalling = scripted ?? (operation === 'execute' ? magicFaultOfRequest(stored, context.attempt) : undefined)
      const mayBefall = operation === 'execute' || (befalling && FAULTS_OF_ANY_OPERATION.has(befalling.fault))
      const effective = mayBefall ? befalling : undefined
      return { fault: effective, result: refusalOf(effective) ?? (await work(tx, effective)) }
    })
    this.#waker.wake()
    const answer = isUnanswered(fault) ? await this.#loseConnection(fault, context.signal) : result
    await context.record({ isResponse: true, content: JSON.stringify(answer) })
    return answer
  }

  async #take(tx: Queries, request: ProviderRequest, fault: ScriptedFault | undefined): Promise<ProviderResult> {
    const { fulfilMs = 1_000, portMs = 10_000 } = this.#options
    const stored = toStoredRequest(request)
    const key = { account: this.#account, idempotencyKey: request.idempotencyKey }
    await insertOrder(tx, { ...key, request: stored, plan: planRequest(stored, fault, { fulfilMs, portMs }) })
    const order = await readOrder(tx, { ...key, isHidden: true })
    if (order === undefined) return { kind: 'unknown', reason: 'the request is not there' }
    return isSameRequest(order.request, stored) ? order.result : KEY_REUSED
  }

  async #loseConnection({ fault, delayMs }: ScriptedFault, signal: AbortSignal): Promise<ProviderResult> {
    // Of a late arrival it is lost before the request is there.
    const lostMs = fault === 'late_arrival' ? Math.min(delayMs / 2, FAULT_DELAY_MS) : delayMs
    await this.#options.clock.wait(lostMs, signal).catch(() => undefined)
    return { kind: 'unknown', reason: 'timeout' }
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const waitMs = await this.#work(signal).catch((error: unknown) => {
        this.#options.log.warn({ err: error }, 'the sandbox carrier could not work')
        return LOOK_MS
      })
      await this.#waker.wait(waitMs, signal)
    }
  }

  /** Carries out what is due and tells of it. Resolves with how long to wait. */
  async #work(signal: AbortSignal): Promise<number> {
    const { database } = this.#options
    await this.#settleDue(signal)
    for (let told = 1; told > 0 && !signal.aborted;) {
      const notices = await database.transaction((tx) => takeNotices(tx, this.#account, NOTICES_AT_ONCE))
      for (const notice of notices) await this.#tell(notice)
      told = notices.length
    }
    const dueInMs = await database.query((db) => nextDueInMs(db, this.#account))
    return Math.min(Math.max(dueInMs ?? LOOK_MS, LOOK_MIN_MS), LOOK_MS)
  }

  async #settleDue(signal: AbortSignal): Promise<void> {
    const settleOne = () => this.#options.database.transaction((tx) => settleNext(tx, this.#account))
    while (!signal.aborted && (await settleOne()));
  }

  async #tell(notice: ProviderNotice): Promise<void> {
    for (const listener of this.#listeners) {
      await listener(notice).catch((error: unknown) => {
        this.#options.log.warn({ err: error }, 'a notice of the sandbox carrier was lost')
      })
    }
  }
}

const NO_SUCH_ORDER: ProviderResult = {
  kind: 'refused',
  code: 'no_such_order',
  message: 'the carrier has no such order',
}
const KEY_REUSED: ProviderResult = {
  kind: 'refused',
  code: 'key_reused',
  message: 'the key was used for another request',
}
const REFUSED: ProviderResult = {
  kind: 'refused',
  code: 'refused',
  message: 'the carrier does not take the request',
}
const LOST: ProviderResult = { kind: 'unknown', reason: 'timeout' }

/** The answer to a request that is not carried out at all. */
function refusalOf(fault: ScriptedFault | undefined): ProviderResult | undefined {
  if (fault?.fault === 'timeout_before_commit') return LOST
  if (fault?.fault === 'throttle') return { kind: 'retry', reason: 'throttled', afterMs: fault.delayMs }
  return fault?.fault === 'refuse' ? REFUSED : undefined
}

const isUnanswered = (fault: ScriptedFault | undefined): fault is ScriptedFault =>
  fault?.fault === 'timeout_before_commit' || fault?.fault === 'timeout_after_commit' || fault?.fault === 'late_arrival'
