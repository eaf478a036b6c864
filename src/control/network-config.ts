import type * as v from 'valibot'
import type { AdapterType } from '../core/adapter.ts'
import type { SplitConfig } from '../core/network-control.ts'
import { invalidRequest, parseInput } from '../core/parse-input.ts'

/** The adapter type of this name; undefined when the gateway has none. */
export const findAdapterType = (types: readonly AdapterType[], name: string): AdapterType | undefined =>
  types.find((type) => type.name === name)

/**
 * Validates a network's `config` and parts it into what may be shown and what is kept encrypted. With
 * `known`, `config` is a change of it: a field given replaces, `null` removes, the others stay.
 * What is returned is the configuration as it was given, not as the schema transforms it, so that it can
 * be parsed again at each start. Rejects with `invalid_request` naming the field (`config.xsp.0`).
 */
export function splitConfig(type: AdapterType, config: unknown, known?: SplitConfig): SplitConfig {
  if (typeof config !== 'object' || config === null || Array.isArray(config)) {
    throw invalidRequest([{ field: 'config', message: 'must be an object' }])
  }
  const merged = new Map<string, unknown>([
    ...Object.entries(known?.config ?? {}),
    ...Object.entries(known?.secrets ?? {}),
    ...Object.entries(config),
  ])
  for (const [field, value] of merged) if (value === null) merged.delete(field)
  const parsed: unknown = parseInput(type.configSchema, Object.fromEntries(merged), 'config')
  const fields = typeof parsed === 'object' && parsed !== null ? new Set(Object.keys(parsed)) : new Set<string>()

  const shown: [string, unknown][] = []
  const secrets: [string, string][] = []
  for (const [field, value] of merged) {
    if (!type.secretFields.includes(field)) {
      if (fields.has(field)) shown.push([field, value])
    } else if (typeof value === 'string') {
      secrets.push([field, value])
    } else {
      throw invalidRequest([{ field: `config.${field}`, message: 'must be a string' }])
    }
  }
  return { config: Object.fromEntries(shown), secrets: Object.fromEntries(secrets) }
}

/** The configuration that an adapter runs with, from its two recorded parts. Rejects like {@link splitConfig}. */
export const joinConfig = <Schema extends v.GenericSchema>(
  type: AdapterType<Schema>,
  { config, secrets }: SplitConfig,
): v.InferOutput<Schema> => parseInput(type.configSchema, { ...config, ...secrets }, 'config')
