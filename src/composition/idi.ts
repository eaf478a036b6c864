import type { Logger } from '../core/logger.ts'
import { RequestChanges } from '../provisioning/requests/engine/request-changes.ts'
import { RequestItems } from '../provisioning/requests/engine/request-items.ts'
import { Submission } from '../provisioning/requests/engine/submission.ts'
import { AuxiliaryData } from '../provisioning/requests/store/auxiliary-data.ts'
import { DefinitionSearch } from '../provisioning/requests/store/definition-search.ts'
import { Definitions } from '../provisioning/requests/store/definitions.ts'
import type { Environments } from '../provisioning/requests/store/environments.ts'
import { GlobalInformation } from '../provisioning/requests/store/global-information.ts'
import { Installations } from '../provisioning/requests/store/installations.ts'
import { LinkTypes } from '../provisioning/requests/store/link-types.ts'
import type { InstalledAdapter } from '../provisioning/requests/store/provider-registry.ts'
import { ProvisionedObjects } from '../provisioning/requests/store/provisioned-objects.ts'
import { Providers } from '../provisioning/requests/store/providers.ts'
import { Variables } from '../provisioning/requests/store/variables.ts'
import { ProfileDefinitions } from '../provisioning/requests/store/profile-definitions.ts'
import { Profiles } from '../provisioning/requests/store/profiles.ts'
import { Scenarios } from '../provisioning/requests/store/scenarios.ts'
import { CallDetails } from '../provisioning/requests/store/call-details.ts'
import { Requests } from '../provisioning/requests/store/requests.ts'
import { Safeguards } from '../provisioning/requests/store/safeguards.ts'
import { RequestLog } from '../provisioning/store/idempotency.ts'
import type { ProvisioningDatabase } from '../provisioning/store/database.ts'
import type { Cipher } from '../records/cipher.ts'

type IdiParts = {
  readonly database: ProvisioningDatabase
  readonly cipher: Cipher
  readonly adapters: readonly InstalledAdapter[]
  readonly environments: Environments
  /** Provisioning requests may have become due. */
  readonly onRequestsDue: () => void
  readonly log: Logger
}

/** What the IDI API is about. */
export function buildIdi({ database, cipher, adapters, environments, onRequestsDue, log }: IdiParts) {
  const parts = { database, secret: cipher.hash('OData skip tokens') }
  return {
    environments,
    auxiliaryData: new AuxiliaryData(parts),
    definitions: new Definitions(database),
    definitionSearch: new DefinitionSearch(parts),
    variables: new Variables(database),
    globalInformation: new GlobalInformation(parts, cipher),
    profiles: new Profiles(parts),
    profileDefinitions: new ProfileDefinitions(parts),
    scenarios: new Scenarios(parts),
    providers: new Providers(parts),
    installations: new Installations(database, adapters),
    safeguards: new Safeguards(parts, onRequestsDue),
    linkTypes: new LinkTypes(parts),
    objects: new ProvisionedObjects(parts),
    requests: new Requests(parts),
    submission: new Submission({ database, wake: onRequestsDue }),
    requestChanges: new RequestChanges({ database, wake: onRequestsDue }),
    requestItems: new RequestItems(parts),
    callDetails: new CallDetails(parts),
    repetitions: new RequestLog(database),
    log,
  }
}
