import { readdir, readFile } from 'node:fs/promises'
import { cpus } from 'node:os'

/** Linux counts processor time in hundredths of a second, whatever the kernel's own tick (USER_HZ). */
const TICKS_PER_SECOND = 100
/** Places in `/proc/<pid>/stat` behind the name (proc(5)). */
const [PARENT, USER_TIME, SYSTEM_TIME] = [1, 11, 12]

/** Seconds of processor time that a process has used with all its threads; 0 when it is not there. */
export async function readCpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => undefined)
  if (stat === undefined) return 0
  const fields = fieldsOf(stat)
  return (Number(fields[USER_TIME]) + Number(fields[SYSTEM_TIME])) / TICKS_PER_SECOND
}

/** The same of a process and those that it started, as of PostgreSQL's connections. */
export async function readFamilyCpuSeconds(pid: number): Promise<number> {
  const entries = await readdir('/proc')
  const pids = entries.filter((name) => /^\d+$/.test(name)).map(Number)
  const parents = await Promise.all(pids.map(async (child) => [child, await parentOf(child)] as const))
  const family = parents.filter(([child, parent]) => child === pid || parent === pid)
  const seconds = await Promise.all(family.map(([child]) => readCpuSeconds(child)))
  return seconds.reduce((sum, used) => sum + used, 0)
}

/** The process whose command line contains a text, as that of a server with a folder of its own. */
export async function findProcess(part: string): Promise<number | undefined> {
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue
    const command = await readFile(`/proc/${name}/cmdline`, 'latin1').catch(() => '')
    if (command.includes(part)) return Number(name)
  }
  return undefined
}

/** Seconds that the machine's processors were busy so far, all of them together, whoever used them. */
export async function readMachineSeconds(): Promise<number> {
  const stat = await readFile('/proc/stat', 'latin1')
  const [user = 0, nice = 0, system = 0, , , irq = 0, softIrq = 0] = (/^cpu +(.*)$/m.exec(stat)?.[1] ?? '')
    .split(' ')
    .map(Number)
  return (user + nice + system + irq + softIrq) / TICKS_PER_SECOND
}

export const processorCount = (): number => cpus().length

async function parentOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '')
  return Number(fieldsOf(stat)[PARENT] ?? 0)
}

/** The fields behind the name, which is in parentheses and may hold anything. */
const fieldsOf = (stat: string): readonly string[] => stat.slice(stat.lastIndexOf(')') + 2).split(' ')
