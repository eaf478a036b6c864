import type { SubscriberId } from '../core/ids.ts'
import { toSubscriberId } from '../core/ids.ts'
import type { BroadsoftConfig } from './config.ts'
import type { XsiSubscription } from './parse.ts'
import { pathSegment } from './paths.ts'

/** Whose events a subscription brings. All but `user` are collections: they have no snapshot event. */
export type SubscriptionTarget =
  | { readonly type: 'user'; readonly userId: SubscriberId }
  | { readonly type: 'group'; readonly enterpriseId: string; readonly groupId: string }
  | { readonly type: 'enterprise'; readonly enterpriseId: string }
  | { readonly type: 'system' }

/** The one target of a network that subscribes to a collection; undefined when it subscribes per user. */
export function collectionTarget(config: BroadsoftConfig): SubscriptionTarget | undefined {
  const { subscribe, enterprise_id: enterpriseId, group_id: groupId } = config
  if (subscribe === 'system') return { type: 'system' }
  if (subscribe === 'enterprise' && enterpriseId !== undefined) return { type: 'enterprise', enterpriseId }
  if (subscribe === 'group' && enterpriseId !== undefined && groupId !== undefined) {
    return { type: 'group', enterpriseId, groupId }
  }
  return undefined
}

/** Unique among the targets of a network. */
export function targetKey(target: SubscriptionTarget): string {
  switch (target.type) {
    case 'user':
      return `user ${target.userId}`
    case 'group':
      return `group ${target.groupId}`
    case 'enterprise':
      return `enterprise ${target.enterpriseId}`
    case 'system':
      break
  }
  return 'system'
}

/** The key of the target that a listed subscription has; undefined for one that cannot be ours. */
export function targetKeyOf(subscription: XsiSubscription): string | undefined {
  const targetId = subscription.targetId ?? subscription.subscriberId
  switch (subscription.targetIdType) {
    case undefined:
    case 'User':
      return targetId === undefined ? undefined : `user ${targetId}`
    case 'Group':
      return `group ${subscription.targetId ?? ''}`
    case 'ServiceProvider':
    case 'Enterprise':
      return `enterprise ${subscription.targetId ?? ''}`
    case 'System':
      return 'system'
    default:
      return undefined
  }
}

/** Where a subscription for the target is added, under the events context (2020.07, p. 367). */
export function targetPath(target: SubscriptionTarget): string {
  switch (target.type) {
    case 'user':
      return `/user/${pathSegment(target.userId)}`
    case 'group':
      return `/serviceprovider/${pathSegment(target.enterpriseId)}/group/${pathSegment(target.groupId)}`
    case 'enterprise':
      return `/serviceprovider/${pathSegment(target.enterpriseId)}`
    case 'system':
      break
  }
  return '/system'
}

/** The query that lists the subscriptions to a target, or to all users when undefined (2020.07, p. 368). */
export function listQuery(target: SubscriptionTarget | undefined): Readonly<Record<string, string>> {
  switch (target?.type) {
    case undefined:
      return { targetEntityType: 'User' }
    case 'user':
      return { targetEntityType: 'User', targetId: target.userId }
    case 'group':
      return { targetEntityType: 'Group', targetId: target.groupId, targetGrpParentId: target.enterpriseId }
    case 'enterprise':
      return { targetEntityType: 'ServiceProvider', targetId: target.enterpriseId }
    case 'system':
      break
  }
  return { targetEntityType: 'System' }
}

export const userTarget = (userId: string): SubscriptionTarget => ({ type: 'user', userId: toSubscriberId(userId) })
