import { once } from 'node:events'
import { createServer } from 'node:http'
import { getRequestListener } from '@hono/node-server'

/** Serves an app's `fetch` on a free port of the loopback interface. */
export async function serveApp(
  fetch: Parameters<typeof getRequestListener>[0],
): Promise<{ readonly port: number; readonly url: string; stop(): void }> {
  const listener = getRequestListener(fetch)
  const server = createServer((request, response) => {
    // The listener answers its own failures.
    void listener(request, response)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    stop() {
      server.closeAllConnections()
      server.close()
    },
  }
}
