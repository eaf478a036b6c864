import * as v from 'valibot'
import type { Installation, InstallationType } from '../../../provisioning/requests/store/installations.ts'
import { id, idInPath, present, timestamp } from './fields.ts'

const part = v.pipe(v.number(), v.integer(), v.minValue(0))

export const InstallationTypeParams = v.strictObject({ installationTypeId: idInPath('installation type') })
export const InstallationParams = v.strictObject({
  ...InstallationTypeParams.entries,
  installationId: idInPath('installation'),
})

/** An adapter, with its active version; in the document this alone begins with capital letters. */
export const InstallationTypeItem = v.object({
  ActiveInstallation: v.optional(v.string()),
  ActiveInstallationID: v.optional(id),
  DisplayName: v.string(),
  InstallationTypeID: id,
  Name: v.string(),
})
export const toInstallationTypeItem = (row: InstallationType): v.InferOutput<typeof InstallationTypeItem> => ({
  ...present({ ActiveInstallation: row.active_name, ActiveInstallationID: row.active_id }),
  DisplayName: row.display_name,
  InstallationTypeID: row.installation_type_id,
  Name: row.name,
})

/** A version of an adapter. */
export const InstallationItem = v.object({
  buildNumber: part,
  description: v.string(),
  installationDate: timestamp,
  installationID: id,
  installationTypeID: id,
  isActive: v.boolean(),
  majorVersion: part,
  minorVersion: part,
  name: v.string(),
  servicePack: part,
})
export const toInstallationItem = (row: Installation): v.InferOutput<typeof InstallationItem> => ({
  buildNumber: row.build_number,
  description: row.description,
  installationDate: row.installed_at.toISOString(),
  installationID: row.installation_id,
  installationTypeID: row.installation_type_id,
  isActive: row.is_active,
  majorVersion: row.major_version,
  minorVersion: row.minor_version,
  name: row.name,
  servicePack: row.service_pack,
})
