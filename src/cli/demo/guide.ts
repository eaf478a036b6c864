import type { Terminal } from '../terminal.ts'
import { SUBSCRIBERS, type DemoSetUp } from './set-up.ts'

/** Prints the commands to try by hand, ready to copy. */
export function printGuide(
  terminal: Terminal,
  demo: {
    readonly gatewayUrl: string
    readonly made: DemoSetUp
    readonly file: string
    readonly simulatorControlUrl: string
  },
): void {
  const { gatewayUrl, made, simulatorControlUrl } = demo
  const [first, second] = SUBSCRIBERS
  const app = `${gatewayUrl}/apps/${made.appId}`
  const auth = `-H "Authorization: Bearer ${made.apiKey}"`
  const lines = [
    '',
    `Everything is written down in ${demo.file}. Documentation: ${gatewayUrl}/docs`,
    '',
    "Let a phone ring (in the simulator; with a real network, call the subscriber's number):",
    `  curl -s -X POST ${simulatorControlUrl}/users/${encodeURIComponent(first.id)}/incoming-calls -H 'content-type: application/json' -d '{"from":"+15550199002"}'`,
    'See it and take its call_id:',
    `  curl -s ${auth} ${app}/calls`,
    '  CALL=callhalf-…:0',
    'Answer, hold, resume, end:',
    `  curl -i -X PUT ${auth} ${app}/calls/$CALL/answer`,
    `  curl -i -X PUT ${auth} ${app}/calls/$CALL/hold`,
    `  curl -i -X PUT ${auth} ${app}/calls/$CALL/resume`,
    `  curl -i -X DELETE ${auth} ${app}/calls/$CALL`,
    'Place a call:',
    `  curl -s -X POST ${auth} -H 'content-type: application/json' ${app}/calls -d '{"subscriber_id":"${second.id}","subscriber_number":"${second.number}","remote_number":"+15550199003"}'`,
    'In the simulator, the subscriber picks up, the other side answers, and hangs up:',
    `  curl -s -X POST ${simulatorControlUrl}/calls/$CALL/local/pickup`,
    `  curl -s -X POST ${simulatorControlUrl}/calls/$CALL/remote/answer`,
    `  curl -s -X POST ${simulatorControlUrl}/calls/$CALL/remote/hangup`,
    'Follow the stream:',
    `  curl -N ${auth} -H 'Accept: text/event-stream' ${app}/stream`,
    '',
    'Calls now happen by themselves; this is what the sample app hears. Ctrl-C ends the demo.',
    '',
  ]
  for (const line of lines) terminal.print(line)
}
