import { parseArgs } from 'node:util'

/**
 * Reads `--name value` for numbers and `--name` for switches; whatever `defaults` does not have is refused.
 * Numbers are positive; those in `mayBeZero` may be 0, too.
 */
export function readOptions<Defaults extends Readonly<Record<string, number | boolean>>>(
  defaults: Defaults,
  { mayBeZero = [] }: { readonly mayBeZero?: readonly (keyof Defaults & string)[] } = {},
): { readonly [Name in keyof Defaults]: Defaults[Name] extends boolean ? boolean : number } {
  const { values } = parseArgs({
    options: Object.fromEntries(
      Object.entries(defaults).map(([name, value]) => [
        name,
        typeof value === 'boolean' ? { type: 'boolean' as const } : { type: 'string' as const },
      ]),
    ),
  })
  const read = Object.entries(defaults).map(([name, value]): [string, number | boolean] => {
    const given = values[name]
    if (given === undefined) return [name, value]
    if (typeof given === 'boolean') return [name, given]
    const number = Number(given)
    const isRight = number > 0 || (given === '0' && mayBeZero.includes(name))
    if (!isRight) throw new Error(`--${name} is a ${mayBeZero.includes(name) ? 'number' : 'positive number'}`)
    return [name, number]
  })
  return Object.fromEntries(read) as { [Name in keyof Defaults]: Defaults[Name] extends boolean ? boolean : number }
}
