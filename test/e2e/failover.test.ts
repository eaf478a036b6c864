import { expect, test } from 'vitest'
import { Cluster } from '../../bench/failover/cluster.ts'
import { runKillRound } from '../../bench/failover/kill-rounds.ts'
import { compareWithLedger } from '../../bench/soak/compare.ts'

test(
  'the instance that owns the channels is killed: no event is lost or out of order, and no subscription is touched',
  { timeout: 180_000 },
  async () => {
    await using cluster = await Cluster.start(20)
    const round = await runKillRound(cluster, 0, { callsPerSecond: 10, signal: 'SIGKILL' })
    await cluster.untilQuiet()
    const ledger = await cluster.readLedger()
    const { webhookArrivals, declaredSkipped, badSignatures } = cluster.app
    for (const { streamArrivals, gapsAnnouncedAt } of [cluster.app, cluster.second]) {
      const app = { webhookArrivals, declaredSkipped, badSignatures, streamArrivals, gapsAnnouncedAt }
      expect(compareWithLedger({ ledger, app }).problems).toEqual([])
      expect(streamArrivals.length).toBeGreaterThan(100)
    }
    expect(round.owned).toBeGreaterThan(0)
    expect(round.subscriptionRequests.create).toBe(0)
    // All of them would be one for each of the 20 users.
    expect(round.subscriptionRequests.refresh).toBeLessThan(10)
    expect(round.gapMs).toBeLessThan(5_000)
  },
)
