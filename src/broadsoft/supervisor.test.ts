import { Registry } from 'prom-client'
import { expect, test, vi } from 'vitest'
import { LeaseBook, NETWORK } from '../../test/support/broadsoft-rig.ts'
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
  const supervisor = new Supervisor({
    network: NETWORK,
    node: new URL('https://xsp1.example.net'),
    leases,
    openChannel,
    onOpen: () => undefined,
    onLost: () => undefined,
    clock,
    random: () => 0.999,
    log: silentLogger,
    metrics: new BroadsoftMetrics(new Registry()),
  })
  return { supervisor, leases }
}

/** The delays between attempts, each of which takes 15 s and is or is not open from its beginning on. */
async function delaysOf(isOpening: boolean): Promise<readonly number[]> {
  let now = 0
  const delays: number[] = []
  const clock: Clock = {
    now: () => now,
    monotonic: () => now,
    wait: async (ms) => {
      now += ms
      delays.push(Math.round(ms))
      if (delays.length === 4) await supervisor.close(AbortSignal.abort())
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
    close: async () => undefined,
    whenAcknowledged: async () => undefined,
  })
  const { supervisor } = createSupervisor(openChannel, clock)
  await supervisor.run()
  return delays
}

test('an attempt that takes long to fail is no healthy channel: the delays grow', async () => {
  expect(await delaysOf(false)).toEqual([499, 999, 1998, 3996])
})

test('after a channel that was open for long the first delay is the shortest again', async () => {
  expect(await delaysOf(true)).toEqual([499, 499, 499, 499])
})

test('a close ends the channel and the work: no further channel is opened, and the lease is given back', async () => {
  const ended = Promise.withResolvers<ChannelEnd>()
  const opened = vi.fn<() => void>()
  const openChannel = ({ onOpen }: ChannelTerms): SupervisedChannel => ({
    channelId: 'channel-1',
    openedAt: 0,
    lastReceivedAt: undefined,
    expiresAt: undefined,
    run: () => {
      opened()
      onOpen('channel-1')
      return ended.promise
    },
    close: async () => ended.resolve({ type: 'closed' }),
    whenAcknowledged: async () => undefined,
  })
  const { supervisor, leases } = createSupervisor(openChannel)
  const running = supervisor.run()
  await vi.waitFor(() => expect(supervisor.isOpen).toBe(true))
  await supervisor.close(AbortSignal.timeout(1000))
  await running
  expect(opened).toHaveBeenCalledTimes(1)
  expect(leases.granted).toEqual([CHANNEL_LEASE])
  expect(leases.holds(CHANNEL_LEASE)).toBe(false)
})

test('a close while another instance has the lease ends the wait for it', async () => {
  const openChannel = vi.fn<(terms: ChannelTerms) => SupervisedChannel>()
  const { supervisor, leases } = createSupervisor(openChannel)
  leases.seize(CHANNEL_LEASE)
  const running = supervisor.run()
  await vi.waitFor(() => expect(supervisor.state).toBe('standby'))
  await supervisor.close(AbortSignal.timeout(1000))
  await running
  expect(openChannel).not.toHaveBeenCalled()
})
