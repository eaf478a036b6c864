import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** What a child process can be asked to do, by name; each takes one argument at most. */
// oxlint-disable-next-line typescript/no-explicit-any -- stands for any surface, as a constraint only
export type Surface = Readonly<Record<string, (argument?: any) => unknown>>

type Request = { readonly id: number; readonly name: string; readonly argument: unknown }
type Reply = { readonly id: number; readonly result?: unknown; readonly error?: string }

const EXIT_TIMEOUT_MS = 20_000

/** A process of a rig that answers calls; whatever it owns ends with it, and it ends with this process. */
export class Child<Calls extends Surface> {
  readonly name: string
  readonly #process: ChildProcess
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>()
  readonly #exited: Promise<unknown>
  #calls = 0

  /** `entry` is a module of this folder that ends with `answerCalls(surface)`. */
  constructor(entry: string, options: { readonly name?: string; readonly execArgv?: readonly string[] } = {}) {
    this.name = options.name ?? entry
    this.#process = fork(fileURLToPath(new URL(entry, import.meta.url)), {
      serialization: 'advanced',
      ...(options.execArgv !== undefined && { execArgv: [...options.execArgv] }),
    })
    this.#exited = once(this.#process, 'exit')
    this.#process.on('message', (message) => this.#settle(message as Reply))
    this.#process.once('exit', (code, signal) => {
      const error = new Error(`${this.name} has ended (${signal ?? `code ${code}`})`)
      for (const { reject } of this.#waiting.values()) reject(error)
      this.#waiting.clear()
    })
  }

  get isRunning(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null
  }

  get pid(): number {
    return this.#process.pid ?? 0
  }

  call<Name extends keyof Calls & string>(
    name: Name,
    ...[argument]: Parameters<Calls[Name]>
  ): Promise<Awaited<ReturnType<Calls[Name]>>> {
    if (!this.isRunning) return Promise.reject(new Error(`${this.name} is not running`))
    const id = ++this.#calls
    const waiting = Promise.withResolvers<unknown>()
    this.#waiting.set(id, waiting)
    this.#process.send({ id, name, argument } satisfies Request)
    return waiting.promise as Promise<Awaited<ReturnType<Calls[Name]>>>
  }

  /** Sends a signal; resolves with how long the process took to end. */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number> {
    if (!this.isRunning) return 0
    const startedAt = performance.now()
    this.#process.kill(signal)
    const force = setTimeout(() => this.#process.kill('SIGKILL'), EXIT_TIMEOUT_MS)
    await this.#exited
    clearTimeout(force)
    return performance.now() - startedAt
  }

  #settle({ id, result, error }: Reply): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (error === undefined) waiting?.resolve(result)
    else waiting?.reject(new Error(`${this.name}: ${error}`))
  }
}

/**
 * The other side: answers the calls that {@link Child} makes. `onEnd` runs at SIGTERM, before the process
 * exits. The process also ends, without ceremony, when its parent has.
 */
export function answerCalls(surface: Surface, onEnd: () => Promise<void> = () => Promise.resolve()): void {
  const answer = async ({ id, name, argument }: Request): Promise<void> => {
    try {
      process.send?.({ id, result: await surface[name]?.(argument) } satisfies Reply)
    } catch (error) {
      process.send?.({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
    }
  }
  process.on('message', (message) => void answer(message as Request))
  process.once('disconnect', () => process.exit(1))
  process.once('SIGTERM', () => {
    void onEnd().then(
      () => process.exit(0),
      (error: unknown) => {
        process.stderr.write(`${String(error)}\n`)
        process.exit(1)
      },
    )
  })
  // Ctrl-C reaches the whole process group; the parent ends its children in order.
  process.on('SIGINT', () => undefined)
}
