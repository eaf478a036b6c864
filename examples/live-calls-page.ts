/**
 * A web page with an app's live calls, which can be answered, held, resumed and ended there.
 *
 *   npm run build:client
 *   CALLHALF_API_KEY=… node examples/live-calls-page.ts --app <app_id> [--url http://127.0.0.1:8080] [--port 8085]
 *
 * The API key stays in this server: the page asks it for a stream token before each connect. Yours would ask
 * who the user is first.
 */
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import process, { env, stdout } from 'node:process'
import { parseArgs } from 'node:util'

const PAGE = (gateway: string, appId: string): string => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Live calls</title>
<h1>Live calls</h1>
<p id="state"></p>
<table id="calls"></table>
<script type="module">
  import { RefusedError, connect } from '/client/client.js'

  const getToken = async (signal) => {
    const response = await fetch('/token', { method: 'POST', signal })
    if (response.status === 401) throw new RefusedError('not signed in any more', 401)
    if (!response.ok) throw new Error('no token now')
    return (await response.json()).token
  }
  const client = connect({
    url: ${JSON.stringify(gateway)},
    appId: ${JSON.stringify(appId)},
    getToken,
    onEvent: draw,
    onSnapshot: draw,
    onState: (state) => { document.querySelector('#state').textContent = state.name },
  })
  const buttons = { ringing: ['answer', 'end'], active: ['hold', 'end'], held: ['resume', 'end'] }

  function draw() {
    document.querySelector('#calls').replaceChildren(...[...client.calls().values()].map((call) => {
      const row = document.createElement('tr')
      for (const text of [call.state, call.subscriber_id, call.remote_number]) row.insertCell().textContent = text
      for (const name of buttons[call.state] ?? ['end']) {
        const button = row.insertCell().appendChild(document.createElement('button'))
        button.textContent = name
        button.onclick = () => client[name](call.call_id).catch((error) => alert(error.message))
      }
      return row
    }))
  }
</script>
</html>
`

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      app: { type: 'string' },
      url: { type: 'string', default: 'http://127.0.0.1:8080' },
      port: { type: 'string', default: '8085' },
      client: { type: 'string', default: join(import.meta.dirname, '../dist/client') },
    },
  })
  const { app, url } = values
  const key = env['CALLHALF_API_KEY']
  if (app === undefined || key === undefined) {
    stdout.write('Usage: CALLHALF_API_KEY=… node examples/live-calls-page.ts --app <app_id> [--url <gateway>]\n')
    process.exitCode = 2
    return
  }
  const respond = async (method: string, path: string): Promise<Response> => {
    if (method === 'POST' && path === '/token') {
      const tokens = `${url}/apps/${encodeURIComponent(app)}/stream-tokens`
      const headers = { authorization: `Bearer ${key}` }
      return fetch(tokens, { method: 'POST', headers, signal: AbortSignal.timeout(10_000) })
    }
    if (path === '/') return new Response(PAGE(url, app), { headers: { 'content-type': 'text/html; charset=utf-8' } })
    const file = /^\/client\/([a-z-]+\.js)$/.exec(path)?.[1]
    if (file === undefined) return new Response('', { status: 404 })
    return new Response(await readFile(join(values.client, file)), { headers: { 'content-type': 'text/javascript' } })
  }
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { status, headers, body } = await respond(request.method ?? '', request.url ?? '').catch(
      (error: unknown) => new Response(String(error), { status: 502 }),
    )
    response.writeHead(status, { 'content-type': headers.get('content-type') ?? 'text/plain' })
    response.end(body === null ? '' : await new Response(body).bytes())
  }
  // Each request answers its own failure.
  const server = createServer((request, response) => void answer(request, response))
  server.listen(Number(values.port), '127.0.0.1', () => {
    stdout.write(`the page is at http://127.0.0.1:${(server.address() as AddressInfo).port}/\n`)
  })
}

await main()
