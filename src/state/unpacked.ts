import { accessSync, constants } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

/** Where packages keep shared libraries; Debian's older ones still have some in `/lib`. */
const LIBRARY_ROOTS = ['usr/lib', 'lib']
/** `lib` itself, `lib/x86_64-linux-gnu`, `lib/x86_64-linux-gnu/pulseaudio`. */
const DEPTH_MAX = 2

/**
 * The folders of shared libraries in a folder into which `scripts/provide.ts` unpacked Debian packages,
 * as LD_LIBRARY_PATH wants them. An unpacked program finds its libraries in no other way: nothing has
 * made the links or the cache that an installation makes.
 */
export async function libraryPathOf(unpackedDir: string): Promise<string> {
  const found = await Promise.all(LIBRARY_ROOTS.map((root) => foldersWithLibraries(join(unpackedDir, root), DEPTH_MAX)))
  return found.flat().join(':')
}

async function foldersWithLibraries(folder: string, depth: number): Promise<readonly string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => [])
  const nested = depth === 0 ? [] : entries.filter((entry) => entry.isDirectory())
  const below = await Promise.all(nested.map(({ name }) => foldersWithLibraries(join(folder, name), depth - 1)))
  const holdsLibraries = entries.some((entry) => !entry.isDirectory() && /\.so(\.|$)/.test(entry.name))
  return [...(holdsLibraries ? [folder] : []), ...below.flat()]
}

/** Whether there is a file that we may run. */
export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
