import { systemClock } from '../../src/core/clock.ts'
import { toEndpointId } from '../../src/core/ids.ts'
import { createAddressPolicy } from '../../src/webhooks/address-policy.ts'
import type { AttemptMessage, AttemptTarget, Credentials } from '../../src/webhooks/attempt.ts'
import { Deliverer } from '../../src/webhooks/deliverer.ts'
import type { DelivererOptions } from '../../src/webhooks/deliverer.ts'
import { createResolver } from '../../src/webhooks/resolver.ts'
import { toKeyring } from '../../src/webhooks/signature.ts'

/** What the requests of {@link targetAt} are signed with. */
export const TEST_SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'

/** A deliverer that may reach this machine's loopback addresses and the public internet; to be started. */
export const createDeliverer = (options: Partial<DelivererOptions> = {}): Deliverer =>
  new Deliverer({
    policy: createAddressPolicy(['127.0.0.0/8']),
    resolve: createResolver({ timeoutMs: 1_000, localNames: true }),
    clock: systemClock,
    userAgent: 'Callhalf/test',
    ...options,
  })

/** What a test may say about where and as whom to send. */
export type TargetOptions = Partial<AttemptTarget & Credentials>

export const targetAt = (
  url: string,
  { keys = toKeyring([TEST_SECRET]), headers = {}, ...more }: TargetOptions = {},
): AttemptTarget => ({
  endpointId: toEndpointId('endpoint-1'),
  url,
  credentials: () => Promise.resolve({ keys, headers }),
  ...more,
})

export const messageOf = (more: Partial<AttemptMessage> = {}): AttemptMessage => ({
  messageId: 'msg_1',
  payload: '{"a":1}',
  number: 1,
  timeoutMs: 5_000,
  headers: { 'callhalf-event': 'call.ringing' },
  ...more,
})
