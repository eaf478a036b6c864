import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildClient } from '../support/built-client.ts'
import { ScriptedGateway } from '../support/scripted-gateway.ts'

const run = promisify(execFile)
const ROOT = join(import.meta.dirname, '../..')

/** A project elsewhere that has installed the package: its package.json and the built client. */
let project: string

beforeAll(async () => {
  await using built = await buildClient()
  project = await mkdtemp(join(tmpdir(), 'callhalf-consumer-'))
  const installed = join(project, 'node_modules/callhalf')
  await mkdir(join(installed, 'dist'), { recursive: true })
  await cp(join(ROOT, 'package.json'), join(installed, 'package.json'))
  await cp(built.dir, join(installed, 'dist/client'), { recursive: true })
  await writeFile(join(project, 'package.json'), '{"type":"module"}')
})
afterAll(() => rm(project, { recursive: true, force: true }))

test('another project imports callhalf/client as JavaScript, without any other package', async () => {
  const gateway = await new ScriptedGateway().start()
  await writeFile(
    join(project, 'index.js'),
    `import { connect } from 'callhalf/client'
     const client = connect({ url: ${JSON.stringify(gateway.url)}, appId: 'app', apiKey: 'key' })
     for await (const update of client) {
       console.log(update.type, client.calls().size)
       await client.close()
     }`,
  )
  const running = run(process.execPath, ['index.js'], { cwd: project, timeout: 20_000 })
  const stream = await gateway.stream(0)
  stream.send({ type: 'subscribed', recovered: false, position: { epoch: '1', offset: 0 }, snapshot: [] })
  expect((await running).stdout).toBe('snapshot 0\n')
  await gateway.stop()
})

test.each([
  ['nodenext', 'nodenext'],
  ['esnext', 'bundler'],
])('another project compiles against its types with module %s', async (module, moduleResolution) => {
  await writeFile(
    join(project, 'index.ts'),
    `import { connect, type LiveCall, type StreamEvent } from 'callhalf/client'
     const client = connect({
       url: 'https://gateway.example.net',
       appId: 'app',
       getToken: async (signal) => (await fetch('/token', { signal })).text(),
       onEvent: (event: StreamEvent) => {
         if (event.event === 'subscriber.unassigned') console.log(event.data.subscriber_id)
       },
     })
     const ringing: LiveCall[] = [...client.calls().values()].filter((call) => call.state === 'ringing')
     for (const call of ringing) await client.answer(call.call_id)
     // @ts-expect-error there is no such state
     ringing.filter((call) => call.state === 'idle')`,
  )
  const options = ['--strict', '--noEmit', '--target', 'es2022', '--lib', 'es2023,dom,dom.iterable', '--types', '']
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
  const compiling = run(
    process.execPath,
    [tsc, ...options, '--module', module, '--moduleResolution', moduleResolution, 'index.ts'],
    { cwd: project },
  )
  expect(await compiling.catch((error: { readonly stdout?: string }) => error)).toMatchObject({ stdout: '' })
})

test('the built client imports nothing but itself', async () => {
  const dir = join(project, 'node_modules/callhalf/dist/client')
  const files = (await readdir(dir, { recursive: true })).filter((name) => /\.(js|ts)$/.test(name))
  expect(files.length).toBeGreaterThan(20)
  for (const name of files) {
    const text = await readFile(join(dir, name), 'utf8')
    const imported = [...text.matchAll(/^(?:import|export) .*from '(.+)'/gm)].map(([, from]) => from ?? '')
    expect(imported.filter((from) => dirname(from) !== '.')).toEqual([])
  }
})
