import * as v from 'valibot'
import type { Adapter, AdapterContext, AdapterType } from '../../src/core/adapter.ts'
import type { Command, CommandOf, CommandResults, CommandType } from '../../src/core/command.ts'
import type { SubscriberId } from '../../src/core/ids.ts'

const ConfigSchema = v.strictObject({
  nodes: v.pipe(v.array(v.pipe(v.string(), v.url())), v.minLength(1)),
  password: v.pipe(v.string(), v.minLength(1)),
  note: v.optional(v.string()),
})
type Config = v.InferOutput<typeof ConfigSchema>

/** How the scripted network behaves; a test changes it at any time. */
export type Script = {
  /** Answers each command. */
  execute: (command: Command, signal: AbortSignal) => Promise<unknown>
  /** What happens when an adapter is started. */
  start: (adapter: ScriptedAdapter) => Promise<void>
}

/** An adapter without a network behind it: commands are answered by the script, and everything is recorded. */
export class ScriptedAdapter implements Adapter {
  readonly name = 'scripted'
  readonly context: AdapterContext<Config>
  restarts = 0
  readonly resynchronised: { readonly subscriberIds: readonly SubscriberId[] | undefined; readonly reason: string }[] =
    []
  state: 'new' | 'started' | 'stopped' = 'new'
  wantedChanges = 0
  readonly #script: Script

  constructor(context: AdapterContext<Config>, script: Script) {
    this.context = context
    this.#script = script
  }

  async start(): Promise<void> {
    await this.#script.start(this)
    this.context.wanted.onChange(() => {
      this.wantedChanges += 1
    })
    this.state = 'started'
  }

  stop(): Promise<void> {
    this.state = 'stopped'
    return Promise.resolve()
  }

  async execute<Type extends CommandType>(
    command: CommandOf<Type>,
    signal: AbortSignal,
  ): Promise<CommandResults[Type]> {
    const result = await this.#script.execute(command, signal)
    // A test's script answers what the command gives.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    return result as CommandResults[Type]
  }

  channels() {
    return [{ node: 'xsp1.example.net:443', state: 'open' as const, channelId: 'channel-1', since: 1_000, attempts: 0 }]
  }

  subscriptions() {
    return { wanted: this.context.wanted.list().length, active: 0, stale: 0, failed: [] }
  }

  restartChannels(): void {
    this.restarts += 1
  }

  resynchronise(subscriberIds: readonly SubscriberId[] | undefined, reason: string): void {
    this.resynchronised.push({ subscriberIds, reason })
  }

  isReady(): boolean {
    return this.state === 'started'
  }
}

/** The adapter type `scripted`, its script, and every adapter it made. */
export class ScriptedAdapterType implements AdapterType<typeof ConfigSchema> {
  readonly name = 'scripted'
  readonly configSchema = ConfigSchema
  readonly secretFields = ['password']
  readonly made: ScriptedAdapter[] = []
  readonly commands: Command[] = []
  readonly script: Script = {
    execute: () => Promise.resolve(undefined),
    start: () => Promise.resolve(),
  }

  create(context: AdapterContext<Config>): Adapter {
    const adapter = new ScriptedAdapter(context, {
      execute: (command, signal) => {
        this.commands.push(command)
        return this.script.execute(command, signal)
      },
      start: (started) => this.script.start(started),
    })
    this.made.push(adapter)
    return adapter
  }

  /** The commands of one type that reached the network. */
  sent<Type extends CommandType>(type: Type): readonly CommandOf<Type>[] {
    return this.commands.filter((command): command is CommandOf<Type> => command.type === type)
  }
}
