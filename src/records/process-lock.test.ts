import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import { ProcessLock } from './process-lock.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callhalf-lock-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const acquire = (onLost: () => void = () => undefined) =>
  ProcessLock.acquire({ path: join(folder, 'pglite'), onLost, heartbeatLostMs: 1_000, heartbeatMs: 100 })

/** A process that takes the lock, says so, and stays until it is killed. */
async function startHolder() {
  const module = JSON.stringify(join(import.meta.dirname, 'process-lock.ts'))
  const code = `const { ProcessLock } = await import(${module})
    await ProcessLock.acquire({ path: ${JSON.stringify(join(folder, 'pglite'))}, onLost() {} })
    console.log('held'); setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  return child
}

test('a second opener is refused until the first one releases', async () => {
  const first = await acquire()
  await expect(acquire()).rejects.toMatchObject({
    code: 'store_unavailable',
    detail: expect.stringContaining(`pid ${process.pid}`),
  })
  await first.release()
  const second = await acquire()
  await second.release()
  expect(await readdir(folder)).toEqual([])
})

test('another process holds it while it lives, and no longer once it was killed', async () => {
  const holder = await startHolder()
  await expect(acquire()).rejects.toMatchObject({ detail: expect.stringContaining(`pid ${holder.pid}`) })
  const exited = once(holder, 'exit')
  holder.kill('SIGKILL')
  await exited
  const lock = await acquire()
  expect(await readdir(folder)).toHaveLength(1)
  await lock.release()
})

test('a living process that got the pid of a dead holder is not taken for it', async () => {
  const lock = await acquire()
  const [name = ''] = await readdir(folder)
  const holder = await readFile(join(folder, name), 'utf8')
  await lock.release()
  await writeFile(join(folder, 'pglite.0000.lock'), holder.replace(/"processStart":"\d+"/, '"processStart":"1"'))
  await (await acquire()).release()
  expect(await readdir(folder)).toEqual([])
})

test('a holder on another machine holds it while it touches its file', async () => {
  const file = join(folder, 'pglite.0000.lock')
  await writeFile(file, JSON.stringify({ pid: 1, host: 'another', processStart: '1' }))
  let seconds = 1_000_000
  const heartbeat = setInterval(() => void utimes(file, (seconds += 1), seconds), 100)
  await expect(acquire()).rejects.toMatchObject({ code: 'store_unavailable' })
  clearInterval(heartbeat)
  await (await acquire()).release()
})

test('of ten that start at once at most one gets it, and it can be had afterwards', async () => {
  const results = await Promise.allSettled(Array.from({ length: 10 }, () => acquire()))
  const locks = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  expect(locks.length).toBeLessThanOrEqual(1)
  await Promise.all(locks.map((lock) => lock.release()))
  await (await acquire()).release()
})

test('a holder whose file was taken away is told', async () => {
  const lost = Promise.withResolvers<string>()
  const lock = await acquire(() => lost.resolve('told'))
  await rm(folder, { recursive: true })
  expect(await lost.promise).toBe('told')
  await lock.release()
})
