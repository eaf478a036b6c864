import { Child } from '../webhooks/rig/child.ts'
import type { SenderCalls } from '../webhooks/rig/sender.ts'
import { startTestRedis } from '../../test/support/redis.ts'
import { startCallhalf } from '../streams/contenders.ts'
import type { Stage } from './profile.ts'
import type { ReceiverCalls } from './receiver.ts'
import type { StageCalls, StageResult } from './stages.ts'

/** One stage with nothing else in its process. */
export type StageAlone = StageResult & { readonly stage: Stage }

export type StagesAloneOptions = {
  /** Real ones, as the simulator sent them. */
  readonly documents: readonly string[]
  /** Takes what the stages send. */
  readonly receiver: Child<ReceiverCalls>
  readonly seconds: number
}

const DELIVERIES = 12_000
/** As the endpoint of the pipeline has. */
const IN_FLIGHT = 25
const FRAMES = 20_000

/** Each stage at its limit, one after the other. */
export async function measureStagesAlone({
  documents,
  receiver,
  seconds,
}: StagesAloneOptions): Promise<readonly StageAlone[]> {
  const url = await receiver.call('url')
  const redis = await startTestRedis()
  const stages = new Child<StageCalls>(import.meta.resolve('./stages.ts'), { name: 'stages' })
  const sender = new Child<SenderCalls>('./sender.ts', { name: 'sender' })
  try {
    const work = { documents, seconds }
    const framing = await stages.call('framing', work)
    const parse = await stages.call('parse', work)
    const normalise = await stages.call('normalise', work)
    const commit = await stages.call('commit', { ...work, socketPath: redis.socketPath })
    const ack = await stages.call('ack', { url, seconds })
    const post = { urls: [url], way: 'signed', pace: 'full', concurrency: IN_FLIGHT } as const
    await sender.call('send', { ...post, count: DELIVERIES / 10 })
    const sent = await sender.call('send', { ...post, count: DELIVERIES })
    return [
      { stage: 'framing', ...framing },
      { stage: 'parse', ...parse },
      { stage: 'normalise', ...normalise },
      { stage: 'reduce + commit', ...commit },
      { stage: 'fan-out', ...(await fanOutAlone()) },
      { stage: 'deliver', count: sent.sent, seconds: sent.seconds, cpuUs: sent.cpuUs },
      { stage: 'ack', ...ack },
    ]
  } finally {
    await Promise.all([stages.end('SIGTERM'), sender.end('SIGTERM')])
    await redis.stop()
  }
}

/** The hub with one client, from a log that grows as fast as it can be read. */
async function fanOutAlone(): Promise<StageResult> {
  await using contender = await startCallhalf()
  await contender.connect(1)
  await contender.burst(FRAMES / 10)
  const { frames, seconds, cpuUs } = await contender.burst(FRAMES)
  return { count: frames, seconds, cpuUs }
}
