import * as v from 'valibot'
import type { CallReader } from '../core/call-reader.ts'
import type { Clock } from '../core/clock.ts'
import { GatewayError, isGatewayError } from '../core/errors.ts'
import type { IdempotencyStore } from '../core/idempotency.ts'
import { toCallId } from '../core/ids.ts'
import type { CallId } from '../core/ids.ts'
import type { Logger } from '../core/logger.ts'
import type { NetworkControl } from '../core/network-control.ts'
import { runCommand } from './run-command.ts'
import { findDialledCall } from './find-dialled-call.ts'
import { PlacedCallSchema, toPlacedCall } from './place-request.ts'
import type { DialRequest, PlacedCall } from './place-request.ts'

export type DiallerOptions = {
  readonly networks: NetworkControl
  readonly calls: CallReader
  readonly idempotency: IdempotencyStore
  readonly clock: Clock
  readonly log: Logger
  readonly commandTimeoutMs: number
}

export type DialOutcome = {
  readonly call: PlacedCall
  /** The call was placed by an earlier request with the same key. */
  readonly isReplay: boolean
}

/** A claim younger than the command's deadline plus this may still be at work. */
const CLAIM_GRACE_MS = 5_000
const PLACED_STATUS = 201

/**
 * Dials, and with an idempotency key dials at most once for that key, whatever crashes when.
 *
 * The claim is stored before the network is asked and completed after it answered. Between the two the
 * process may die or the answer may be lost; the claim then stays unfinished and its request can have
 * dialled or not. Nobody dials for it again: a retry looks for the call that it must have made, first in
 * our state, then at the network, and when it finds none says that the outcome is unknown.
 * A claim is withdrawn only when the network certainly did nothing ({@link isCertainlyNotDone}).
 */
export class Dialler {
  readonly #options: DiallerOptions

  constructor(options: DiallerOptions) {
    this.#options = options
  }

  /** Rejects with `idempotency_*` for the key, `provider_*` for the network. */
  async dial(request: DialRequest, key: string | undefined): Promise<DialOutcome> {
    if (key === undefined) return { call: toPlacedCall(request, await this.#send(request)), isReplay: false }
    const { appId } = request.assignment.app
    const claim = await this.#options.idempotency.claim(appId, key, canonicalRequest(request))
    if (claim.kind === 'first') return this.#dialFirst(request, key)
    if (claim.kind === 'unfinished') return this.#resolve(request, key, claim.startedAt)
    if (claim.kind === 'replay') return { call: v.parse(PlacedCallSchema, JSON.parse(claim.body)), isReplay: true }
    const detail = 'A key belongs to one request: use a new one for another call.'
    throw new GatewayError('idempotency_mismatch', { detail })
  }

  async #dialFirst(request: DialRequest, key: string): Promise<DialOutcome> {
    const callId = await this.#send(request).catch(async (error: unknown) => {
      if (isCertainlyNotDone(error)) await this.#abandon(request, key)
      throw error
    })
    const call = toPlacedCall(request, callId)
    await this.#complete(request, key, call)
    return { call, isReplay: false }
  }

  async #resolve(request: DialRequest, key: string, startedAt: number): Promise<DialOutcome> {
    const { clock, commandTimeoutMs } = this.#options
    const remainingMs = startedAt + commandTimeoutMs + CLAIM_GRACE_MS - clock.now()
    if (remainingMs > 0) {
      throw new GatewayError('idempotency_in_progress', { retryAfterSeconds: Math.ceil(remainingMs / 1000) })
    }
    const callId = await this.#findCall(request, startedAt)
    if (callId === undefined) {
      throw new GatewayError('idempotency_outcome_unknown', {
        detail:
          'The first request was interrupted and its call is not there now: it may have ended, or was never placed. ' +
          'It will not be dialled again for this key. To place the call, send the request with a new key.',
      })
    }
    const call = toPlacedCall(request, callId)
    await this.#complete(request, key, call)
    return { call, isReplay: true }
  }

  async #findCall(request: DialRequest, startedAt: number): Promise<CallId | undefined> {
    const { network, subscriberId } = request.assignment
    const attempt = { remoteNumber: request.remoteNumber, startedAt }
    const stored = await this.#options.calls.liveCalls(network, [subscriberId])
    const known = findDialledCall(
      stored.map(({ call }) => call),
      attempt,
    )
    if (known !== undefined) return known.callId
    const { networks, commandTimeoutMs } = this.#options
    const command = { type: 'list', subscriberId } as const
    const reported = await runCommand({ networks, networkId: network.networkId, command, timeoutMs: commandTimeoutMs })
    return findDialledCall(reported, attempt)?.callId
  }

  async #send(request: DialRequest): Promise<CallId> {
    const { networks, commandTimeoutMs } = this.#options
    const { network, subscriberId } = request.assignment
    const command = { type: 'dial', subscriberId, remoteNumber: request.remoteNumber } as const
    const dialled = await runCommand({ networks, networkId: network.networkId, command, timeoutMs: commandTimeoutMs })
    return toCallId(dialled.callId)
  }

  /** The call exists: if the record fails now, a retry finds it in our state, so this must not fail. */
  async #complete(request: DialRequest, key: string, call: PlacedCall): Promise<void> {
    const response = { status: PLACED_STATUS, body: JSON.stringify(call) }
    try {
      await this.#options.idempotency.complete(request.assignment.app.appId, key, response)
    } catch (cause) {
      this.#options.log.error({ err: cause, callId: call.call_id }, 'idempotency claim could not be completed')
    }
  }

  /** The caller learns the network's refusal; a claim that stays makes its retry say "unknown", never dial. */
  async #abandon(request: DialRequest, key: string): Promise<void> {
    try {
      await this.#options.idempotency.abandon(request.assignment.app.appId, key)
    } catch (cause) {
      this.#options.log.warn({ err: cause }, 'idempotency claim could not be withdrawn')
    }
  }
}

/** What two requests must have in common to be the same one: as checked, not as spelled. */
const canonicalRequest = ({ assignment, remoteNumber, subscriberName, remoteName }: DialRequest): string =>
  JSON.stringify({
    operation: 'dial',
    networkId: assignment.network.networkId,
    subscriberId: assignment.subscriberId,
    remoteNumber,
    subscriberName,
    remoteName,
  })

/**
 * Whether a failed command surely had no effect: the network answered with a refusal, or the request
 * never left (`sent: false`). Anything else, a timeout above all, may have been carried out.
 */
function isCertainlyNotDone(error: unknown): boolean {
  if (!isGatewayError(error)) return false
  if (isGatewayError(error, 'provider_unavailable')) return error.fields['sent'] === false
  return isGatewayError(
    error,
    'provider_refused',
    'provider_unauthorized',
    'call_state_conflict',
    'call_not_found',
    'subscriber_not_found',
    'invalid_request',
    'too_many_requests',
    'draining',
  )
}
