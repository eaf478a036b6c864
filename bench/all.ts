import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { machineLoad, printTable, say } from './webhooks/rig/figures.ts'
import { readOptions } from './webhooks/rig/options.ts'

/**
 * Every bench of speed and size, one after the other, and one table of what they had to show. Exits with 1 when
 * one of them did, or did not come to its end.
 *
 *   node bench/all.ts [--short] [--strict]
 *
 * `--short` takes about five minutes instead of half an hour: fewer clients, subscribers, seconds and rounds.
 * It shows that everything works; its figures say less. `--strict` fails programs for their timing, too.
 */
const options = readOptions({ short: false, strict: false })

type Program = {
  readonly file: string
  readonly short: readonly string[]
  /** Its result always depends on timing, where this is absent. */
  readonly strict?: readonly string[]
}

const PROGRAMS: readonly Program[] = [
  { file: 'pipeline.ts', short: ['--users', '200', '--seconds', '3'], strict: ['--strict'] },
  {
    file: 'streams.ts',
    short: ['--few', '300', '--many', '2000', '--rounds', '2', '--frames', '50000', '--skip-hostile'],
    strict: ['--strict'],
  },
  { file: 'subscribers.ts', short: ['--few', '300', '--many', '1500'], strict: ['--strict'] },
  { file: 'webhooks/delivery.ts', short: ['--seconds', '2', '--rounds', '2', '--count', '2000'] },
]
/** After this a program hangs. */
const MINUTES_MAX = options.short ? 5 : 20
/** For a program that is told to end to take its own children with it. */
const FAREWELL_MS = 5_000
/** What the programs say at their end. */
const VERDICT = /^(ok|MISSED) +(.*): (.*?)$/

type Verdict = { readonly isMet: boolean; readonly what: string; readonly seen: string }
type Result = { readonly file: string; readonly verdicts: readonly Verdict[]; readonly load: string; minutes: number }

const interrupted = new AbortController()
const results: Result[] = []
for (const program of PROGRAMS) {
  if (interrupted.signal.aborted) break
  const before = machineLoad()
  const startedAt = performance.now()
  say(`\n─── bench/${program.file} ─── load of the machine ${before}`)
  const verdicts = await run(program)
  const minutes = (performance.now() - startedAt) / 60_000
  results.push({ file: program.file, verdicts, load: `${before} → ${machineLoad()}`, minutes })
}

say('\n─── all ───')
for (const { file, verdicts, load, minutes } of results) {
  say()
  printTable(
    [`${file} (${minutes.toFixed(1)} min, load ${load})`, 'met', 'seen'],
    verdicts.map(({ isMet, what, seen }) => [what, isMet ? 'yes' : 'NO', seen]),
  )
}
const all = results.flatMap(({ verdicts }) => verdicts)
say(`\n${all.filter(({ isMet }) => isMet).length} of ${all.length} met`)

/** Passes on what it says, and keeps its verdicts. */
async function run({ file, short, strict }: Program): Promise<readonly Verdict[]> {
  const args = [...(options.short ? short : []), ...(options.strict ? (strict ?? []) : [])]
  const child = spawn(process.execPath, [join(import.meta.dirname, file), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    // A group of its own, so that it can be ended with the processes that it started.
    detached: true,
  })
  const endGroup = (signal: 'SIGTERM' | 'SIGKILL') => {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null)
      process.kill(-child.pid, signal)
  }
  const onInterrupt = () => {
    interrupted.abort()
    endGroup('SIGTERM')
  }
  process.once('SIGINT', onInterrupt).once('SIGTERM', onInterrupt)
  const timers = [
    setTimeout(() => endGroup('SIGTERM'), MINUTES_MAX * 60_000),
    setTimeout(() => endGroup('SIGKILL'), MINUTES_MAX * 60_000 + FAREWELL_MS),
  ]
  const exited = once(child, 'exit')
  const verdicts: Verdict[] = []
  for await (const line of createInterface({ input: child.stdout })) {
    say(line)
    const [, verdict, what = '', seen = ''] = VERDICT.exec(line) ?? []
    if (verdict !== undefined) verdicts.push({ isMet: verdict === 'ok', what, seen })
  }
  const [code, signal] = (await exited) as [number | null, string | null]
  for (const timer of timers) clearTimeout(timer)
  process.off('SIGINT', onInterrupt).off('SIGTERM', onInterrupt)
  const isExplained = verdicts.length > 0 && (code === 0 || verdicts.some(({ isMet }) => !isMet))
  if (!isExplained) verdicts.push({ isMet: false, what: 'comes to its end', seen: signal ?? `exit code ${code}` })
  if (code !== 0 || !isExplained) process.exitCode = 1
  return verdicts
}
