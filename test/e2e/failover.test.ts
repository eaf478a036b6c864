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
      const { problems, untold } = compareWithLedger({ ledger, app, keepsOrder: true })
      expect(problems).toEqual([])
      // Every single state is told: with the standby's channel nothing needs to be read again.
      expect(untold).toEqual([])
      // One snapshot at the start; from then on the client resumed wherever it went.
      expect(gapsAnnouncedAt.length).toBe(1)
      expect(streamArrivals.length).toBeGreaterThan(100)
    }
    expect(round.owned).toBeGreaterThan(0)
    expect(round.subscriptionRequests.create).toBe(0)
    // All of them would be one for each of the 20 users.
    expect(round.subscriptionRequests.refresh).toBeLessThan(10)
    expect(round.gapMs).toBeLessThan(5_000)
    expect(round.victimGapMs).toBeLessThan(5_000)
  },
)
