/**
 * Loaded into a gateway process before its program (`--import`): answers questions about the process over
 * the channel to its parent, and stops the process as SIGTERM does when the parent is gone.
 */
import { Session } from 'node:inspector/promises'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { writeFile } from 'node:fs/promises'
import { isMainThread } from 'node:worker_threads'

/** Bytes, after a collection of garbage. */
export type Memory = {
  readonly rss: number
  /** What the main thread's objects and buffers take. */
  readonly live: number
}

export type Usage = {
  /** Of all threads. */
  readonly cpuUs: number
  /** Of the main thread, where the gateway's own code runs. */
  readonly mainCpuUs: number
  /** How late the event loop came to its timers since the last question, 99th percentile. */
  readonly loopDelayP99Ms: number
}

const SAMPLE_EVERY_US = 250

const loopDelay = monitorEventLoopDelay({ resolution: 5 })
const session = new Session()

const calls = {
  usage(): Usage {
    const { user, system } = process.cpuUsage()
    const main = process.threadCpuUsage()
    const loopDelayP99Ms = loopDelay.percentile(99) / 1e6
    loopDelay.reset()
    return { cpuUs: user + system, mainCpuUs: main.user + main.system, loopDelayP99Ms }
  },
  async memory(): Promise<Memory> {
    // Finalisers and weak references let go of more in the next round.
    for (let round = 0; round < 3; round += 1) {
      globalThis.gc?.()
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    const { rss, heapUsed, external } = process.memoryUsage()
    return { rss, live: heapUsed + external }
  },
  async startProfile(): Promise<void> {
    session.connect()
    await session.post('Profiler.enable')
    await session.post('Profiler.setSamplingInterval', { interval: SAMPLE_EVERY_US })
    await session.post('Profiler.start')
  },
  /** Writes the profile of the main thread in the format of `--cpu-prof`. */
  async stopProfile(path: string): Promise<void> {
    const { profile } = await session.post('Profiler.stop')
    session.disconnect()
    await writeFile(path, JSON.stringify(profile))
  },
}

export type ProbeCalls = typeof calls

type Question = { readonly id: number; readonly name: keyof ProbeCalls; readonly argument: string }

async function answer({ id, name, argument }: Question): Promise<void> {
  try {
    process.send?.({ id, result: await calls[name](argument) })
  } catch (error) {
    process.send?.({ id, error: String(error) })
  }
}

// The threads of the process load this, too.
if (isMainThread) {
  loopDelay.enable()
  process.on('message', (question) => void answer(question as Question))
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'))
  // It must not keep alive a process that is otherwise done.
  process.channel?.unref()
}
