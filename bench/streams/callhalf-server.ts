/** The gateway's hub and HTTP server on a Redis of their own, without the rest of it; started by `Child`. */
import { startTestRedis, type TestRedis } from '../../test/support/redis.ts'
import { StreamRig } from '../../test/support/stream-rig.ts'
import { answerCalls } from '../webhooks/rig/child.ts'
import { processFigures } from './process-figures.ts'

/** More than any run has; the default protects a gateway that others use, too. */
const STREAMS_MAX = 50_000

let redis: TestRedis | undefined
let rig: StreamRig | undefined

const calls = {
  async start() {
    redis = await startTestRedis()
    rig = await new StreamRig(redis, { streamsPerAppMax: STREAMS_MAX }).start()
    const { appId, shard, key, subscriberId } = rig.addApp()
    return {
      socketPath: redis.socketPath,
      app: { appId, shard },
      subscriberId,
      port: Number(new URL(rig.server.url).port),
      path: `/apps/${appId}/stream`,
      headers: { authorization: `Bearer ${key}` },
    }
  },
  ...processFigures,
}

export type CallhalfServerCalls = typeof calls

answerCalls(calls, async () => {
  await rig?.stop()
  await redis?.stop()
})
