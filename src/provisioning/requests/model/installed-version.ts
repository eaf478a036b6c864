/** A version in the document's parts. */
export type InstalledVersion = {
  readonly majorVersion: number
  readonly minorVersion: number
  readonly servicePack: number
  readonly buildNumber: number
}

/** `major.minor.patch` with an optional `+build`, which is 0 unless given; undefined for anything else. */
export function parseVersion(text: string): InstalledVersion | undefined {
  const parts = /^(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:\+(\d{1,9}))?$/.exec(text)
  if (parts === null) return undefined
  const [majorVersion = 0, minorVersion = 0, servicePack = 0, buildNumber = 0] = parts
    .slice(1)
    .map((part) => Number(part ?? 0))
  return { majorVersion, minorVersion, servicePack, buildNumber }
}
