import { printTable, say } from '../webhooks/rig/figures.ts'
import { processorCount } from './processes.ts'
import {
  byFolder,
  byFunction,
  byOwner,
  STAGES,
  stageOf,
  total,
  type Cost,
  type Profile,
  type Stage,
} from './profile.ts'
import type { CpuUse } from './cpu-meter.ts'
import type { RunReport } from './rig.ts'
import type { StageAlone } from './stages-alone.ts'

const FUNCTIONS_PER_FOLDER = 6
const FOLDERS_MAX = 16

/** One row for each run; `load` is what there is to say besides. */
export function printRuns(
  runs: readonly { readonly perSecond: number; readonly run: RunReport; readonly load: string }[],
): void {
  printTable(
    [
      'events/s',
      'hook p50',
      'p99',
      'max',
      'ws p50',
      'p99',
      'max ms',
      'sim late',
      'loop p99',
      'backlog',
      ...CPU_NAMES,
      'load',
    ],
    runs.map(({ perSecond, run, load }) => {
      const { webhook, stream, lateP99Ms, backlog, cpu } = run
      return [
        String(perSecond),
        ...[webhook, stream].flatMap(({ latency }) => [latency.p50, latency.p99, latency.max]),
        lateP99Ms,
        cpu.loopDelayP99Ms,
        Math.max(0, ...backlog),
        ...cpuCells(run),
        load,
      ]
    }),
  )
  say('(CPU in µs per event; others: percent of the machine used by processes that are not of this bench)')
}

const CPU_NAMES = ['gateway', '(main)', 'redis', 'pg', 'sim', 'sink', 'reader', 'others %']

function cpuCells({ cpu, events }: RunReport): readonly number[] {
  const perEvent = (name: keyof CpuUse) => Math.round((cpu[name] * 1e6) / events)
  const names = ['gateway', 'main', 'redis', 'postgres', 'simulator', 'receiver', 'reader'] as const
  return [...names.map(perEvent), Math.round(cpu.othersShare * 100)]
}

/** What each stage takes in the gateway, and what it takes when there is nothing else. */
export function printStages({
  profile,
  run: { events, seconds },
  alone,
}: {
  readonly profile: Profile
  readonly run: RunReport
  readonly alone: readonly StageAlone[]
}): void {
  const byStage = Map.groupBy(profile.costs, stageOf)
  const inGateway = (stage: Stage | undefined) => total(byStage.get(stage) ?? []) / events
  printTable(
    ['stage', 'in the gateway µs', 'alone µs', 'alone per s', 'Redis µs'],
    STAGES.map((stage) => {
      const limit = alone.find((found) => found.stage === stage)
      return [
        stage,
        inGateway(stage),
        limit === undefined ? '' : limit.cpuUs / limit.count,
        limit === undefined ? '' : Math.round(limit.count / limit.seconds),
        limit?.redisUs === undefined ? '' : limit.redisUs / limit.count,
      ]
    }),
  )
  say('What no stage calls (sockets, timers, promises), for all stages together:')
  printTable(
    ['where', 'in the gateway µs'],
    byOwner(byStage.get(undefined) ?? [])
      .slice(0, FOLDERS_MAX / 2)
      .map(({ folder, costs }) => [folder, total(costs) / events]),
  )
  say(
    `(processor time of the main thread at ${Math.round(events / seconds)} events/s, ${Math.round(profile.busyUs / events)} µs ` +
      'per event with the profiler on; a stage alone has its sockets and timers with it)',
  )
}

/** How many events a second the processor time of each allows when nothing else needs the machine. */
export function printLimits({ cpu, events }: RunReport): void {
  const perEvent = (seconds: number) => (seconds * 1e6) / events
  const all = perEvent(cpu.ours)
  const main = perEvent(cpu.main)
  say(
    `Processor time per event: ${Math.round(all)} µs in all, ${Math.round(main)} µs of them on the gateway's main thread: ` +
      `enough for ${Math.round((processorCount() * 1e6) / all)} events/s on ${processorCount()} processors of one's own, ` +
      `and for ${Math.round(1e6 / main)} where only the gateway has one.`,
  )
}

/** What Redis did for an event, by command; what a script calls is also part of the script. */
export function printRedisCommands(commandStats: string, events: number): void {
  const rows = [...commandStats.matchAll(/^cmdstat_([^:]+):calls=(\d+),usec=(\d+)/gm)]
    .map(([, name = '', calls, usec]) => ({ name, calls: Number(calls) / events, usec: Number(usec) / events }))
    .toSorted((a, b) => b.usec - a.usec)
  printTable(
    ['Redis command', 'calls per event', 'µs per event'],
    rows.slice(0, FOLDERS_MAX).map(({ name, calls, usec }) => [name, calls, usec]),
  )
}

/** The functions that take most time themselves, by folder. */
export function printFolders(profile: Profile, events: number): void {
  const row = (cost: Cost): readonly (string | number)[] => [`    ${cost.name}  ${cost.place}`, cost.selfUs / events]
  printTable(
    ['self time of the main thread', 'µs per event'],
    byFolder(profile.costs)
      .slice(0, FOLDERS_MAX)
      .flatMap(({ folder, costs }) => [
        [folder, total(costs) / events],
        ...byFunction(costs).slice(0, FUNCTIONS_PER_FOLDER).map(row),
      ]),
  )
}
