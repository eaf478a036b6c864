import { readFile } from 'node:fs/promises'
import * as v from 'valibot'

const ProfileSchema = v.object({
  nodes: v.array(
    v.object({
      id: v.number(),
      callFrame: v.object({ functionName: v.string(), url: v.string(), lineNumber: v.number() }),
      children: v.optional(v.array(v.number())),
    }),
  ),
  samples: v.array(v.number()),
  timeDeltas: v.array(v.number()),
})

/** A function with the time that it took itself, in microseconds. */
export type Cost = {
  readonly name: string
  /** `src/streams/hub.ts:12`, `node_modules/undici/lib/x.js:3`, `node:net`, or `native`. */
  readonly place: string
  readonly selfUs: number
  /** What it was called from, the nearest first, as places without lines. */
  readonly callers: readonly string[]
}

export type Profile = {
  readonly costs: readonly Cost[]
  /** Time that was not idle. */
  readonly busyUs: number
}

/** What V8 calls its own doings, which no call leads to. */
const GC = '(garbage collector)'
const PROGRAM = '(program)'
/** The profiler's own work. */
const PROFILER = 'node:inspector'

/** Reads a CPU profile of V8's (`--cpu-prof`, or the inspector's). */
export async function readProfile(path: string): Promise<Profile> {
  const { nodes, samples, timeDeltas } = v.parse(ProfileSchema, JSON.parse(await readFile(path, 'utf8')))
  const self = new Map<number, number>()
  for (const [index, id] of samples.entries()) self.set(id, (self.get(id) ?? 0) + Math.max(0, timeDeltas[index] ?? 0))
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)))
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const fileOf = (id: number) => fileName(byId.get(id)?.callFrame.url ?? '')
  const costs = nodes.flatMap(({ id, callFrame }): readonly Cost[] => {
    const selfUs = self.get(id) ?? 0
    if (selfUs === 0 || callFrame.functionName === '(idle)' || callFrame.url === PROFILER) return []
    const callers: string[] = []
    for (let parent = parents.get(id); parent !== undefined; parent = parents.get(parent)) callers.push(fileOf(parent))
    const file = fileName(callFrame.url)
    const place = file === 'native' || file.startsWith('node:') ? file : `${file}:${callFrame.lineNumber + 1}`
    return [{ name: callFrame.functionName || '(anonymous)', place, selfUs, callers }]
  })
  return { costs, busyUs: costs.reduce((sum, { selfUs }) => sum + selfUs, 0) }
}

/**
 * The same with `cpuUs` in all: the profiler goes by the clock, which also runs while the thread waits for a
 * processor that others use.
 */
export function scale({ costs, busyUs }: Profile, cpuUs: number): Profile {
  const factor = Math.min(1, cpuUs / busyUs)
  return { costs: costs.map((cost) => ({ ...cost, selfUs: cost.selfUs * factor })), busyUs: busyUs * factor }
}

/** Costs of the same function added up, whoever called it, largest first. */
export function byFunction(costs: readonly Cost[]): readonly Cost[] {
  const sums = Map.groupBy(costs, ({ name, place }) => `${name} ${place}`)
  return [...sums.values()]
    .flatMap((same) => (same[0] === undefined ? [] : [{ ...same[0], selfUs: total(same) }]))
    .toSorted((a, b) => b.selfUs - a.selfUs)
}

/** Costs by folder of src, package, part of Node, or kind of native work; largest first. */
export function byFolder(
  costs: readonly Cost[],
): readonly { readonly folder: string; readonly costs: readonly Cost[] }[] {
  return [...Map.groupBy(costs, folderOf)]
    .map(([folder, of]) => ({ folder, costs: of }))
    .toSorted((a, b) => total(b.costs) - total(a.costs))
}

/** Costs that no stage leads to, by the package on whose behalf they arise, or as {@link byFolder} has it. */
export function byOwner(
  costs: readonly Cost[],
): readonly { readonly folder: string; readonly costs: readonly Cost[] }[] {
  const owned = costs.map((cost) => {
    const owner = [cost.place, ...cost.callers].find((place) => place.startsWith('node_modules/'))
    return owner === undefined ? cost : { ...cost, place: owner }
  })
  return byFolder(owned)
}

export const total = (costs: readonly Cost[]): number => costs.reduce((sum, { selfUs }) => sum + selfUs, 0)

function folderOf({ name, place }: Cost): string {
  if (name === GC) return 'native: garbage collector'
  if (name === PROGRAM) return 'native: event loop'
  if (place === 'native') return 'native: built-in functions'
  const [first = '', second = '', third = ''] = place.split('/')
  if (first === 'node_modules') return `node_modules/${second.startsWith('@') ? `${second}/${third}` : second}`
  if (first === 'src') return third === '' ? 'src' : `src/${second}`
  return place.startsWith('node:internal/') ? place.split('/').slice(0, 2).join('/').replace(/:\d+$/, '') : place
}

/** From the checkout on; `native` for what has no file. */
function fileName(url: string): string {
  if (url === '') return 'native'
  const inPackage = /node_modules\/(?!.*node_modules\/)(.*)$/.exec(url)?.[1]
  if (inPackage !== undefined) return `node_modules/${inPackage}`
  return /\/((?:src|bin|bench)\/.*)$/.exec(url)?.[1] ?? url
}

/** A part of the pipeline, as the gateway's files divide it. */
export const STAGES = [
  'framing',
  'parse',
  'normalise',
  'reduce + commit',
  'log read',
  'fan-out',
  'deliver',
  'records',
  'ack',
] as const
export type Stage = (typeof STAGES)[number]

const STAGE_FILES: readonly (readonly [RegExp, Stage])[] = [
  [/^src\/broadsoft\/(framer|channel)\.ts/, 'framing'],
  [/^src\/broadsoft\/(parse|document|call-element|charset)\.ts|^node_modules\/saxes\//, 'parse'],
  [/^src\/broadsoft\/(normalize|address)\.ts/, 'normalise'],
  [
    /^src\/(ingest\.ts|core\/(transition|subscriber|turns|call)|state\/(calls|subscriber-hash|generations)\.ts)/,
    'reduce + commit',
  ],
  [/^src\/broadsoft\/(intake|gap|coverage)/, 'reduce + commit'],
  [/^src\/broadsoft\/(acknowledger|channel-requests|client|build|cookie-jar|deadline|credential-gate)/, 'ack'],
  [/^src\/state\/event-log\.ts/, 'log read'],
  [/^src\/(streams\/|http\/stream-)|^node_modules\/ws\//, 'fan-out'],
  [/^src\/webhooks\/record|^src\/records\/|^node_modules\/(pg|kysely)/, 'records'],
  [/^src\/webhooks\/|^node_modules\/bullmq\//, 'deliver'],
]

/** The stage that a cost belongs to: that of the nearest caller which has one; undefined for what none leads to. */
export function stageOf({ place, callers }: Cost): Stage | undefined {
  for (const file of [place, ...callers]) {
    const found = STAGE_FILES.find(([pattern]) => pattern.test(file))
    if (found !== undefined) return found[1]
  }
  return undefined
}
