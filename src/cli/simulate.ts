import { readFile } from 'node:fs/promises'
import { silentLogger } from '../core/logger.ts'
import { Simulator } from '../simulator/simulator.ts'
import { readOptions, readPort, readWholeNumber, UsageError } from './arguments.ts'
import { untilSignalled } from './signals.ts'
import type { CliCommand } from './terminal.ts'

const HELP = `Usage: callhalf simulate [options]

  --xsp <n>              how many XSP nodes (1)
  --port <n>             port of the first node, the others follow; 0: any (8090)
  --control-port <n>     port of the control API; 0: any (8099)
  --username <text>      the administrator's user id (admin@example.net)
  --password <text>      (secret)
  --https                HTTPS with a certificate made at start
  --key, --cert <file>   HTTPS with this key and certificate`

/** `callhalf simulate`: a BroadWorks XSI server to develop against. */
export const simulate: CliCommand = async (args, terminal) => {
  const values = readOptions(args, {
    xsp: { type: 'string', default: '1' },
    port: { type: 'string', default: '8090' },
    'control-port': { type: 'string', default: '8099' },
    username: { type: 'string', default: 'admin@example.net' },
    password: { type: 'string', default: 'secret' },
    https: { type: 'boolean', default: false },
    key: { type: 'string' },
    cert: { type: 'string' },
    help: { type: 'boolean', default: false },
  })
  if (values.help) {
    terminal.print(HELP)
    return 0
  }
  const firstPort = readPort('--port', values.port)
  const nodes = readWholeNumber('--xsp', values.xsp, { min: 1, max: 16 })
  const simulator = new Simulator({
    ports: Array.from({ length: nodes }, (_, index) => (firstPort === 0 ? 0 : firstPort + index)),
    controlPort: readPort('--control-port', values['control-port']),
    username: values.username,
    password: values.password,
    https: await httpsOption(values),
    log: silentLogger,
  })
  const signalled = untilSignalled()
  await simulator.start()
  for (const url of simulator.xspUrls) terminal.print(`XSP      ${url}`)
  terminal.print(`Control  ${simulator.controlUrl}`)
  if (simulator.caCertificate !== undefined) terminal.print(simulator.caCertificate)
  await signalled
  await simulator.stop(AbortSignal.timeout(5_000))
  return 0
}

async function httpsOption(values: {
  readonly https: boolean
  readonly key?: string | undefined
  readonly cert?: string | undefined
}): Promise<boolean | { key: string; cert: string }> {
  if (values.key === undefined && values.cert === undefined) return values.https
  if (values.key === undefined || values.cert === undefined) throw new UsageError('--key and --cert go together')
  return { key: await readPem('--key', values.key), cert: await readPem('--cert', values.cert) }
}

async function readPem(name: string, file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch {
    throw new UsageError(`${name}: ${file} cannot be read`)
  }
}
