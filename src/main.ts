import { ApiError } from './cli/api-client.ts'
import { UsageError } from './cli/arguments.ts'
import { demo } from './cli/demo/demo.ts'
import { listen } from './cli/listen.ts'
import { ready } from './cli/ready.ts'
import { serve } from './cli/serve.ts'
import { simulate } from './cli/simulate.ts'
import type { CliCommand, Terminal } from './cli/terminal.ts'
import { isGatewayError } from './core/errors.ts'

const COMMANDS: Readonly<Record<string, { readonly run: CliCommand; readonly summary: string }>> = {
  serve: { run: serve, summary: 'run the gateway (configuration from the environment)' },
  ready: { run: ready, summary: 'ask the gateway of the same environment whether it is ready; exits 0 if it is' },
  demo: { run: demo, summary: 'run gateway, simulator and a sample app; --once: tell the whole story once and stop' },
  simulate: { run: simulate, summary: 'run a BroadWorks XSI simulator' },
  listen: { run: listen, summary: "print an app's events as they come" },
}

/** The command line: picks the command and gives it the environment, which nothing else reads. */
export async function main(argv: readonly string[]): Promise<void> {
  const [name = 'help', ...args] = argv
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (command === undefined) {
    process.stdout.write(usage())
    process.exitCode = ['help', '--help', '-h'].includes(name) ? 0 : 2
    return
  }
  const terminal: Terminal = {
    env: process.env,
    print: (line) => void process.stdout.write(`${line}\n`),
    printError: (line) => void process.stderr.write(`${line}\n`),
  }
  try {
    process.exitCode = await command.run(args, terminal)
  } catch (error) {
    terminal.printError(explain(error))
    process.exitCode = error instanceof UsageError ? 2 : 1
  }
}

const usage = (): string =>
  [
    'Usage: callhalf <command>',
    '',
    ...Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(10)} ${summary}`),
    '',
  ].join('\n')

/** One line for what the reader can mend; the place in the code for what only we can. */
function explain(error: unknown): string {
  if (error instanceof UsageError || isGatewayError(error)) return error.message
  if (!(error instanceof Error)) return String(error)
  if (error instanceof ApiError) return error.message
  // The system's own words (EADDRINUSE, ENOTDIR …) name the address or the file.
  return 'syscall' in error ? error.message : (error.stack ?? error.message)
}
