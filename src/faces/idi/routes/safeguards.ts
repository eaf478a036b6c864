import type { IdiDeps } from '../deps.ts'
import type { AddIdi } from '../operation.ts'
import { AllowedIdItem, AllowedIdsBody, toAllowedIdChange, toAllowedIdItem } from '../schemas/safeguards.ts'
import { addSearch } from '../search-operation.ts'
import { IDI_TAGS } from '../tags.ts'

/** Safeguards: what keeps requests from providers. A new environment has them enabled. */
export function addSafeguardRoutes(add: AddIdi, { safeguards }: IdiDeps): void {
  const tag = IDI_TAGS.safeguards
  addSearch(add, {
    name: 'listAllowedInternalIds',
    tag,
    summary: 'List the internal ids that are allowed',
    item: AllowedIdItem,
    toItem: toAllowedIdItem,
    search: ({ environment, query }) => safeguards.search(environment.environmentId, query),
  })
  add(
    'updateAllowedInternalIds',
    {
      tag,
      summary: 'Allow internal ids, or allow them no longer',
      description: 'Only those in the list change. Requests that were held for one that is allowed now are sent.',
      body: AllowedIdsBody,
    },
    ({ environment: { environmentId }, actor, body }) =>
      safeguards.update({ environmentId, actor, changes: body.map(toAllowedIdChange) }),
  )
  add(
    'disableSafeguard',
    { tag, summary: 'Let all requests reach providers', description: 'Those that are held are sent.' },
    ({ environment: { environmentId }, actor }) => safeguards.set({ environmentId, actor, isEnabled: false }),
  )
  add(
    'enableSafeguard',
    { tag, summary: 'Let only requests of allowed internal ids reach providers' },
    ({ environment: { environmentId }, actor }) => safeguards.set({ environmentId, actor, isEnabled: true }),
  )
}
