import { UsageError } from './cli/arguments.ts'
import { demo } from './cli/demo/demo.ts'
import { listen } from './cli/listen.ts'
import { serve } from './cli/serve.ts'
import { simulate } from './cli/simulate.ts'
import type { CliCommand, Terminal } from './cli/terminal.ts'
import { isGatewayError } from './core/errors.ts'

const COMMANDS: Readonly<Record<string, { readonly run: CliCommand; readonly summary: string }>> = {
  serve: { run: serve, summary: 'run the gateway (configuration from the environment)' },
  demo: { run: demo, summary: 'run gateway, simulator and a sample app; --once: tell the whole story once and stop' },
  simulate: { run: simulate, summary: 'run a BroadWorks XSI simulator' },
  listen: { run: listen, summary: "print an app's events as they come" },
}

/** The command line: picks the command and gives it the environment, which nothing else reads. */
export async function main(argv: readonly string[]): Promise<void> {
  const [name = 'help', ...args] = argv
  const command = COMMANDS[name]
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
    if (!(error instanceof UsageError) && !isGatewayError(error)) throw error
    terminal.printError(error.message)
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
