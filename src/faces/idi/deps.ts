import type { Logger } from '../../core/logger.ts'
import type { AuxiliaryData } from '../../provisioning/requests/store/auxiliary-data.ts'
import type { Environments } from '../../provisioning/requests/store/environments.ts'

/** What the IDI API is about. */
export type IdiDeps = {
  readonly environments: Pick<Environments, 'find'>
  readonly auxiliaryData: AuxiliaryData
  readonly log: Logger
}
