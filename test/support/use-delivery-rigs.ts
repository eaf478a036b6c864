import type { StoreLimits } from '../../src/webhooks/delivery-store.ts'
import { DeliveryRig } from './delivery-rig.ts'
import type { TestRedis } from './redis.ts'
import { useEmptyRedis } from './use-redis.ts'

type OpenRig = (limits?: Partial<StoreLimits>, names?: readonly string[]) => Promise<DeliveryRig>

/** Delivery stores in a Redis that is emptied after each test. */
export function useDeliveryRigs(): { readonly redis: TestRedis; readonly openRig: OpenRig } {
  const redis = useEmptyRedis()
  return {
    redis,
    /** A store with an endpoint called `endpoint`, and others if they are named. */
    openRig: (limits = {}, names = []) => new DeliveryRig(redis.connect(), limits).open('endpoint', ...names),
  }
}
