/**
 * Shows an app's live calls in the terminal and keeps them current over the stream.
 *
 *   CALLHALF_API_KEY=… node examples/live-calls.ts --app <app_id> [--url http://127.0.0.1:8080]
 *
 * The client does the rest: it resumes after a disconnect, and stops when its key or its app is gone. In a
 * project of your own it is `import { connect } from 'callhalf/client'`.
 */
import process, { env, stdout } from 'node:process'
import { parseArgs } from 'node:util'
import type { ClientState, LiveCall } from '../src/client/client.ts'
import { connect } from '../src/client/client.ts'

function describeState(state: ClientState): string {
  if (state.name === 'waiting') return `${state.ending.name}, again in ${Math.round(state.retryInMs)} ms`
  if (state.name === 'closed') return state.ending === undefined ? 'closed' : (state.ending.detail ?? state.ending.name)
  return state.name === 'live' ? 'connected' : 'connecting'
}

function describeCall(call: LiveCall): string {
  const arrow = call.direction === 'incoming' ? '<-' : '->'
  const remote = `${call.remote_number || 'withheld'} ${call.remote_name ?? ''}`.trim()
  return `${call.state.padEnd(12)} ${call.subscriber_id.padEnd(32)} ${arrow} ${remote}`
}

function draw(calls: ReadonlyMap<string, LiveCall>, status: string): void {
  const text = [`${calls.size} live calls (${status})`, '', ...[...calls.values()].map(describeCall), ''].join('\n')
  stdout.write(stdout.isTTY ? `\u001B[2J\u001B[H${text}` : `${text}\n`)
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { app: { type: 'string' }, url: { type: 'string', default: 'http://127.0.0.1:8080' } },
  })
  const apiKey = env['CALLHALF_API_KEY']
  if (values.app === undefined || apiKey === undefined) {
    stdout.write('Usage: CALLHALF_API_KEY=… node examples/live-calls.ts --app <app_id> [--url <gateway>]\n')
    return 2
  }
  const client = connect({
    url: values.url,
    appId: values.app,
    apiKey,
    onEvent: () => draw(client.calls(), 'connected'),
    onSnapshot: ({ lost }) => draw(client.calls(), lost === undefined ? 'connected' : `events were lost: ${lost}`),
    onState: (state) => draw(client.calls(), describeState(state)),
  })
  process.once('SIGINT', () => void client.close())
  return (await client.closed) === undefined ? 0 : 1
}

process.exitCode = await main()
