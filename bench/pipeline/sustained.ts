import type { PipelineRig, RunReport } from './rig.ts'

/** Backlog of so many seconds' events is no longer a buffer's. */
const BACKLOG_SECONDS_MAX = 0.5
/** Growth per second, as a part of the pace. */
const GROWTH_MAX = 0.02
const STEP = 0.06
const STEPS_MAX = 5
/** Events under way at full pace: enough to keep everything busy, and no backlog. */
export const WINDOW = 600
const ROUND_TO = 25

/** Whether the backlog stopped growing once the run had got going. */
export function isFlat(backlog: readonly number[], perSecond: number, secondsPerSample: number): boolean {
  const settled = backlog.slice(Math.floor(backlog.length / 4))
  const last = settled.slice(-Math.ceil(settled.length / 3))
  return (
    settled.length > 2 &&
    slopeOf(settled) / secondsPerSample <= perSecond * GROWTH_MAX &&
    mean(last) <= perSecond * BACKLOG_SECONDS_MAX
  )
}

export type Sustained = {
  /** What came through with a bounded number under way. */
  readonly fullPace: RunReport & { readonly perSecond: number }
  /** The highest pace that was tried at which the backlog stayed flat; 0 when there was none. */
  readonly perSecond: number
  readonly tried: readonly { readonly perSecond: number; readonly flat: boolean; readonly run: RunReport }[]
}

/** Looks for the highest pace that goes on: guessed from full pace, then tried as an open loop, up or down. */
export async function findSustained(rig: PipelineRig, seconds: number): Promise<Sustained> {
  const fullPace = await rig.atFullPace(seconds, WINDOW)
  const tried: { perSecond: number; flat: boolean; run: RunReport }[] = []
  const attempt = async (pace: number): Promise<boolean> => {
    const perSecond = Math.max(ROUND_TO, Math.round(pace / ROUND_TO) * ROUND_TO)
    const run = await rig.atPace(perSecond, seconds)
    const flat = isFlat(run.backlog, perSecond, run.seconds / Math.max(1, run.backlog.length))
    tried.push({ perSecond, flat, run })
    return flat
  }
  let pace = fullPace.perSecond * (1 - STEP / 2)
  const first = await attempt(pace)
  for (let step = 1; step < STEPS_MAX; step += 1) {
    pace *= first ? 1 + STEP : 1 - STEP
    if ((await attempt(pace)) !== first) break
  }
  const perSecond = Math.max(0, ...tried.filter(({ flat }) => flat).map(({ perSecond: held }) => held))
  return { fullPace, perSecond, tried }
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

/** Of a line through evenly spaced values (least squares), per step. */
function slopeOf(values: readonly number[]): number {
  const middle = (values.length - 1) / 2
  const centre = mean(values)
  let [above, below] = [0, 0]
  for (const [index, value] of values.entries()) {
    above += (index - middle) * (value - centre)
    below += (index - middle) ** 2
  }
  return below === 0 ? 0 : above / below
}
