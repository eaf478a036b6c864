import type { IdiDeps } from '../deps.ts'
import { listAnswer } from '../list-answer.ts'
import type { AddIdi } from '../operation.ts'
import {
  InstallationItem,
  InstallationParams,
  InstallationTypeItem,
  InstallationTypeParams,
  toInstallationItem,
  toInstallationTypeItem,
} from '../schemas/installations.ts'
import { envelopeOf } from '../search-answer.ts'
import { IDI_TAGS } from '../tags.ts'

/** Installations: the versions of the gateway's adapters. They are the same in every environment. */
export function addInstallationRoutes(add: AddIdi, { installations }: IdiDeps): void {
  const tag = IDI_TAGS.installations
  add(
    'listInstallationTypes',
    {
      tag,
      summary: 'List installation types and the active version of each',
      schema: envelopeOf(InstallationTypeItem),
    },
    async () => listAnswer(await installations.types(), toInstallationTypeItem),
  )
  add(
    'listInstallations',
    {
      tag,
      summary: 'List the installations of a type',
      params: InstallationTypeParams,
      schema: envelopeOf(InstallationItem),
    },
    async ({ params }) => listAnswer(await installations.list(params.installationTypeId), toInstallationItem),
  )
  add(
    'activateInstallation',
    {
      tag,
      summary: 'Set the active installation of a type',
      description: 'One that does not run here, as after an upgrade, is refused.',
      params: InstallationParams,
    },
    ({ environment: { environmentId }, actor, params }) => installations.activate({ environmentId, actor, ...params }),
  )
}
