import { STATES_ALLOWING, assertCommandAllowed } from '../core/call-commands.ts'
import type { CallCommand } from '../core/call-commands.ts'
import type { CallReader, StoredCall } from '../core/call-reader.ts'
import { toCallResource } from '../core/call-resource.ts'
import type { CallResource } from '../core/call-resource.ts'
import { isLive } from '../core/call.ts'
import type { Call } from '../core/call.ts'
import type { Clock } from '../core/clock.ts'
import type { Assignment, Directory } from '../core/directory.ts'
import { GatewayError, isGatewayError } from '../core/errors.ts'
import type { IdempotencyStore } from '../core/idempotency.ts'
import type { AppId, CallId, NetworkRef, SubscriberId } from '../core/ids.ts'
import { readLiveCalls } from '../core/live-calls.ts'
import type { Logger } from '../core/logger.ts'
import type { NetworkControl } from '../core/network-control.ts'
import { Dialler } from './dialler.ts'
import type { DialOutcome } from './dialler.ts'
import { checkPlaceCall } from './place-request.ts'
import type { PlaceCall } from './place-request.ts'
import { runCommand } from './run-command.ts'

export type CallControlOptions = {
  readonly directory: Directory
  readonly calls: CallReader
  readonly networks: NetworkControl
  readonly idempotency: IdempotencyStore
  readonly clock: Clock
  readonly log: Logger
  /** How long a network may take to answer a command. */
  readonly commandTimeoutMs?: number
}

const COMMAND_TIMEOUT_MS = 10_000

type OwnCall = { readonly stored: StoredCall; readonly assignment: Assignment }

/**
 * What an app can do with calls. An app sees the calls of the subscribers assigned to it and nothing
 * else: whatever belongs to others does not exist for it. Nothing here writes call state: a command is
 * sent to the network and its effect comes back as an event.
 */
export class CallControl {
  readonly #options: CallControlOptions
  readonly #commandTimeoutMs: number
  readonly #dialler: Dialler

  constructor(options: CallControlOptions) {
    this.#options = options
    this.#commandTimeoutMs = options.commandTimeoutMs ?? COMMAND_TIMEOUT_MS
    this.#dialler = new Dialler({ ...options, commandTimeoutMs: this.#commandTimeoutMs })
  }

  /** The live calls of all the app's subscribers, the oldest first. */
  async list(appId: AppId): Promise<readonly CallResource[]> {
    return readLiveCalls(this.#options.calls, this.#options.directory.assignmentsOfApp(appId))
  }

  /** The live calls of one subscriber. Rejects with `subscriber_not_found`. */
  async listOf(appId: AppId, subscriberId: SubscriberId): Promise<readonly CallResource[]> {
    return readLiveCalls(this.#options.calls, [this.#assignmentOf(appId, subscriberId)])
  }

  /** Rejects with `call_not_found`, also for a call that has ended, and `ambiguous_call`. */
  async get(appId: AppId, callId: CallId): Promise<CallResource> {
    const { stored, assignment } = await this.#findCall(appId, callId)
    return toCallResource(stored, assignment)
  }

  /**
   * Places a call; with a key, at most once for that key. Rejects with `subscriber_not_found`,
   * `invalid_request`, `idempotency_*`, `provider_*`.
   */
  async place(appId: AppId, request: PlaceCall, idempotencyKey?: string): Promise<DialOutcome> {
    const assignment = this.#assignmentOf(appId, request.subscriber_id)
    return this.#dialler.dial(checkPlaceCall(request, assignment), idempotencyKey)
  }

  /**
   * Sends a command on an existing call. Resolves when the network took it. Rejects with
   * `call_not_found`, `call_state_conflict`, `ambiguous_call`, `provider_*`.
   */
  async command(appId: AppId, callId: CallId, command: CallCommand): Promise<void> {
    const { stored } = await this.#findCall(appId, callId)
    assertCommandAllowed(command, stored.call)
    const { networks } = this.#options
    const { networkId } = stored.network
    const { subscriberId } = stored
    try {
      await runCommand({
        networks,
        networkId,
        command: { type: command, subscriberId, callId: stored.call.networkCallId ?? callId },
        timeoutMs: this.#commandTimeoutMs,
      })
    } catch (error) {
      // The network sees the call differently: what else we believe of it may be wrong, too.
      if (contradictsState(error)) networks.resynchronise(networkId, [subscriberId], `${command}_contradicted`)
      throw isGatewayError(error, 'call_state_conflict') ? namingState(error, command, stored.call) : error
    }
  }

  #assignmentOf(appId: AppId, subscriberId: SubscriberId): Assignment {
    const { directory } = this.#options
    for (const { networkId } of this.#networksOf(appId)) {
      const own = directory.assignmentsOf(networkId, subscriberId).find(({ app }) => app.appId === appId)
      if (own !== undefined) return own
    }
    throw new GatewayError('subscriber_not_found')
  }

  #networksOf(appId: AppId): readonly NetworkRef[] {
    const networks = new Map<string, NetworkRef>()
    for (const { network } of this.#options.directory.assignmentsOfApp(appId)) networks.set(network.networkId, network)
    return [...networks.values()]
  }

  /** The app's live call of this id; call ids are unique within a network's subscriber only. */
  async #findCall(appId: AppId, callId: CallId): Promise<OwnCall> {
    const { calls, directory } = this.#options
    const found = await Promise.all(this.#networksOf(appId).map((network) => calls.findCalls(network, callId)))
    const own = found.flat().flatMap((stored): readonly OwnCall[] => {
      const assignments = directory.assignmentsOf(stored.network.networkId, stored.subscriberId)
      const assignment = assignments.find(({ app }) => app.appId === appId)
      return assignment === undefined ? [] : [{ stored, assignment }]
    })
    const live = own.filter(({ stored }) => isLive(stored.call.state))
    const [only] = live
    if (only === undefined) {
      throw new GatewayError('call_not_found', own.length > 0 ? { detail: 'The call has ended.' } : {})
    }
    if (live.length > 1) throw ambiguousCall(live)
    return only
  }
}

/** Whether a network's refusal says that the call is gone or in another state than ours. */
const contradictsState = (error: unknown): boolean =>
  isGatewayError(error, 'call_not_found', 'call_state_conflict') ||
  (isGatewayError(error, 'provider_refused') && error.fields['maybe_gone'] === true)

/** A network says only that it is not allowed; the caller is told the state that we know, too. */
const namingState = (error: GatewayError, command: CallCommand, call: Call): GatewayError =>
  new GatewayError('call_state_conflict', {
    detail: `The network does not allow ${command} now; the call was last known to be ${call.state}.`,
    fields: { ...error.fields, state: call.state, command, allowed: STATES_ALLOWING[command] },
    cause: error,
  })

const ambiguousCall = (live: readonly OwnCall[]): GatewayError =>
  new GatewayError('ambiguous_call', {
    fields: { subscriber_ids: live.map(({ stored }) => stored.subscriberId) },
  })
