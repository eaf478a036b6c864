import { parseArgs, type ParseArgsConfig } from 'node:util'
import * as v from 'valibot'

/** What was typed cannot be understood; the message is for the person who typed it. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

type Options = NonNullable<ParseArgsConfig['options']>

/** The options among `args`. Throws {@link UsageError} for unknown ones, and for anything that is not one. */
export function readOptions<const Known extends Options>(args: readonly string[], options: Known) {
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: false }).values
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

/** A whole number between the bounds. Throws {@link UsageError} naming the option. */
export function readWholeNumber(
  name: string,
  text: string,
  bounds: { readonly min: number; readonly max: number },
): number {
  const { min, max } = bounds
  const parsed = v.safeParse(
    v.pipe(v.string(), v.regex(/^\d{1,9}$/), v.transform(Number), v.minValue(min), v.maxValue(max)),
    text,
  )
  if (!parsed.success) throw new UsageError(`${name} must be a whole number from ${min} to ${max}`)
  return parsed.output
}

/** A port; 0 stands for any free one. */
export const readPort = (name: string, text: string): number => readWholeNumber(name, text, { min: 0, max: 65_535 })
