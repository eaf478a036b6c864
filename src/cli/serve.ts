import { isGatewayError } from '../core/errors.ts'
import { readConfig } from '../config.ts'
import { Gateway } from '../gateway.ts'
import { readOptions } from './arguments.ts'
import { untilSignalled } from './signals.ts'
import type { CliCommand, Terminal } from './terminal.ts'

/** `callhalf serve`: environment → configuration → gateway → wait for a signal. */
export const serve: CliCommand = async (args, terminal) => {
  readOptions(args, {})
  const signalled = untilSignalled()
  const gateway = await startGateway(terminal)
  if (gateway === undefined) return 1
  terminal.print(`Callhalf listens on ${gateway.url}`)
  if (gateway.adminKeyFile !== undefined) terminal.print(`The admin key is in ${gateway.adminKeyFile}`)
  await signalled
  return stopGateway(gateway, terminal)
}

/** Starts a gateway from the environment; says what is wrong and answers undefined when it cannot. */
export async function startGateway(terminal: Terminal): Promise<Gateway | undefined> {
  try {
    const gateway = await Gateway.create(readConfig(terminal.env))
    await gateway.start()
    return gateway
  } catch (error) {
    if (!isGatewayError(error)) throw error
    terminal.printError(error.message)
    return undefined
  }
}

/** Drains and stops; answers the exit code. */
export async function stopGateway(gateway: Gateway, terminal: Terminal): Promise<number> {
  try {
    await gateway.stop()
    return 0
  } catch (error) {
    terminal.printError(`The shutdown was incomplete: ${error instanceof Error ? error.message : String(error)}`)
    return 1
  }
}
