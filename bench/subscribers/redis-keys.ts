import type { Redis } from 'ioredis'

/** What the keys of one kind take together. */
export type KeyBytes = { readonly kind: string; readonly keys: number; readonly bytes: number }

const SCAN_COUNT = 1_000

/** All keys by kind, the part of the name behind the hash tag (`ch:{main}:sub:…` is `sub`); largest first. */
export async function bytesByKind(redis: Redis): Promise<readonly KeyBytes[]> {
  const kinds = new Map<string, { keys: number; bytes: number }>()
  for await (const names of redis.scanStream({ count: SCAN_COUNT }) as AsyncIterable<string[]>) {
    const sizes = await Promise.all(names.map((name) => redis.memory('USAGE', name, 'SAMPLES', 0)))
    for (const [index, name] of names.entries()) {
      const kind = kindOf(name)
      const found = kinds.get(kind) ?? { keys: 0, bytes: 0 }
      kinds.set(kind, { keys: found.keys + 1, bytes: found.bytes + (sizes[index] ?? 0) })
    }
  }
  return [...kinds].map(([kind, sums]) => ({ kind, ...sums })).toSorted((a, b) => b.bytes - a.bytes)
}

const kindOf = (name: string): string => /^ch:\{[^}]*\}:([^:]*)/.exec(name)?.[1] ?? name.split(':')[1] ?? name
