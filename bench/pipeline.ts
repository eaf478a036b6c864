import { parseArgs } from 'node:util'
import { report, timing, correctness } from './pipeline/goals.ts'
import { printFolders, printLimits, printRedisCommands, printRuns, printStages } from './pipeline/tables.ts'
import { runProfiled } from './pipeline/profiled-run.ts'
import { PipelineRig, type RunReport } from './pipeline/rig.ts'
import { measureStagesAlone } from './pipeline/stages-alone.ts'
import { Stores } from './pipeline/stores.ts'
import { findSustained, WINDOW } from './pipeline/sustained.ts'
import { formatNumber, machineLoad, say } from './webhooks/rig/figures.ts'

/**
 * The whole way of an event, XSI socket → webhook at the receiver and → WebSocket frame, with the XSI
 * acknowledgement, everything on this machine: latency from the time at which the event was due (open loop), the
 * pace that goes on without a backlog, and where the processor time goes, by stage, each beside that stage alone.
 *
 *   node bench/pipeline.ts [--postgres] [--redis redis://…] [--users 500] [--seconds 8] [--profile] [--strict]
 *
 * `--redis` names a server that may be emptied; without it the gateway's embedded one is used. `--profile` also
 * prints the functions that take most time. Timing fails the program only with `--strict`.
 */
const { values } = parseArgs({
  options: {
    postgres: { type: 'boolean', default: false },
    redis: { type: 'string' },
    users: { type: 'string', default: '500' },
    seconds: { type: 'string', default: '8' },
    profile: { type: 'boolean', default: false },
    strict: { type: 'boolean', default: false },
  },
})
const users = Number(values.users)
const seconds = Number(values.seconds)
if (!(users >= 1) || !(seconds >= 1)) throw new Error('--users and --seconds are positive numbers')

const PACES = [100, 500, 1_000, 2_000]
const GOAL = { pace: 500, webhookP50Ms: 10, webhookP99Ms: 50, streamP99Ms: 15, sustained: 2_400 }
const WARM_UP_PACE = 400
const ALONE_SECONDS = 2

await using stores = await Stores.start({ postgres: values.postgres, redisUrl: values.redis })
await using rig = await PipelineRig.start(stores, { users })
say(`${users} monitored users, ${values.postgres ? 'PostgreSQL' : 'PGlite'}; load of the machine ${machineLoad()}`)
await rig.atPace(WARM_UP_PACE, seconds)

const runs: { perSecond: number; run: RunReport; load: string }[] = []
for (const perSecond of PACES) runs.push({ perSecond, run: await rig.atPace(perSecond, seconds), load: machineLoad() })
say()
printRuns(runs)

const sustained = await findSustained(rig, seconds)
say()
say(
  `As fast as it goes, ${WINDOW} under way: ${formatNumber(Math.round(sustained.fullPace.perSecond))} events/s. As open loops:`,
)
printRuns(
  sustained.tried.map(({ perSecond, run, flat }) => ({ perSecond, run, load: flat ? 'flat' : 'backlog grows' })),
)

say()
printLimits(sustained.fullPace)

const profiled = await runProfiled({ rig, stores }, { seconds, window: WINDOW })
const { profile, documents } = profiled
const alone = await measureStagesAlone({ documents, receiver: rig.receiver, seconds: ALONE_SECONDS })
say()
printStages({ profile, run: profiled.run, alone })
if (values.profile) {
  const { events } = profiled.run
  say()
  printFolders(profile, events)
  say()
  printRedisCommands(profiled.redisCommands, events)
}

const all = [...runs.map(({ run }) => run), ...sustained.tried.map(({ run }) => run), sustained.fullPace, profiled.run]
const lost = all.reduce((sum, { events, webhook, stream }) => sum + 2 * events - webhook.arrived - stream.arrived, 0)
const disordered = all.reduce((sum, { webhook, stream }) => sum + webhook.disordered + stream.disordered, 0)
const unacknowledged = all.reduce((sum, run) => sum + run.unacknowledged, 0)
const atGoal = runs.find(({ perSecond }) => perSecond === GOAL.pace)?.run
const [webhook, stream] = [atGoal?.webhook.latency, atGoal?.stream.latency]
report(
  [
    correctness('nothing is lost', lost === 0, `${lost}`),
    correctness('the events of a call arrive in order', disordered === 0, `${disordered} did not`),
    correctness('every event is acknowledged', unacknowledged === 0, `${unacknowledged} were not`),
    atMost(`webhook p50 at ${GOAL.pace}/s`, webhook?.p50, GOAL.webhookP50Ms),
    atMost(`webhook p99 at ${GOAL.pace}/s`, webhook?.p99, GOAL.webhookP99Ms),
    atMost(`stream p99 at ${GOAL.pace}/s`, stream?.p99, GOAL.streamP99Ms),
    timing(
      `sustained with a flat backlog, at least ${GOAL.sustained} events/s`,
      sustained.perSecond >= GOAL.sustained,
      `${formatNumber(sustained.perSecond)}, load ${machineLoad()}`,
    ),
  ],
  { strict: values.strict },
)

function atMost(what: string, seen = Number.NaN, most = 0) {
  return timing(`${what}, at most ${most} ms`, seen <= most, `${formatNumber(seen)} ms`)
}
