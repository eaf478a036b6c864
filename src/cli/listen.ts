import { WebSocket } from 'undici'
import { parsePosition } from '../core/position.ts'
import { ApiClient } from './api-client.ts'
import { readOptions, UsageError } from './arguments.ts'
import { untilSignalled } from './signals.ts'
import type { CliCommand } from './terminal.ts'

const HELP = `Usage: callhalf listen --app <app_id> [--url http://127.0.0.1:8080] [--after <epoch:offset>]

Prints the app's events, one JSON line each. The API key comes from CALLHALF_API_KEY.`

/** `callhalf listen`: prints an app's stream until a signal or until the gateway closes it. */
export const listen: CliCommand = async (args, terminal) => {
  const values = readOptions(args, {
    app: { type: 'string' },
    url: { type: 'string', default: 'http://127.0.0.1:8080' },
    after: { type: 'string' },
    help: { type: 'boolean', default: false },
  })
  const key = terminal.env['CALLHALF_API_KEY']
  if (values.help || values.app === undefined || key === undefined) {
    terminal.print(HELP)
    return values.help ? 0 : 2
  }
  if (!URL.canParse(values.url)) throw new UsageError('--url must be the address of a gateway, http://…')
  const after = values.after === undefined ? null : parsePosition(values.after)
  if (after === undefined) throw new UsageError('--after must be a position, <epoch>:<offset>')
  // A WebSocket says nothing about why it was refused.
  await new ApiClient({ baseUrl: values.url, key }).call('GET', `/apps/${encodeURIComponent(values.app)}/webhooks`)
  const url = `${values.url.replace(/^http/, 'ws')}/apps/${encodeURIComponent(values.app)}/stream`
  const socket = new WebSocket(url, { headers: { authorization: `Bearer ${key}` } })
  const closed = Promise.withResolvers<number>()
  socket.addEventListener('open', () => socket.send(JSON.stringify({ op: 'subscribe', after })))
  socket.addEventListener('message', ({ data }) => terminal.print(String(data)))
  socket.addEventListener('error', () => terminal.printError('The stream could not be opened or broke off.'))
  socket.addEventListener('close', ({ code, reason }) => {
    terminal.printError(`The stream was closed: ${code} ${reason}`)
    closed.resolve(1)
  })
  const signalled = untilSignalled().then(() => 0)
  const code = await Promise.race([closed.promise, signalled])
  socket.close()
  return code
}
