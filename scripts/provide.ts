import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { argv, env, exit, getuid, platform, stderr, stdout } from 'node:process'
import { isExecutable } from '../src/state/unpacked.ts'

/**
 * Obtains the programs that npm cannot: `node scripts/provide.ts redis postgres chromium`. What is there
 * already is left alone, in a few milliseconds and without a word. On Debian and Ubuntu root installs
 * the rest by apt-get. For anybody else the packages and the libraries that this machine lacks are
 * unpacked into `.callhalf/debian`, which needs no rights and changes nothing outside this project, even
 * where sudo would let us. Elsewhere it says what to install. Imports no package, as it may run before
 * there are any.
 */

type Component = {
  /** Debian's package. */
  readonly debianPackage: string
  /** Whether a usable program is on this machine. */
  readonly isInstalled: () => boolean
  /** The program's path in the unpacked packages, or a part of one for a folder with a version. */
  readonly unpacked: readonly string[]
  /** What to do where there is no apt-get. */
  readonly byHand: string
}

const ROOT = join(import.meta.dirname, '..')
const UNPACKED = join(ROOT, '.callhalf/debian')
const APT_STATE = join(ROOT, '.callhalf/apt')
const USUAL_FOLDERS = ['/usr/bin', '/usr/local/bin', '/opt/homebrew/bin']

// test/support/chromium.ts looks for the same.
const BROWSERS = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
const MAC_CHROME = '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'

const COMPONENTS: Readonly<Record<string, Component>> = {
  redis: {
    debianPackage: 'redis-server',
    isInstalled: () => isOnPath('redis-server') || isOnPath('valkey-server'),
    unpacked: ['usr/bin/redis-server'],
    byHand: 'brew install redis, or set REDIS_URL to a Redis 7 or later',
  },
  postgres: {
    debianPackage: 'postgresql',
    isInstalled: () => hasVersion('/usr/lib/postgresql') || isOnPath('initdb'),
    unpacked: ['usr/lib/postgresql'],
    byHand: 'brew install postgresql@17 (only the tests need it)',
  },
  chromium: {
    debianPackage: 'chromium',
    isInstalled: () => BROWSERS.some(isOnPath) || isExecutable(MAC_CHROME),
    unpacked: ['usr/lib/chromium/chromium'],
    byHand: 'install Chromium or Google Chrome (only the browser tests need it)',
  },
}

function main(names: readonly string[]): number {
  const unknown = names.filter((name) => COMPONENTS[name] === undefined)
  if (names.length === 0 || unknown.length > 0) {
    const problem = unknown.length > 0 ? `There is no component ${unknown.join(', ')}. ` : ''
    return fail(`${problem}Usage: node scripts/provide.ts ${Object.keys(COMPONENTS).join('|')} …`)
  }
  const missing = names.filter((name) => !isProvided(name))
  if (missing.length === 0) return 0
  const packages = missing.flatMap((name) => COMPONENTS[name]?.debianPackage ?? [])
  if (!isOnPath('apt-get')) {
    const advice = missing.map((name) => `  ${name}: ${COMPONENTS[name]?.byHand ?? ''}`)
    return fail(
      `Missing: ${missing.join(', ')}. There is no apt-get here, so please install by hand:\n${advice.join('\n')}`,
    )
  }
  const isRoot = getuid?.() === 0
  try {
    if (isRoot) install(packages)
    else unpack(packages, missing)
  } catch (error) {
    const advice = isRoot ? '' : `\nOr install by hand: sudo apt-get install ${packages.join(' ')}`
    return fail(
      `${packages.join(', ')} could not be obtained: ${error instanceof Error ? error.message : String(error)}${advice}`,
    )
  }
  const still = missing.filter((name) => !isProvided(name))
  return still.length === 0 ? 0 : fail(`apt-get succeeded, but these programs are not there: ${still.join(', ')}`)
}

const isProvided = (name: string): boolean => {
  const component = COMPONENTS[name]
  if (component === undefined) return false
  // The mark is written last: without it an earlier unpacking was interrupted.
  const isUnpacked = existsSync(markOf(name)) && component.unpacked.every((path) => existsSync(join(UNPACKED, path)))
  return component.isInstalled() || isUnpacked
}

const markOf = (name: string): string => join(UNPACKED, `.provided-${name}`)

function install(packages: readonly string[]): void {
  say(`Installing ${packages.join(', ')} on this machine by apt-get, as root …`)
  const apt = ['env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-qq', '-o', 'DPkg::Lock::Timeout=120']
  run([...apt, 'update'])
  run([...apt, 'install', '-y', '--no-install-recommends', ...packages])
}

/**
 * apt-get with state folders of our own finds out, from the packages that dpkg knows to be installed,
 * which ones are lacking; it downloads them and dpkg unpacks them without installing.
 */
function unpack(packages: readonly string[], names: readonly string[]): void {
  say(`Unpacking ${packages.join(', ')} into ${UNPACKED} (no root needed) …`)
  const archives = join(APT_STATE, 'cache/archives')
  mkdirSync(join(APT_STATE, 'lists/partial'), { recursive: true })
  mkdirSync(join(archives, 'partial'), { recursive: true })
  mkdirSync(UNPACKED, { recursive: true })
  const settings = [`Dir::State::lists=${APT_STATE}/lists`, `Dir::Cache=${APT_STATE}/cache`, 'Debug::NoLocking=1']
  const apt = ['apt-get', '-qq', ...settings.flatMap((setting) => ['-o', setting])]
  run([...apt, 'update'])
  run([...apt, 'install', '-y', '--download-only', '--no-install-recommends', ...packages])
  for (const file of readdirSync(archives).filter((name) => name.endsWith('.deb'))) {
    run(['dpkg', '-x', join(archives, file), UNPACKED])
  }
  for (const name of names) writeFileSync(markOf(name), '')
  rmSync(APT_STATE, { recursive: true, force: true })
}

/** Runs a command; what it prints is shown only when it fails. */
function run(command: readonly string[]): void {
  const [program = '', ...args] = command
  try {
    execFileSync(program, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: 600_000, maxBuffer: 64 * 1024 * 1024 })
  } catch (error) {
    const output = typeof error === 'object' && error !== null && 'stderr' in error ? String(error.stderr).trim() : ''
    throw new Error(`${command.join(' ')} failed:\n${output.slice(-2_000)}`, { cause: error })
  }
}

const isOnPath = (program: string): boolean =>
  [...(env['PATH'] ?? '').split(delimiter), ...USUAL_FOLDERS].some((folder) => isExecutable(join(folder, program)))

/** Debian keeps PostgreSQL's programs out of the PATH, in a folder for each version. */
const hasVersion = (folder: string): boolean =>
  platform === 'linux' &&
  existsSync(folder) &&
  readdirSync(folder).some((version) => isExecutable(join(folder, version, 'bin/initdb')))

const say = (text: string): boolean => stdout.write(`${text}\n`)

function fail(text: string): number {
  stderr.write(`${text}\n`)
  return 1
}

exit(main(argv.slice(2)))
