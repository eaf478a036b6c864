import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { existsSync, readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Agent, request } from 'undici'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readConfig } from '../../src/config.ts'
import type { Gateway } from '../../src/gateway.ts'
import { startGateway } from '../support/installation.ts'
import { createSelfSigned } from '../support/self-signed.ts'

const ROOT = join(import.meta.dirname, '../..')
const read = (path: string): Promise<string> => readFile(join(ROOT, path), 'utf8')

const DEPLOY = readdirSync(join(ROOT, 'deploy'), { recursive: true, encoding: 'utf8' })
  .filter((name) => /\.|Dockerfile/.test(name))
  .map((name) => `deploy/${name}`)

const matchesOf = (text: string, pattern: RegExp): readonly string[] => [
  ...new Set([...text.matchAll(pattern)].map((match) => match[1] ?? match[0])),
]

describe('what the files of deploy/ name', () => {
  test.each([...DEPLOY, 'docs/operations.md', 'docs/capacity.md'])('%s: every variable exists', async (path) => {
    const names = matchesOf(await read(path), /\bCALLHALF_[A-Z_]*[A-Z]\b/g)
    // An unknown name is a problem of the configuration, whatever its value.
    const unknown = names.filter((name) => {
      try {
        readConfig({ [name]: 'x' })
        return false
      } catch (error) {
        return error instanceof Error && error.message.includes(`${name} is not a variable`)
      }
    })
    expect(unknown).toEqual([])
  })

  test('the image has the version of Node that the tests run on, and what it copies exists', async () => {
    const dockerfile = await read('deploy/Dockerfile')
    const { devDependencies } = JSON.parse(await read('package.json')) as { devDependencies: { node: string } }
    expect(matchesOf(dockerfile, /^FROM (\S+)/gm)).toEqual([`node:${devDependencies.node}-slim`])
    const lines = matchesOf(dockerfile, /^COPY (?!--from)(.+) \.\S*$/gm)
    const copied = [...new Set(lines.flatMap((line) => line.split(' ')))]
    expect(copied).toEqual(['package.json', 'package-lock.json', 'bin', 'src'])
    for (const path of copied) expect(existsSync(join(ROOT, path))).toBe(true)
    const ignore = (await read('.dockerignore')).split('\n')
    for (const path of copied) expect(ignore).toContain(`!${path}`)
  })

  test('ports and the data folder are the same everywhere', async () => {
    const [dockerfile, compose, unit, kubernetes] = await Promise.all(
      ['Dockerfile', 'compose.yaml', 'callhalf.service', 'kubernetes/callhalf.yaml'].map((name) =>
        read(`deploy/${name}`),
      ),
    )
    expect(matchesOf(dockerfile ?? '', /CALLHALF_PORT=(\d+)/g)).toEqual(['8080'])
    expect(matchesOf(dockerfile ?? '', /^EXPOSE (\d+)/gm)).toEqual(['8080'])
    expect(matchesOf(compose ?? '', /127\.0\.0\.1:\d+:(\d+)/g)).toEqual(['8080'])
    expect(matchesOf(kubernetes ?? '', /containerPort: (\d+)/g)).toEqual(['8080'])
    expect(matchesOf(dockerfile ?? '', /CALLHALF_DATA_DIR=(\S+)/g)).toEqual(['/var/lib/callhalf'])
    expect(matchesOf(unit ?? '', /CALLHALF_DATA_DIR=(\S+)/g)).toEqual(['/var/lib/callhalf'])
    expect(matchesOf(compose ?? '', /gateway-\d:(\S+?)"/g)).toEqual(['/var/lib/callhalf'])
    expect(matchesOf(kubernetes ?? '', /name: data, mountPath: ([^ }]+)/g)).toEqual(['/var/lib/callhalf'])
  })

  test.each([
    ['deploy/compose.yaml', /stop_grace_period: (\d+)s\n {2}read_only/],
    ['deploy/callhalf.service', /^TimeoutStopSec=(\d+)$/m],
    ['deploy/kubernetes/callhalf.yaml', /terminationGracePeriodSeconds: (\d+)/],
  ])('%s: there is time for the drain, and after it for what does not end by itself', async (path, grace) => {
    const text = await read(path)
    const [drain, shutdown] = ['DRAIN_DELAY', 'SHUTDOWN'].map((name) =>
      Number(new RegExp(`CALLHALF_${name}_SECONDS(?:=|: "|, value: ")(\\d+)`).exec(text)?.[1]),
    )
    expect(drain).toBe(10)
    expect(shutdown).toBeGreaterThanOrEqual((drain ?? 0) + 25)
    expect(Number(grace.exec(text)?.[1])).toBeGreaterThanOrEqual((shutdown ?? 0) + 10)
  })
})

describe('metrics', () => {
  let gateway: Gateway
  let folder: string
  let exposed: ReadonlySet<string>

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'callhalf-metrics-'))
    const { cert, key } = createSelfSigned()
    const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
    await writeFile(certFile, cert)
    await writeFile(keyFile, key)
    gateway = await startGateway(join(folder, 'data'), { CALLHALF_TLS_CERT: certFile, CALLHALF_TLS_KEY: keyFile })
    const agent = new Agent({ connect: { ca: cert } })
    const { body } = await request(`${gateway.url}/metrics`, { dispatcher: agent })
    exposed = new Set(matchesOf(await body.text(), /^# TYPE (\S+)/gm))
    await agent.destroy()
  })
  afterAll(async () => {
    await gateway.stop()
    await rm(folder, { recursive: true, force: true })
  })

  /** Without what a histogram adds to its name. */
  const named = (text: string): readonly string[] => [
    ...new Set(
      matchesOf(text, /\bcallhalf_[a-z0-9_]*[a-z0-9]\b/g).map((name) => {
        const base = name.replace(/_(bucket|sum|count)$/, '')
        return exposed.has(base) ? base : name
      }),
    ),
  ]

  test('docs/operations.md explains every metric of the gateway', async () => {
    const rows = matchesOf(await read('docs/operations.md'), /^\| `(callhalf_[a-z0-9_]+)/gm)
    const own = [...exposed].filter((name) => !/^callhalf_(process|nodejs)_/.test(name))
    expect(own.length).toBeGreaterThan(40)
    expect(own.filter((name) => !rows.includes(name))).toEqual([])
  })

  test.each(['docs/operations.md', 'docs/capacity.md', 'deploy/alerts.yaml'])(
    '%s names no metric that there is not',
    async (path) => {
      expect(named(await read(path)).filter((name) => !exposed.has(name))).toEqual([])
    },
  )

  test('every alert leads to a section that exists', async () => {
    const targets = matchesOf(await read('deploy/alerts.yaml'), /runbook: (\S+)/g)
    const missing = await Promise.all(
      targets.map(async (target) => {
        const [file = '', anchor] = target.split('#')
        const anchors = matchesOf(await read(file), /^#+ (.+)$/gm).map((title) =>
          title
            .toLowerCase()
            .replaceAll(/[^a-z0-9 -]/g, '')
            .replaceAll(' ', '-'),
        )
        return anchor === undefined || anchors.includes(anchor) ? undefined : target
      }),
    )
    expect(missing.filter((target) => target !== undefined)).toEqual([])
  })

  test('docs/operations.md says of every alert what to do', async () => {
    const alerts = matchesOf(await read('deploy/alerts.yaml'), /alert: (\S+)/g)
    const text = await read('docs/operations.md')
    expect(alerts.length).toBeGreaterThan(20)
    expect(alerts.filter((name) => !text.includes(`\`${name}\``))).toEqual([])
  })
})
