import type { HeaderParameter } from './openapi-parameters.ts'

const text = (name: string, description: string, required = true): HeaderParameter => ({
  name,
  description,
  required,
  schema: { type: 'string' },
})
const whole = (name: string, description: string): HeaderParameter => ({
  name,
  description,
  required: true,
  schema: { type: 'integer' },
})
const flag = (name: string, description: string): HeaderParameter => ({
  name,
  description,
  schema: { type: 'string', enum: ['1'] },
})

/** Of every request that is sent to a receiver. */
export const MESSAGE_HEADERS: readonly HeaderParameter[] = [
  text('webhook-id', 'The same for every attempt and replay of one event: use it to drop repetitions'),
  whole('webhook-timestamp', 'Seconds since 1970, of this attempt; refuse what is more than five minutes off'),
  text(
    'webhook-signature',
    '`v1,<base64>` (HMAC-SHA-256) and `v1a,<base64>` (ed25519) over `id.timestamp.body`; several, separated by spaces, while a secret changes',
  ),
  text('callhalf-event', "The event's type"),
  whole('callhalf-attempt', 'From 1; goes on over replays'),
  {
    name: 'callhalf-target',
    description: 'Sent to the failover URL',
    schema: { type: 'string', enum: ['failover'] },
  },
]

/** Of every event, besides. */
export const EVENT_HEADERS: readonly HeaderParameter[] = [
  text('callhalf-position', "`<epoch>:<offset>`: the event's place in the app's log, as the stream has it"),
  whole('callhalf-age-ms', 'Milliseconds since it happened'),
  whole('callhalf-expires', 'No attempt begins later: milliseconds since 1970'),
  flag('callhalf-replay', 'Sent again because somebody asked for it'),
  flag('callhalf-test', 'Made up by `testWebhook`: nothing has happened'),
]

/** Of every event of a call, besides. */
export const CALL_HEADERS: readonly HeaderParameter[] = [
  whole('callhalf-sequence', "The call's `sequence_number`"),
  text('callhalf-call-id', 'The `call_id`, percent-encoded unless it is visible ASCII without a percent sign'),
  text(
    'callhalf-skipped',
    'Sequence numbers of earlier events of the call that were not delivered before this one, and why: `3;parked, 4;expired` (a list as in RFC 8941)',
    false,
  ),
  flag('callhalf-parked', 'It held up its call for too long and arrives out of order'),
]
