import { GatewayError } from '../core/errors.ts'
import type { Scope } from '../core/provisioning-scope.ts'

/** What `access: 'provisioning'` promises. */
export function scopeOf(scope: Scope | undefined): Scope {
  if (scope === undefined) throw new GatewayError('internal')
  return scope
}
