import { mkdir, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { silentLogger } from '../../core/logger.ts'
import { Simulator } from '../../simulator/simulator.ts'
import { ApiClient } from '../api-client.ts'
import { readOptions, readPort } from '../arguments.ts'
import { startGateway, stopGateway } from '../serve.ts'
import { untilSignalled } from '../signals.ts'
import type { CliCommand, Terminal } from '../terminal.ts'
import { printGuide } from './guide.ts'
import { makeCalls } from './made-up-calls.ts'
import { SampleApp } from './sample-app.ts'
import { setUp, SUBSCRIBERS, type DemoSetUp } from './set-up.ts'
import { tellStory } from './story.ts'

const CREDENTIALS = { username: 'admin@demo.example.net', password: 'demo-secret' }

/**
 * `callhalf demo`: simulator, gateway on embedded stores and a sample app in one process. With `--once`
 * it tells the story once and exits 0 only if every step was seen; without, calls happen until a signal.
 * Ports: CALLHALF_PORT, CALLHALF_SIMULATOR_PORT, CALLHALF_SIMULATOR_CONTROL_PORT; 0 means any.
 */
export const demo: CliCommand = async (args, terminal) => {
  const values = readOptions(args, { once: { type: 'boolean', default: false } })
  const signalled = untilSignalled()
  const simulator = new Simulator({
    ports: [portFrom(terminal.env, 'CALLHALF_SIMULATOR_PORT')],
    controlPort: portFrom(terminal.env, 'CALLHALF_SIMULATOR_CONTROL_PORT'),
    ...CREDENTIALS,
    // The story and the reader decide when the subscriber picks up.
    settings: { clickToDialPickupMs: null },
    log: silentLogger,
  })
  await simulator.start()
  const app = new SampleApp()
  try {
    return await runWith({ terminal, simulator, app, once: values.once, signalled })
  } finally {
    await app.close()
    await simulator.stop(AbortSignal.timeout(5_000))
  }
}

type Stage = {
  readonly terminal: Terminal
  readonly simulator: Simulator
  readonly app: SampleApp
  readonly once: boolean
  readonly signalled: Promise<NodeJS.Signals>
}

async function runWith(stage: Stage): Promise<number> {
  const { terminal, simulator, app } = stage
  const startedAt = performance.now()
  const gateway = await startGateway({ ...terminal, env: demoEnvironment(terminal.env) }, stage.signalled)
  if (gateway === undefined) return 1
  printStep(terminal, `the gateway listens on ${gateway.url}`, performance.now() - startedAt)
  try {
    const simulatorClient = new ApiClient({ baseUrl: simulator.controlUrl })
    const setUpAt = performance.now()
    const made = await setUp({
      admin: new ApiClient({ baseUrl: gateway.url, key: gateway.adminKey }),
      simulator: simulatorClient,
      xspUrls: simulator.xspUrls,
      credentials: CREDENTIALS,
      app,
      webhookUrl: await app.listen(),
    })
    await app.follow(`${gateway.url.replace(/^http/, 'ws')}/apps/${made.appId}/stream`, made.apiKey)
    printStep(terminal, 'network, app, webhook, subscribers and stream are set up', performance.now() - setUpAt)
    const dataDir = terminal.env['CALLHALF_DATA_DIR'] ?? './data'
    const file = await writeDemoFile({ dataDir, gateway, simulator, made })
    const gatewayClient = new ApiClient({ baseUrl: gateway.url, key: made.apiKey })
    const cast = { appId: made.appId, app, gateway: gatewayClient, simulator: simulatorClient }
    const story = tellStory({ ...cast, step: (title, ms) => printStep(terminal, title, ms) })
    const isTold = await Promise.race([story.then(() => true), stage.signalled.then(() => false)])
    if (!isTold) {
      // It fails as the stage is cleared; nobody waits for it any more.
      story.catch(() => undefined)
      return 1
    }
    if (stage.once) {
      terminal.print('Every step was seen.')
      return 0
    }
    printGuide(terminal, { gatewayUrl: gateway.url, made, file, simulatorControlUrl: simulator.controlUrl })
    app.onHeard((heard) => printHeard(terminal, heard))
    await makeCalls(simulatorClient, stage.signalled)
    return 0
  } catch (error) {
    terminal.printError(`The demo failed: ${error instanceof Error ? error.message : String(error)}`)
    return 1
  } finally {
    await stopGateway(gateway, terminal)
  }
}

const portFrom = (env: Terminal['env'], name: string): number => readPort(name, env[name] || '0')

/**
 * The demo has stores of its own, whatever installation the environment points at. Its webhooks go to this
 * machine, which is refused unless it is allowed.
 */
const demoEnvironment = ({
  CALLHALF_SIMULATOR_PORT: _xsp,
  CALLHALF_SIMULATOR_CONTROL_PORT: _control,
  REDIS_URL: _redis,
  DATABASE_URL: _database,
  CALLHALF_ROLES: _roles,
  ...env
}: Terminal['env']): Terminal['env'] => ({
  ...env,
  CALLHALF_DATA_DIR: join(env['CALLHALF_DATA_DIR'] ?? './data', 'demo'),
  CALLHALF_LOG_LEVEL: env['CALLHALF_LOG_LEVEL'] ?? 'error',
  CALLHALF_ALLOW_PRIVATE_TARGETS: [env['CALLHALF_ALLOW_PRIVATE_TARGETS'], '127.0.0.0/8'].filter(Boolean).join(','),
})

async function writeDemoFile(options: {
  readonly dataDir: string
  readonly gateway: { readonly url: string; readonly adminKey: string }
  readonly simulator: Simulator
  readonly made: DemoSetUp
}): Promise<string> {
  const { gateway, simulator, made } = options
  const content = {
    gateway_url: gateway.url,
    admin_key: gateway.adminKey,
    app_id: made.appId,
    api_key: made.apiKey,
    network_id: made.networkId,
    simulator_url: simulator.xspUrls[0],
    simulator_control_url: simulator.controlUrl,
    subscribers: SUBSCRIBERS.map(({ id, number, first, last }) => ({
      subscriber_id: id,
      subscriber_number: number,
      subscriber_name: `${first} ${last}`,
    })),
  }
  const file = resolve(join(options.dataDir, 'demo.json'))
  await mkdir(options.dataDir, { recursive: true, mode: 0o700 })
  await writeFile(file, `${JSON.stringify(content, undefined, 2)}\n`, { mode: 0o600 })
  return file
}

const printStep = (terminal: Terminal, title: string, ms: number): void =>
  terminal.print(`${ms.toFixed(0).padStart(6)} ms  ${title}`)

function printHeard(
  terminal: Terminal,
  heard: { via: string; event: string; payload: Readonly<Record<string, unknown>> },
) {
  const fields = ['subscriber_id', 'remote_number', 'call_id', 'sequence_number'].map((name) => heard.payload[name])
  const words = fields.filter((field) => typeof field === 'string')
  terminal.print(`${heard.via.padEnd(8)} ${heard.event.padEnd(20)} ${words.join('  ')}`)
}
