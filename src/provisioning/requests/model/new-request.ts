/** A provisioning request as it is asked for. Times are in milliseconds since 1970. */
export type NewRequest = {
  readonly account: { readonly accountNumber?: number | undefined; readonly name?: string | undefined }
  readonly items: readonly { readonly keyName: string; readonly value: string }[]
  /** Whether its state cannot be changed by callers. */
  readonly isReadOnly: boolean
  readonly profileId: number
  readonly objectCode?: string | undefined
  readonly internalId?: string | undefined
  readonly objectStartsAt?: number | undefined
  readonly objectEndsAt?: number | undefined
  readonly objectStatusId?: number | undefined
  readonly transitionId?: number | undefined
  readonly batchId?: number | undefined
  readonly batchTotal?: number | undefined
  readonly links: readonly { readonly linkTypeId: number; readonly linkValue: string }[]
  readonly outcomes: readonly { readonly variableCode: string; readonly outcomeCode: string }[]
  readonly regeneratedFromId?: number | undefined
  readonly workItemInstanceId?: number | undefined
}
