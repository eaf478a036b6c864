import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { findServer, freePort, type RedisProcess } from './redis-process.ts'
import { until } from './until.ts'

const NAME = 'calls'

/** Three redis-sentinel processes that watch a primary and promote its replica when two of them miss it. */
export class Sentinels implements AsyncDisposable {
  readonly #ports: readonly number[]
  readonly #children: readonly ChildProcess[]
  readonly #dir: string

  private constructor(ports: readonly number[], children: readonly ChildProcess[], dir: string) {
    this.#ports = ports
    this.#children = children
    this.#dir = dir
  }

  /** Resolves when each of them knows the primary, its replica and the other sentinels. */
  static async start(primary: RedisProcess): Promise<Sentinels> {
    const dir = await mkdtemp(join(tmpdir(), 'callhalf-sentinels-'))
    const { command, env } = await findServer()
    const ports: number[] = []
    const children: ChildProcess[] = []
    for (let index = 0; index < 3; index += 1) {
      const port = await freePort()
      const file = join(dir, `sentinel-${port}.conf`)
      await writeFile(file, settings(port, { dir, primaryPort: primary.port }).join('\n'))
      ports.push(port)
      children.push(spawn(command, [file, '--sentinel'], { stdio: 'ignore', env }))
    }
    const sentinels = new Sentinels(ports, children, dir)
    for (const port of ports) await until('the sentinels to know each other', () => sentinels.#isComplete(port))
    return sentinels
  }

  /** As REDIS_URL names them. */
  get url(): string {
    return `redis+sentinel://${this.#ports.map((port) => `127.0.0.1:${port}`).join(',')}/${NAME}`
  }

  /** The port of the primary by the word of all sentinels; undefined while they differ. */
  async primaryPort(): Promise<number | undefined> {
    const answers = await Promise.all(
      this.#ports.map((port) => ask(port, (client) => client.call('SENTINEL', 'get-master-addr-by-name', NAME))),
    )
    const named = new Set(answers.map((answer) => (Array.isArray(answer) ? Number(answer[1]) : undefined)))
    return named.size === 1 ? [...named][0] : undefined
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      const exited = once(child, 'exit')
      child.kill('SIGKILL')
      await exited
    }
    await rm(this.#dir, { recursive: true, force: true })
  }

  async #isComplete(port: number): Promise<true | undefined> {
    const info = await ask(port, (client) => client.call('INFO', 'sentinel')).catch(() => '')
    return /slaves=1,sentinels=3/.test(String(info)) ? true : undefined
  }
}

const settings = (port: number, { dir, primaryPort }: { readonly dir: string; readonly primaryPort: number }) => [
  `port ${port}`,
  'bind 127.0.0.1',
  `dir ${dir}`,
  `sentinel monitor ${NAME} 127.0.0.1 ${primaryPort} 2`,
  `sentinel down-after-milliseconds ${NAME} 1000`,
  `sentinel failover-timeout ${NAME} 5000`,
  `sentinel parallel-syncs ${NAME} 1`,
  '',
]

async function ask(port: number, question: (client: Redis) => Promise<unknown>): Promise<unknown> {
  const client = new Redis({
    port,
    lazyConnect: true,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    enableReadyCheck: false,
  })
  client.on('error', () => undefined)
  try {
    await client.connect()
    return await question(client)
  } finally {
    client.disconnect()
  }
}
