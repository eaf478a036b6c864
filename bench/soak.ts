import { parseArgs } from 'node:util'
import { compareWithLedger } from './soak/compare.ts'
import { FAULT_PHASES } from './soak/fault-phases.ts'
import { Rig } from './soak/rig.ts'

/**
 * The main job under load and faults: a gateway process (killed with SIGKILL on the way), the simulator
 * with every fault switched on in turn, and an app that records its webhooks and its stream. At the end
 * the simulator's ledger is compared with what the app received. Exits 0 only if nothing was lost,
 * nothing was out of order within a call, and no ghost call was left after 10 s.
 *
 *   node bench/soak.ts [--seconds 60] [--rate 50] [--users 200]
 */
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    rate: { type: 'string', default: '50' },
    users: { type: 'string', default: '200' },
  },
})
const seconds = Number(values.seconds)
if (![seconds, Number(values.rate), Number(values.users)].every((value) => value > 0)) {
  throw new Error('--seconds, --rate and --users are positive numbers')
}
const say = (line: string) => process.stdout.write(`${line}\n`)

const rig = await Rig.start({ users: Number(values.users), say })
try {
  const loadId = await rig.startLoad({ callsPerSecond: Number(values.rate), seconds })
  const startedAt = performance.now()
  const phaseMs = (seconds * 1000) / FAULT_PHASES.length
  for (const phase of FAULT_PHASES) {
    say(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${phase.name}`)
    await phase.run(rig, phaseMs)
  }
  await rig.clearFaults()
  await rig.untilLoadIsDone(loadId)
  const ghosts = await rig.ghostsAfter(10_000)
  await rig.untilQuiet()
  const ledger = await rig.readLedger()
  const verdict = compareWithLedger({ ledger, app: rig.app })
  say('')
  for (const [name, figure] of Object.entries({ ...verdict.figures, 'ghost calls after 10 s': ghosts.length })) {
    say(`${String(figure).padStart(8)}  ${name}`)
  }
  for (const problem of [...verdict.problems.slice(0, 20), ...ghosts.map((id) => `ghost: ${id}`)]) say(`  ${problem}`)
  if (verdict.problems.length > 0 || ghosts.length > 0) process.exitCode = 1
  else say('\n0 lost, 0 out of order within a call, no ghost left.')
} finally {
  await rig.stop()
}
