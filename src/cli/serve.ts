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
  const gateway = await startGateway(terminal, signalled)
  if (gateway === undefined) return 1
  terminal.print(`Callhalf listens on ${gateway.url}`)
  if (gateway.adminKeyFile !== undefined) terminal.print(`The admin key is in ${gateway.adminKeyFile}`)
  await signalled
  return stopGateway(gateway, terminal)
}

/**
 * Starts a gateway from the environment. Says what is wrong and answers undefined when it cannot, or when
 * the signal comes before it has started.
 */
export async function startGateway(terminal: Terminal, signalled: Promise<unknown>): Promise<Gateway | undefined> {
  try {
    const gateway = await Gateway.create(readConfig(terminal.env))
    const first = await Promise.race([
      gateway.start().then(() => 'started' as const),
      signalled.then(() => 'signalled'),
    ])
    if (first === 'started') return gateway
    await stopGateway(gateway, terminal)
    return undefined
  } catch (error) {
    if (!isGatewayError(error)) throw error
    terminal.printError(error.message)
    return undefined
  }
}

/** Drains and stops; answers the exit code. What could not be stopped would keep the process alive, so it is ended. */
export async function stopGateway(gateway: Gateway, terminal: Terminal): Promise<number> {
  try {
    await gateway.stop()
    return 0
  } catch (error) {
    const failures: unknown[] = error instanceof AggregateError ? error.errors : [error]
    const words = failures.map((failure) => (failure instanceof Error ? failure.message : String(failure)))
    terminal.printError(`The shutdown was incomplete: ${words.join('; ')}`)
    return process.exit(1)
  }
}
