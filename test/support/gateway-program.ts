import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { folderOfRun } from './store-templates.ts'
import { until } from './until.ts'

const PROGRAM = join(import.meta.dirname, '../../bin/callhalf.js')

type Env = Readonly<Record<string, string>>

/** `callhalf serve` in a process of its own, as an operator runs it. */
export class GatewayProgram implements AsyncDisposable {
  readonly url: string
  /** All that it has printed, its log included. */
  readonly said: () => string
  readonly #child: ChildProcess

  private constructor(url: string, { child, said }: ReturnType<typeof run>) {
    this.url = url
    this.said = said
    this.#child = child
  }

  /** Resolves when it listens; rejects with what it said when it ends instead. */
  static async start(env: Env): Promise<GatewayProgram> {
    const program = run('serve', env)
    const { child, said } = program
    const url = await until(
      'the gateway to listen',
      () => {
        if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}: ${said()}`)
        return /Callhalf listens on (\S+)/.exec(said())?.[1]
      },
      30_000,
    )
    return new GatewayProgram(url, program)
  }

  /** SIGTERM; resolves with the exit code. */
  async stop(): Promise<number | null> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exited = once(this.#child, 'exit')
      this.#child.kill('SIGTERM')
      await exited
    }
    return this.#child.exitCode
  }

  /** SIGKILL: no chance to tidy up. Resolves when it is gone. */
  async kill(): Promise<void> {
    const exited = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await exited
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }
}

/** Runs a command of `callhalf` to its end. */
export async function runCallhalf(
  command: string,
  env: Env,
): Promise<{ readonly code: number | null; readonly said: string }> {
  const { child, said } = run(command, env)
  await once(child, 'close')
  return { code: child.exitCode, said: said() }
}

function run(command: string, env: Env): { readonly child: ChildProcess; readonly said: () => string } {
  // Each takes what another has compiled: half of the processor time of a start.
  const shared = folderOfRun()
  const compiled = shared === undefined ? {} : { NODE_COMPILE_CACHE: join(shared, 'compiled') }
  const child = spawn(process.execPath, [PROGRAM, command], {
    env: { PATH: process.env['PATH'], CALLHALF_LOG_LEVEL: 'silent', ...compiled, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => void output.push(text))
  }
  return { child, said: () => output.join('') }
}
