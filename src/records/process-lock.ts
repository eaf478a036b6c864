import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, open, readFile, readdir, readlink, rm, stat, utimes } from 'node:fs/promises'
import { hostname } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import * as v from 'valibot'
import { GatewayError } from '../core/errors.ts'

const HEARTBEAT_MS = 3_000
/** A holder whose process cannot be looked up is taken for dead after so long without a heartbeat. */
const HEARTBEAT_LOST_MS = 12_000
const POLL_MS = 250
const ATTEMPTS = 5

const HolderSchema = v.object({ pid: v.number(), host: v.string(), processStart: v.string() })
type Holder = v.InferOutput<typeof HolderSchema>
type Verdict = 'alive' | 'dead'

export type ProcessLockOptions = {
  /** The lock's path without the suffix: each holder has a file `<path>.<random>.lock` of its own. */
  readonly path: string
  /** Called once if another process took the lock away, having taken this one for dead. */
  readonly onLost: () => void
  /** How long a holder on another machine may be silent; 12 s unless given. */
  readonly heartbeatLostMs?: number
  /** How often the holder touches its file and sees that it is still there; 3 s unless given. */
  readonly heartbeatMs?: number
}

/**
 * Keeps a second process off a folder. Every contender first makes a file of its own and then looks at
 * the others': whoever sees a living one gives up. Of two that start at the same time both may give up
 * and try again, but never both go on; and removing a dead holder's file cannot hit a new holder, as no
 * name is used twice.
 *
 * On one machine a holder lives while its pid has the same start time. Where that cannot be known
 * (another container or machine shares the folder) it lives while it touches its file.
 */
export class ProcessLock {
  readonly #file: string
  readonly #heartbeat: NodeJS.Timeout

  private constructor(file: string, { onLost, heartbeatMs = HEARTBEAT_MS }: ProcessLockOptions) {
    this.#file = file
    this.#heartbeat = setInterval(() => {
      const now = new Date()
      utimes(file, now, now).catch((error: unknown) => {
        if (errorCode(error) !== 'ENOENT') return
        clearInterval(this.#heartbeat)
        onLost()
      })
    }, heartbeatMs)
    this.#heartbeat.unref()
  }

  /** Rejects with `store_unavailable` while another process holds it. */
  static async acquire(options: ProcessLockOptions): Promise<ProcessLock> {
    await mkdir(dirname(options.path), { recursive: true, mode: 0o700 })
    const self: Holder = { pid: process.pid, host: await hostIdentity(), processStart: await processStart(process.pid) }
    for (let attempt = 1; ; attempt += 1) {
      const file = `${options.path}.${randomBytes(8).toString('hex')}.lock`
      await writeWhole(file, JSON.stringify(self))
      const holder = await findLiving(file, self, options).catch(async (error: unknown) => {
        await rm(file, { force: true })
        throw error
      })
      if (holder === undefined) return new ProcessLock(file, options)
      await rm(file, { force: true })
      if (attempt === ATTEMPTS) throw refused(options.path, holder)
      // Unequal waits, so that two contenders do not meet again.
      await delay(20 + Math.random() * 80)
    }
  }

  async release(): Promise<void> {
    clearInterval(this.#heartbeat)
    await rm(this.#file, { force: true })
  }
}

/** The first other holder that lives; files of dead ones are removed on the way. */
async function findLiving(
  ownFile: string,
  self: Holder,
  { path, heartbeatLostMs }: ProcessLockOptions,
): Promise<Holder | undefined> {
  const folder = dirname(path)
  const names = (await readdir(folder)).filter(
    (name) => name.startsWith(`${basename(path)}.`) && name.endsWith('.lock') && name !== basename(ownFile),
  )
  for (const name of names) {
    const file = join(folder, name)
    const holder = await readHolder(file)
    if (holder === 'gone') continue
    const verdict = await judge(file, holder, { self, lostMs: heartbeatLostMs ?? HEARTBEAT_LOST_MS })
    if (verdict === 'alive') return holder ?? { pid: 0, host: 'unknown', processStart: '' }
    await rm(file, { force: true })
  }
  return undefined
}

async function judge(
  file: string,
  holder: Holder | undefined,
  { self, lostMs }: { readonly self: Holder; readonly lostMs: number },
): Promise<Verdict> {
  if (holder?.host === self.host) {
    return (await processStart(holder.pid)) === holder.processStart ? 'alive' : 'dead'
  }
  const first = await modifiedAt(file)
  // Our own clock measures the silence: the file's time may come from another machine's.
  for (let waitedMs = 0; waitedMs < lostMs; waitedMs += POLL_MS) {
    await delay(POLL_MS)
    const now = await modifiedAt(file)
    if (now === undefined) return 'dead'
    if (now !== first) return 'alive'
  }
  return 'dead'
}

/** Undefined when the file is being written or was damaged; then its heartbeat decides. */
async function readHolder(file: string): Promise<Holder | undefined | 'gone'> {
  try {
    const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), HolderSchema), await readFile(file, 'utf8'))
    return parsed.success ? parsed.output : undefined
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return 'gone'
    throw error
  }
}

async function modifiedAt(file: string): Promise<number | undefined> {
  return stat(file).then(
    (found) => found.mtimeMs,
    () => undefined,
  )
}

/** Whole or not at all: a contender must never read half of it. */
async function writeWhole(file: string, text: string): Promise<void> {
  const handle = await open(file, 'wx', 0o600)
  try {
    await handle.writeFile(text)
  } finally {
    await handle.close()
  }
}

/** Within it a pid means the same process: the boot and the pid namespace (Linux), else the host's name. */
async function hostIdentity(): Promise<string> {
  try {
    const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8')
    return `${boot.trim()}/${await readlink('/proc/self/ns/pid')}`
  } catch {
    return hostname()
  }
}

/**
 * When a process started, in whatever unit the system has; empty when there is no such process. A
 * zombie, which nobody may ever reap in a container, counts as gone.
 */
async function processStart(pid: number): Promise<string> {
  if (process.platform === 'linux') {
    const line = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
    // proc(5): fields after the name in parentheses; the 1st is the state, the 20th the start time.
    const fields = line.slice(line.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' || fields[0] === 'X' ? '' : (fields[19] ?? '')
  }
  const result = await promisify(execFile)('ps', ['-o', 'lstart=', '-p', String(pid)], { timeout: 5_000 }).catch(
    () => undefined,
  )
  return result?.stdout.trim() ?? ''
}

const refused = (path: string, holder: Holder): GatewayError =>
  new GatewayError('store_unavailable', {
    detail:
      `Another process (pid ${holder.pid}) uses the embedded database in ${dirname(path)}. ` +
      'It serves one process only: stop the other one, give this one its own CALLHALF_DATA_DIR, or set DATABASE_URL.',
  })

function errorCode(error: unknown): unknown {
  return typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined
}
