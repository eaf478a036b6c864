import type { ProvisioningDatabase } from '../../src/provisioning/store/database.ts'
import { searchAvailable, type NumberSearch } from '../../src/provisioning/store/numbers-search.ts'
import { summarise, type Summary } from '../webhooks/rig/figures.ts'
import type { Inventory } from './inventory.ts'

const PAGE = 100

/** A number below `bound`, the same in every run. */
export type Draw = (bound: number) => number
export function drawFrom(seed: number): Draw {
  let state = seed
  return (bound) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * bound)
  }
}

type Kind = { readonly name: string; readonly make: (draw: Draw, inventory: Inventory) => NumberSearch }

const digits = (draw: Draw, count: number): string => Array.from({ length: count }, () => draw(10)).join('')
const areaOf = (draw: Draw, { areas }: Inventory): string => areas[draw(areas.length)] ?? ''
const COUNTRIES = ['US', 'GB', 'DE', 'FR']
const us = { countryCode: 'US', limit: PAGE }

/** What is asked for, one of each in turn. */
const KINDS: readonly Kind[] = [
  { name: 'country', make: (draw) => ({ countryCode: COUNTRIES[draw(4)] ?? '', limit: PAGE }) },
  {
    name: 'country, a page far behind',
    make: (draw, inventory) => ({ ...us, after: `+1${areaOf(draw, inventory)}555${digits(draw, 4)}` }),
  },
  { name: 'area code', make: (draw, inventory) => ({ ...us, areaCode: areaOf(draw, inventory) }) },
  {
    name: 'city and feature',
    make: (draw, inventory) => ({ ...us, cityId: `cty_${areaOf(draw, inventory)}`, features: ['mms'] }),
  },
  { name: 'product', make: (draw) => ({ productId: `prd_${['us', 'free', 'gb', 'de', 'fr'][draw(5)]}`, limit: PAGE }) },
  { name: 'type', make: () => ({ ...us, type: 'tollFree' }) },
  { name: 'features that only the last have', make: () => ({ ...us, features: ['fax'] }) },
  { name: 'features that nobody has', make: () => ({ ...us, features: ['fax', 'mms'] }) },
  { name: 'starts with 4', make: (draw, inventory) => ({ ...us, startsWith: `${areaOf(draw, inventory)}5` }) },
  {
    name: 'starts with 8, any country',
    make: (draw, inventory) => ({ limit: PAGE, startsWith: `${areaOf(draw, inventory)}555${digits(draw, 2)}` }),
  },
  { name: 'ends with 2', make: (draw) => ({ ...us, endsWith: digits(draw, 2) }) },
  { name: 'ends with 4', make: (draw) => ({ ...us, endsWith: digits(draw, 4) }) },
  { name: 'contains 3', make: (draw) => ({ ...us, contains: digits(draw, 3) }) },
  { name: 'contains 5', make: (draw) => ({ ...us, contains: digits(draw, 5) }) },
  { name: 'contains 4, any country', make: (draw) => ({ limit: PAGE, contains: digits(draw, 4) }) },
  { name: 'contains 4 and feature', make: (draw) => ({ ...us, contains: digits(draw, 4), features: ['sms'] }) },
  {
    name: 'a row of 4 in an area',
    make: (draw, inventory) => ({ ...us, areaCode: areaOf(draw, inventory), consecutive: 4 }),
  },
  {
    name: 'near a number',
    make: (draw, inventory) => ({ limit: 20, nearNumber: `+1${areaOf(draw, inventory)}555${digits(draw, 4)}` }),
  },
]

export type SearchFigures = { readonly kinds: readonly (readonly [string, Summary])[]; readonly all: Summary }

/** One after the other, `rounds` of each kind; milliseconds. */
export async function measureSearches(
  database: ProvisioningDatabase,
  inventory: Inventory,
  rounds: number,
): Promise<SearchFigures> {
  const draw = drawFrom(1)
  const times = new Map<string, number[]>(KINDS.map(({ name }) => [name, []]))
  for (let round = 0; round < rounds + 1; round += 1) {
    for (const { name, make } of KINDS) {
      const search = make(draw, inventory)
      const startedAt = performance.now()
      await database.query((db) => searchAvailable(db, search))
      // The first of each finds neither pages nor plans.
      if (round > 0) times.get(name)?.push(performance.now() - startedAt)
    }
  }
  return {
    kinds: [...times].map(([name, values]) => [name, summarise(values)] as const),
    all: summarise([...times.values()].flat()),
  }
}
