import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { machineLoad, printTable, say } from './webhooks/rig/figures.ts'

/**
 * Every bench, one after the other, and one table of what they had to show. Exits with 1 when one of them did.
 *
 *   node bench/all.ts [--strict and other options for all but webhooks/delivery]
 */
const PROGRAMS = ['pipeline.ts', 'streams.ts', 'subscribers.ts', 'webhooks/delivery.ts']
/** What the programs say at their end. */
const VERDICT = /^(ok|MISSED) +(.*): (.*?)$/

type Verdict = { readonly program: string; readonly isMet: boolean; readonly what: string; readonly seen: string }

const verdicts: Verdict[] = []
const loads = new Map<string, string>()
for (const program of PROGRAMS) {
  say(`\n─── bench/${program} ─── load of the machine ${machineLoad()}`)
  const before = machineLoad()
  await run(program)
  loads.set(program, `${before} → ${machineLoad()}`)
}

say('\n─── all ───')
printTable(
  ['bench', 'met', 'what', 'seen', 'load'],
  verdicts.map(({ program, isMet, what, seen }) => [
    program,
    isMet ? 'yes' : 'NO',
    what,
    seen,
    loads.get(program) ?? '',
  ]),
)
say(`${verdicts.filter(({ isMet }) => isMet).length} of ${verdicts.length} met; load of the machine ${machineLoad()}`)

/** Passes on what it says, and keeps its verdicts. */
async function run(program: string): Promise<void> {
  const isOurs = !program.includes('/')
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, program), ...(isOurs ? process.argv.slice(2) : [])],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  const exited = once(child, 'exit')
  for await (const line of createInterface({ input: child.stdout })) {
    say(line)
    const [, verdict, what = '', seen = ''] = VERDICT.exec(line) ?? []
    if (verdict !== undefined) verdicts.push({ program, isMet: verdict === 'ok', what, seen })
  }
  const [code] = await exited
  if (code === 0) return
  process.exitCode = 1
  const hasMissed = verdicts.some((verdict) => verdict.program === program && !verdict.isMet)
  if (!hasMissed) verdicts.push({ program, isMet: false, what: 'runs to its end', seen: `exit code ${String(code)}` })
}
