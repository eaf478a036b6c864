import { Agent, request } from 'undici'
import { type Config, readConfig } from '../config.ts'
import { readOptions } from './arguments.ts'
import type { CliCommand } from './terminal.ts'

const TIMEOUT_MS = 3_000

/**
 * `callhalf ready`: asks the gateway that runs here with the same environment whether it is ready; 0 if it is. For
 * the health checks of containers. The certificate is not verified: it is made for another name than this
 * machine's, and nothing secret is asked or told.
 */
export const ready: CliCommand = async (args, terminal) => {
  readOptions(args, {})
  const url = readinessUrl(readConfig(terminal.env).http)
  const agent = new Agent({ connect: { rejectUnauthorized: false } })
  try {
    const { statusCode, body } = await request(url, { dispatcher: agent, signal: AbortSignal.timeout(TIMEOUT_MS) })
    terminal.print(await body.text())
    return statusCode === 200 ? 0 : 1
  } catch (error) {
    terminal.printError(`${url} does not answer: ${error instanceof Error ? error.message : String(error)}`)
    return 1
  } finally {
    await agent.destroy()
  }
}

function readinessUrl({ host, port, tls }: Config['http']): string {
  const address = ANY_ADDRESS[host] ?? host
  return `${tls === undefined ? 'http' : 'https'}://${address.includes(':') ? `[${address}]` : address}:${port}/readyz`
}

/** Whoever listens everywhere listens there. */
const ANY_ADDRESS: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' }
