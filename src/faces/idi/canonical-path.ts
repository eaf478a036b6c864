import { IDI_BASE, IDI_ROUTES, type IdiRoute } from './route-table.ts'

/** Segments in lower case; of a parameter, which can be anything, undefined. */
type Pattern = { readonly literals: readonly (string | undefined)[]; readonly segments: readonly string[] }

const toPattern = (path: string): Pattern => {
  const segments = path.split('/')
  return { segments, literals: segments.map((segment) => (isParameter(segment) ? undefined : segment.toLowerCase())) }
}
const isParameter = (segment: string): boolean => segment.startsWith('{')

const BASE = toPattern(IDI_BASE)
const ROOT = BASE.segments[1] ?? ''
const PATTERNS: readonly Pattern[] = Object.values<IdiRoute>(IDI_ROUTES)
  .flatMap((route) => [route, ...(route.aliases ?? [])])
  .map(({ path }) => toPattern(`${IDI_BASE}/${path}`))

/** Whether a path is below what all paths of the API have in common, in whatever case that is written. */
export const isIdiPath = (path: string): boolean => /^\/([^/]*)/.exec(path)?.[1]?.toLowerCase() === ROOT.toLowerCase()

/**
 * The path as the routes have it: literal segments in the case of the route table, whatever case they were written
 * in; parameters, and what no route has, as they are. A slash at the end means nothing. Paths that are not of the API
 * are left alone.
 */
export function toCanonicalIdiPath(path: string): string {
  if (!isIdiPath(path)) return path
  const given = path.replace(/\/$/, '').split('/')
  const lower = given.map((segment) => segment.toLowerCase())
  const pattern = mostLiteral(PATTERNS.filter((candidate) => fits(candidate, lower))) ?? BASE
  return given.map((segment, index) => (isSame(pattern, lower, index) ? pattern.segments[index] : segment)).join('/')
}

const fits = ({ literals }: Pattern, lower: readonly string[]): boolean =>
  literals.length === lower.length &&
  literals.every((literal, index) => literal === undefined || literal === lower[index])

/** Of `variable/{id}` and `variable/all`, the latter: that is what the caller can have meant. */
const mostLiteral = (patterns: readonly Pattern[]): Pattern | undefined =>
  patterns.toSorted((left, right) => parameters(left) - parameters(right))[0]
const parameters = ({ literals }: Pattern): number => literals.filter((literal) => literal === undefined).length

const isSame = ({ literals }: Pattern, lower: readonly string[], index: number): boolean =>
  literals[index] !== undefined && literals[index] === lower[index]
