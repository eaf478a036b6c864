import type { Logger } from '../../core/logger.ts'
import type { AuxiliaryData } from '../../provisioning/requests/store/auxiliary-data.ts'
import type { DefinitionSearch } from '../../provisioning/requests/store/definition-search.ts'
import type { Definitions } from '../../provisioning/requests/store/definitions.ts'
import type { GlobalInformation } from '../../provisioning/requests/store/global-information.ts'
import type { Installations } from '../../provisioning/requests/store/installations.ts'
import type { LinkTypes } from '../../provisioning/requests/store/link-types.ts'
import type { ProfileDefinitions } from '../../provisioning/requests/store/profile-definitions.ts'
import type { Profiles } from '../../provisioning/requests/store/profiles.ts'
import type { Providers } from '../../provisioning/requests/store/providers.ts'
import type { Safeguards } from '../../provisioning/requests/store/safeguards.ts'
import type { Scenarios } from '../../provisioning/requests/store/scenarios.ts'
import type { RequestChanges } from '../../provisioning/requests/engine/request-changes.ts'
import type { RequestItems } from '../../provisioning/requests/engine/request-items.ts'
import type { Submission } from '../../provisioning/requests/engine/submission.ts'
import type { CallDetails } from '../../provisioning/requests/store/call-details.ts'
import type { RequestLog } from '../../provisioning/store/idempotency.ts'
import type { Requests } from '../../provisioning/requests/store/requests.ts'
import type { Environments } from '../../provisioning/requests/store/environments.ts'
import type { Variables } from '../../provisioning/requests/store/variables.ts'
import type { ProvisionedObjects } from '../../provisioning/requests/store/provisioned-objects.ts'

/** What the IDI API is about. */
export type IdiDeps = {
  readonly environments: Pick<Environments, 'find'>
  readonly auxiliaryData: AuxiliaryData
  readonly definitions: Definitions
  readonly definitionSearch: DefinitionSearch
  readonly variables: Variables
  readonly globalInformation: GlobalInformation
  readonly safeguards: Safeguards
  readonly profiles: Profiles
  readonly profileDefinitions: ProfileDefinitions
  readonly scenarios: Scenarios
  readonly providers: Providers
  readonly installations: Installations
  readonly linkTypes: LinkTypes
  readonly objects: ProvisionedObjects
  readonly requests: Requests
  readonly submission: Submission
  readonly requestChanges: RequestChanges
  readonly requestItems: RequestItems
  readonly callDetails: CallDetails
  /** What was answered to requests that may come again. */
  readonly repetitions: RequestLog
  readonly log: Logger
}
