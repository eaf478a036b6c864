import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readProfile, scale, type Profile } from './profile.ts'
import type { PipelineRig, RunReport } from './rig.ts'
import type { Stores } from './stores.ts'

export type ProfiledRun = {
  readonly run: RunReport
  /** Of the gateway's main thread, in processor time. */
  readonly profile: Profile
  /** `INFO commandstats`. */
  readonly redisCommands: string
  /** Of those that the simulator sent. */
  readonly documents: readonly string[]
}

/** A run as fast as it goes, with `window` events under way, with the gateway's profiler on. */
export async function runProfiled(
  { rig, stores }: { readonly rig: PipelineRig; readonly stores: Stores },
  { seconds, window }: { readonly seconds: number; readonly window: number },
): Promise<ProfiledRun> {
  const path = join(tmpdir(), `callhalf-bench-${process.pid}.cpuprofile`)
  await rig.feed.call('capture')
  await stores.redis.config('RESETSTAT')
  await rig.gateway.ask('startProfile')
  const run = await rig.atFullPace(seconds, window)
  await rig.gateway.ask('stopProfile', path)
  const redisCommands = await stores.redis.info('commandstats')
  try {
    const profile = scale(await readProfile(path), run.cpu.main * 1e6)
    return { run, profile, redisCommands, documents: await rig.feed.call('captured') }
  } finally {
    await rm(path, { force: true })
  }
}
