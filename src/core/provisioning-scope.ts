/** Whose customers a caller may see: all, or those of its key's app (of these, only some when they are named). */
export type Scope =
  | { readonly kind: 'admin' }
  | {
      readonly kind: 'key'
      readonly keyId: string
      readonly appId: string
      readonly customerIds?: readonly string[]
    }

/** The name under which a caller's changes are audited. */
export const actorOf = (scope: Scope): string => (scope.kind === 'admin' ? 'admin' : `key:${scope.keyId}`)

/** Tells provisioning keys from other texts. */
export interface ProvisioningKeyCheck {
  /** What a presented key may see; undefined when it is nobody's. */
  authenticate(key: string): Promise<Scope | undefined>
}
