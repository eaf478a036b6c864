import { setTimeout as delay } from 'node:timers/promises'
import { judgeReleases } from './loss/judge-releases.ts'
import { Rig } from './soak/rig.ts'
import { conclude, machineLoad, printTable, say } from './webhooks/rig/figures.ts'
import { readOptions } from './webhooks/rig/options.ts'

/**
 * A network that loses events for good: short and long calls for an hour, while the simulator numbers and
 * drops a share of everything that it has to say, snapshots included. The ledger knows of every event that was
 * made, so it says which calls live and when each one ended. Exits 0 only if no call was released before
 * its end, each one that ended was released soon after it, and none that the network told of was left out.
 *
 *   node bench/loss.ts [--seconds 3600] [--rate 3] [--users 400] [--percent 5] [--dwell 20] [--length 60]
 *
 * `--rate` is calls per second, half of them short, half of `--length` seconds; a call makes about 4.6 events.
 * `--dwell` is how long a call may stay as it is until the gateway asks, in seconds; one that is confirmed
 * may stay twice as long, so a lost one is asked about before it is twice as old as when it ended.
 */
const options = readOptions({ seconds: 3_600, rate: 3, users: 400, percent: 5, dwell: 20, length: 60 })
/** The watchdog looks every 10 s; a snapshot may be lost, too, and is waited for 5 s; then the calls are read. */
const LOOK_MS = 25_000
const REPORT_MS = 60_000
const limitMs = Math.max(options.dwell, options.length) * 1_000 + LOOK_MS

const none = (what: string, found: readonly string[]) => ({
  what,
  holds: found.length === 0,
  seen: `${found.length} problems`,
})

const dwell = String(options.dwell)
const rig = await Rig.start({
  users: options.users,
  say,
  env: { CALLHALF_CHECK_RINGING_SECONDS: dwell, CALLHALF_CHECK_ANSWERED_SECONDS: dwell },
})
try {
  await rig.setFaults({ lose_ratio: options.percent / 100 })
  const { seconds } = options
  const half = { callsPerSecond: options.rate / 2, seconds }
  const loads = [await rig.startLoad(half), await rig.startLoad({ ...half, callMs: options.length * 1_000 })]
  say(
    `load of the machine ${machineLoad()}; ${options.rate} calls/s for ${seconds} s, ${options.percent} % of the events lost`,
  )
  const endAt = performance.now() + seconds * 1_000
  for (let leftMs = seconds * 1_000; leftMs > 0; leftMs = endAt - performance.now()) {
    await delay(Math.min(leftMs, REPORT_MS))
    const { webhookArrivals, streamArrivals } = rig.app
    say(
      `${Math.round((seconds * 1_000 - Math.max(0, endAt - performance.now())) / 1_000)} s: ${webhookArrivals.length} webhooks, ${streamArrivals.length} stream events, load of the machine ${machineLoad()}`,
    )
  }
  await delay(options.length * 1_000)
  for (const loadId of loads) await rig.untilLoadIsDone(loadId)
  // Nothing more is said from now on, so that what is left is left to the watchdog.
  const ghosts = await rig.ghostsAfter(limitMs)
  await rig.untilQuiet()
  const { figures, problems } = judgeReleases({ ledger: await rig.readLedger(), app: rig.app, limitMs })
  say()
  printTable(['', ''], Object.entries(figures))
  const listed = Object.values(problems).flat()
  for (const problem of listed.slice(0, 20)) say(`  ${problem}`)
  const lossRatio = figures['lost, per cent'] ?? 0
  conclude([
    {
      what: 'the network lost as many events as it was told to',
      holds: lossRatio > options.percent * 0.8 && lossRatio < options.percent * 1.2,
      seen: `${lossRatio.toFixed(2)} %`,
    },
    none('no call released while it lived, by webhook or stream', problems.released),
    none(`every call released within ${limitMs / 1_000} s of its end`, problems.left),
    none('every call that the network told of is told', problems.untold),
    none('none out of order within a call', problems.order),
    none('no webhook with a wrong signature', rig.app.badSignatures > 0 ? ['signature'] : []),
    { what: 'no call listed that is over', holds: ghosts.length === 0, seen: String(ghosts.length) },
  ])
} finally {
  await rig.stop()
}
