import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { chromium, type Browser } from 'playwright-core'
import { isExecutable, libraryPathOf } from '../../src/state/unpacked.ts'

const UNPACKED = join(import.meta.dirname, '../../.callhalf/debian')
// What scripts/provide.ts takes for a browser, too.
const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
const USUAL_FOLDERS = ['/usr/bin', '/usr/local/bin', '/opt/homebrew/bin']
const MAC_CHROME = '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'

const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** Starts a browser without a window; close it in `afterAll`. */
export async function launchChromium(): Promise<Browser> {
  return chromium.launch({ ...(await findChromium()), args: ARGS })
}

/** A program and the environment that it needs, which is ours unless given. */
type ChromiumProgram = { readonly executablePath: string; readonly env?: Record<string, string> }

/**
 * The browser to use: on the search path, in the usual places, or unpacked by `npm run provide`. Throws
 * with what to do when there is none.
 */
async function findChromium(): Promise<ChromiumProgram> {
  const searchPath = process.env['PATH'] ?? ''
  const places = [...searchPath.split(delimiter).filter((folder) => folder !== ''), ...USUAL_FOLDERS]
  const installed = [...places.flatMap((folder) => NAMES.map((name) => join(folder, name))), MAC_CHROME]
  const executablePath = installed.find(isExecutable)
  if (executablePath !== undefined) return { executablePath }
  const unpacked = join(UNPACKED, 'usr/lib/chromium/chromium')
  if (!isExecutable(unpacked)) {
    throw new Error('These tests need Chromium: `npm run provide -- chromium` installs or unpacks it.')
  }
  const fontsConfig = join(UNPACKED, 'etc/fonts')
  return {
    executablePath: unpacked,
    env: {
      PATH: searchPath,
      HOME: process.env['HOME'] ?? '',
      LD_LIBRARY_PATH: await libraryPathOf(UNPACKED),
      // Fonts are unpacked only if the machine has none; fontconfig looks for them below XDG_DATA_HOME, too.
      ...(existsSync(fontsConfig) && { FONTCONFIG_PATH: fontsConfig }),
      XDG_DATA_HOME: join(UNPACKED, 'usr/share'),
    },
  }
}
