/** A process that runs one stage of the pipeline by itself, as fast as it goes; started by `Child`. */
import { Registry } from 'prom-client'
import { systemClock } from '../../src/core/clock.ts'
import type { Assignment } from '../../src/core/directory.ts'
import {
  toAppId,
  toCallId,
  toNetworkId,
  type NetworkId,
  type NetworkRef,
  type SubscriberId,
} from '../../src/core/ids.ts'
import { silentLogger } from '../../src/core/logger.ts'
import type { Observation } from '../../src/core/observation.ts'
import { ChannelRequests } from '../../src/broadsoft/channel-requests.ts'
import { XsiClient } from '../../src/broadsoft/client.ts'
import { Framer } from '../../src/broadsoft/framer.ts'
import { normalizeEvent } from '../../src/broadsoft/normalize.ts'
import { parseDocument, type XsiEvent } from '../../src/broadsoft/parse.ts'
import { Ingest } from '../../src/ingest.ts'
import { RedisCalls } from '../../src/state/calls.ts'
import { StoreConnection } from '../../src/state/connection.ts'
import { StateMetrics } from '../../src/state/metrics.ts'
import { ShardSchema } from '../../src/core/ids.ts'
import { FixedDirectory } from '../../test/support/fixed-directory.ts'
import * as v from 'valibot'
import { answerCalls } from '../webhooks/rig/child.ts'
import { readCpuSeconds } from '../webhooks/rig/redis-figures.ts'

/** What a stage did, and the processor time of its process, and of Redis. */
export type StageResult = {
  readonly count: number
  readonly seconds: number
  readonly cpuUs: number
  readonly redisUs?: number
}

type Documents = { readonly documents: readonly string[]; readonly seconds: number }

/** As a busy socket gives them. */
const CHUNK_BYTES = 16_384
const UNTIL_CHECKED = 50
const WARM_UP_SECONDS = 1
const COMMITS_IN_FLIGHT = 64
/** As the gateway has for one channel. */
const ACKS_IN_FLIGHT = 16

/** Runs `work` twice: the first time is for the compilers. */
async function measure(seconds: number, work: (seconds: number) => number | Promise<number>): Promise<StageResult> {
  await work(WARM_UP_SECONDS)
  const cpuBefore = process.cpuUsage()
  const startedAt = performance.now()
  const count = await work(seconds)
  const took = (performance.now() - startedAt) / 1_000
  const { user, system } = process.cpuUsage(cpuBefore)
  return { count, seconds: took, cpuUs: user + system }
}

/** Repeats `step` with 0, 1, 2 … for so long; returns how often. */
function repeat(seconds: number, step: (index: number) => void): number {
  const until = performance.now() + seconds * 1_000
  let index = 0
  while (performance.now() < until) {
    for (let more = 0; more < UNTIL_CHECKED; more += 1) step(index++)
  }
  return index
}

/** The same with several under way. */
async function repeatAsync(
  seconds: number,
  inFlight: number,
  step: (index: number) => Promise<unknown>,
): Promise<number> {
  const until = performance.now() + seconds * 1_000
  let index = 0
  const lane = async () => {
    while (performance.now() < until) await step(index++)
  }
  await Promise.all(Array.from({ length: inFlight }, lane))
  return index
}

const toEvents = (documents: readonly string[]): readonly XsiEvent[] =>
  documents.flatMap((text) => {
    const document = parseDocument(Buffer.from(text))
    return document.type === 'event' ? [document.event] : []
  })

/** A directory of as many subscribers as a bench has. */
class Assignments extends FixedDirectory {
  readonly #bySubscriber: ReadonlyMap<string, readonly Assignment[]>

  constructor(network: NetworkRef, assignments: readonly Assignment[]) {
    super({ networks: [network], assignments })
    this.#bySubscriber = new Map(assignments.map((assignment) => [assignment.subscriberId, [assignment]]))
  }

  override assignmentsOf(_networkId: NetworkId, subscriberId: SubscriberId): readonly Assignment[] {
    return this.#bySubscriber.get(subscriberId) ?? []
  }
}

/** The observations of documents, again and again, each time of new calls. */
function observations(documents: readonly string[], network: NetworkRef): (index: number) => Observation {
  const found = toEvents(documents).flatMap(({ targetId, ...event }) => {
    const meaning = normalizeEvent({ targetId, ...event }, systemClock.now())
    return meaning.kind === 'observation' ? [{ targetId, body: meaning.body }] : []
  })
  return (index) => {
    const original = found[index % found.length]
    if (original === undefined) throw new Error('there are no observations')
    const round = Math.floor(index / found.length)
    const calls = original.body.calls.map((call) => ({ ...call, callId: toCallId(`${call.callId}/${round}`) }))
    return {
      networkId: network.networkId,
      subscriberId: original.targetId,
      upstream: { generation: 1, sequence: index + 1 },
      body: { ...original.body, calls },
    }
  }
}

const calls = {
  framing({ documents, seconds }: Documents): Promise<StageResult> {
    const bytes = Buffer.from(documents.join(''))
    const chunks: Buffer[] = []
    for (let start = 0; start < bytes.length; start += CHUNK_BYTES)
      chunks.push(bytes.subarray(start, start + CHUNK_BYTES))
    const framer = new Framer({ documentBytesMax: 1_048_576 })
    let next = 0
    return measure(seconds, (left) => {
      let framed = 0
      repeat(left, () => {
        framed += framer.push(chunks[next++ % chunks.length] ?? bytes).length
      })
      return framed
    })
  },
  parse({ documents, seconds }: Documents): Promise<StageResult> {
    const buffers = documents.map((text) => Buffer.from(text))
    const [first = Buffer.alloc(0)] = buffers
    return measure(seconds, (left) =>
      repeat(left, (index) => void parseDocument(buffers[index % buffers.length] ?? first)),
    )
  },
  normalise({ documents, seconds }: Documents): Promise<StageResult> {
    const events = toEvents(documents)
    return measure(seconds, (left) =>
      repeat(left, (index) => {
        const event = events[index % events.length]
        if (event !== undefined) normalizeEvent(event, 1)
      }),
    )
  },
  /** Of each event: decided, committed and appended to one app's log, on a Redis of its own. */
  async commit({ documents, seconds, socketPath }: Documents & { readonly socketPath: string }) {
    const shard = v.parse(ShardSchema, 'main')
    const network: NetworkRef = { networkId: toNetworkId('bench-network'), shard }
    const app = { appId: toAppId('bench-app'), shard }
    const subscriberIds = [...new Set(toEvents(documents).map(({ targetId }) => targetId))]
    const assignments = subscriberIds.map((subscriberId) => ({
      app,
      network,
      subscriberId,
      subscriberNumber: '+15552000000',
    }))
    const connection = new StoreConnection({ address: { socketPath }, log: silentLogger })
    const metrics = new StateMetrics(new Registry())
    const shared = { metrics, clock: systemClock, log: silentLogger }
    const { commit, general } = connection
    const ingest = new Ingest({
      ...shared,
      store: new RedisCalls({ ...shared, commit, general, random: Math.random }),
      directory: new Assignments(network, assignments),
    })
    const observe = observations(documents, network)
    const fence = { lease: 'channel', token: 1 }
    let next = 0
    await connection.start()
    try {
      let usedBefore = 0
      const result = await measure(seconds, async (left) => {
        usedBefore = await general.run(readCpuSeconds)
        return repeatAsync(left, COMMITS_IN_FLIGHT, () => ingest.deliver(observe(next++), fence))
      })
      return { ...result, redisUs: ((await general.run(readCpuSeconds)) - usedBefore) * 1e6 }
    } finally {
      await connection.stop()
    }
  },
  async ack({ url, seconds }: { readonly url: string; readonly seconds: number }): Promise<StageResult> {
    const node = new URL(url)
    const client = new XsiClient({
      nodes: [node],
      credentials: { username: 'admin@bench.example.net', password: 'bench-secret' },
      log: silentLogger,
      clock: systemClock,
    })
    const requests = new ChannelRequests({
      client,
      eventsPath: '/com.broadsoft.xsi-events',
      channelPath: '/com.broadsoft.async/com.broadsoft.xsi-events',
      signal: new AbortController().signal,
    })
    try {
      return await measure(seconds, (left) =>
        repeatAsync(left, ACKS_IN_FLIGHT, async (index) => {
          const reply = await requests.acknowledge(node, { eventId: `event-${index}`, status: 200, receivedAt: 0 })
          if (reply !== 'taken') throw new Error(`an acknowledgement was ${reply}`)
        }),
      )
    } finally {
      await client.close()
    }
  },
}

export type StageCalls = typeof calls

answerCalls(calls)
