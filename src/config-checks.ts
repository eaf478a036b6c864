import { ROLES, splitList, VARIABLES } from './config-variables.ts'

/** Variables of the other commands, which may well be set where the gateway runs. */
const OTHER_VARIABLES = new Set([
  'CALLHALF_API_KEY',
  'CALLHALF_APP_ID',
  'CALLHALF_SIMULATOR_CONTROL_PORT',
  'CALLHALF_SIMULATOR_PORT',
  'CALLHALF_URL',
])

/**
 * What is wrong with the variables that are set, besides what each of them must be by itself: names that are
 * none, and variables that are missing next to others. One sentence for each problem.
 */
export function checkVariables(given: Readonly<Record<string, string | undefined>>): readonly string[] {
  return [...findUnknown(Object.keys(given)), ...findUnshared(given), ...findUnpaired(given)]
}

/** The names that are no variables: a misspelt one would be ignored in silence otherwise. */
function findUnknown(names: readonly string[]): readonly string[] {
  const known = Object.keys(VARIABLES)
  return names
    .filter((name) => name.startsWith('CALLHALF_') && !known.includes(name) && !OTHER_VARIABLES.has(name))
    .map((name) => {
      const close = known.find((candidate) => editDistance(candidate, name) <= 3)
      return `${name} is not a variable of Callhalf${close === undefined ? '' : `: did you mean ${close}?`}`
    })
}

/** Processes that share the work must share the stores; the embedded ones serve one process. */
function findUnshared(given: Readonly<Record<string, string | undefined>>): readonly string[] {
  const roles = given['CALLHALF_ROLES']
  if (roles === undefined || ROLES.every((role) => splitList(roles).includes(role))) return []
  return ['REDIS_URL', 'DATABASE_URL']
    .filter((name) => given[name] === undefined)
    .map((name) => `${name} must be set when CALLHALF_ROLES leaves roles to other processes`)
}

/** Of each pair, both or none. */
const PAIRS = [
  // The API would be in the clear.
  { names: ['CALLHALF_TLS_CERT', 'CALLHALF_TLS_KEY'], reason: 'TLS needs the certificate and its key' },
  {
    names: ['CALLHALF_ZIPWHIP_PROVIDER_URL', 'CALLHALF_ZIPWHIP_PROVIDER_KEY'],
    reason: 'a Zipwhip server needs its URL and the key for it',
  },
] as const

function findUnpaired(given: Readonly<Record<string, string | undefined>>): readonly string[] {
  return PAIRS.flatMap(({ names, reason }) => {
    const missing = names.filter((name) => given[name] === undefined)
    return missing.length === 1 ? [`${missing.join()} must be set, too: ${reason}`] : []
  })
}

/** Levenshtein distance, one row at a time. */
function editDistance(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_unused, index) => index)
  for (const [i, leftCharacter] of left.split('').entries()) {
    const next = [i + 1]
    for (const [j, rightCharacter] of right.split('').entries()) {
      const replaced = (row[j] ?? 0) + (leftCharacter === rightCharacter ? 0 : 1)
      next.push(Math.min(replaced, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1))
    }
    row = next
  }
  return row.at(-1) ?? 0
}
