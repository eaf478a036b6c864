import { Registry } from 'prom-client'
import { expect, test, vi } from 'vitest'
import { NETWORK } from '../../test/support/broadsoft-rig.ts'
import { LeaseBook } from '../../test/support/lease-book.ts'
import type { Clock } from '../core/clock.ts'
import { systemClock } from '../core/clock.ts'
import { silentLogger } from '../core/logger.ts'
import { BroadsoftMetrics } from './metrics.ts'
import type { ChannelTerms, SupervisedChannel } from './supervisor.ts'
import { Supervisor } from './supervisor.ts'
import type { ChannelEnd } from './termination.ts'

const CHANNEL_LEASE = 'channel:xsp1.example.net'

function createSupervisor(openChannel: (terms: ChannelTerms) => SupervisedChannel, clock: Clock = systemClock) {
  const leases = new LeaseBook()
  const removeChannel = vi.fn<(channelId: string) => Promise<void>>(async () => undefined)
  const supervisor = new Supervisor({
    network: NETWORK,
    node: new URL('https://xsp1.example.net'),
    role: 'owner',
    leases,
    openChannel,
    removeChannel,
    onOpen: () => undefined,
    onEnd: () => undefined,
    onChange: () => undefined,
    clock,
    random: () => 0.999,
    log: silentLogger,
    metrics: new BroadsoftMetrics(new Registry()),
  })
  return { supervisor, leases, removeChannel }
}

/** The delays between attempts, each of which takes 15 s and is or is not open from its beginning on. */
async function delaysOf(isOpening: boolean): Promise<readonly number[]> {
  let now = 0
  const delays: number[] = []
  const done = Promise.withResolvers<void>()
  const clock: Clock = {
    now: () => now,
    monotonic: () => now,
    wait: async (ms) => {
      now += ms
      delays.push(Math.round(ms))
      if (delays.length === 4) void supervisor.close(AbortSignal.abort()).then(done.resolve)
    },
  }
  const openChannel = (): SupervisedChannel => ({
    channelId: undefined,
    openedAt: isOpening ? now : undefined,
    lastReceivedAt: undefined,
    expiresAt: undefined,
    run: async () => {
      now += 15_000
      return { type: 'unreachable', detail: 'nobody there' }
    },
    drain: async () => undefined,
    settled: async () => undefined,
    close: async () => undefined,
    whenAcknowledged: async () => undefined,
  })
  const { supervisor } = createSupervisor(openChannel, clock)
  await supervisor.tryTake()
  await done.promise
  return delays
}

test('an attempt that takes long to fail is no healthy channel: the delays grow', async () => {
  expect(await delaysOf(false)).toEqual([499, 999, 1998, 3996])
})

test('after a channel that was open for long the first delay is the shortest again', async () => {
  expect(await delaysOf(true)).toEqual([499, 499, 499, 499])
})

/** Channels that open at once and end when they are closed; `log` says what was done to them. */
function openingChannels() {
  const log: string[] = []
  const drained = Promise.withResolvers<void>()
  let opened = 0
  const openChannel = ({ onOpen }: ChannelTerms): SupervisedChannel => {
    const ended = Promise.withResolvers<ChannelEnd>()
    opened += 1
    const channelId = `channel-${opened}`
    return {
      channelId,
      openedAt: 0,
      lastReceivedAt: undefined,
      expiresAt: undefined,
      run: () => {
        log.push(`open ${channelId}`)
        onOpen(channelId)
        return ended.promise
      },
      drain: () => {
        log.push(`drain ${channelId}`)
        return drained.promise
      },
      settled: async () => undefined,
      close: async () => {
        log.push(`close ${channelId}`)
        ended.resolve({ type: 'closed' })
      },
      whenAcknowledged: async () => undefined,
    }
  }
  return { openChannel, log, drained }
}

test('a close ends the channel and the work: no further channel is opened, and the lease is given back', async () => {
  const { openChannel, log } = openingChannels()
  const { supervisor, leases } = createSupervisor(openChannel)
  expect(await supervisor.tryTake()).toBe(true)
  expect(supervisor.isOpen).toBe(true)
  await supervisor.close(AbortSignal.timeout(1000))
  expect(log).toEqual(['open channel-1', 'close channel-1'])
  expect(leases.granted).toEqual([CHANNEL_LEASE])
  expect(leases.holds(CHANNEL_LEASE)).toBe(false)
  expect(await supervisor.tryTake()).toBe(false)
})

test('a hand-over finishes what was taken in, then deletes the channel, then gives the lease back', async () => {
  const { openChannel, log, drained } = openingChannels()
  const { supervisor, leases } = createSupervisor(openChannel)
  await supervisor.tryTake()
  const left = supervisor.leave(AbortSignal.timeout(5_000))
  await vi.waitFor(() => expect(log).toEqual(['open channel-1', 'drain channel-1']))
  expect(leases.holds(CHANNEL_LEASE)).toBe(true)
  expect(supervisor.isOpen).toBe(true)
  drained.resolve()
  await left
  expect(log).toEqual(['open channel-1', 'drain channel-1', 'close channel-1'])
  expect(leases.holds(CHANNEL_LEASE)).toBe(false)
  expect(supervisor.isHeld).toBe(false)
  // It may have its turn again.
  expect(await supervisor.tryTake()).toBe(true)
  expect(supervisor.isOpen).toBe(true)
  await supervisor.close(AbortSignal.abort())
})

test('a lease that somebody else has is not taken, and no channel is opened', async () => {
  const openChannel = vi.fn<(terms: ChannelTerms) => SupervisedChannel>()
  const { supervisor, leases } = createSupervisor(openChannel)
  leases.seize(CHANNEL_LEASE)
  expect(await supervisor.tryTake()).toBe(false)
  expect(supervisor.isHeld).toBe(false)
  expect(openChannel).not.toHaveBeenCalled()
})

test('the open channel is noted at the lease, and that of a holder that died is deleted once ours is open', async () => {
  const { openChannel, log } = openingChannels()
  const { supervisor, leases, removeChannel } = createSupervisor(openChannel)
  const dead = await leases.tryAcquire(NETWORK, CHANNEL_LEASE)
  await dead?.describe('channel-of-the-dead')
  leases.orphan(CHANNEL_LEASE)
  await supervisor.tryTake()
  expect(log).toEqual(['open channel-1'])
  expect(removeChannel.mock.calls.map(([channelId]) => channelId)).toEqual(['channel-of-the-dead'])
  expect(await leases.look(NETWORK, CHANNEL_LEASE)).toEqual({ renewedMsAgo: 0, note: 'channel-1' })
  await supervisor.close(AbortSignal.abort())
  expect(await leases.look(NETWORK, CHANNEL_LEASE)).toBeUndefined()
})

test('a lease that is granted after the close is given back', async () => {
  const openChannel = vi.fn<(terms: ChannelTerms) => SupervisedChannel>()
  const { supervisor, leases } = createSupervisor(openChannel)
  const taking = supervisor.tryTake()
  await supervisor.close(AbortSignal.timeout(1000))
  expect(await taking).toBe(false)
  expect(leases.granted).toEqual([CHANNEL_LEASE])
  expect(leases.holds(CHANNEL_LEASE)).toBe(false)
  expect(openChannel).not.toHaveBeenCalled()
})
