import { loadavg } from 'node:os'

/** Milliseconds since the epoch with fractions, comparable between the processes of one machine. */
export const preciseNow = (): number => performance.timeOrigin + performance.now()

export type Summary = {
  readonly count: number
  readonly min: number
  readonly p50: number
  readonly p99: number
  readonly max: number
}

/** NaN where there is nothing to measure, which meets no condition. */
export function summarise(values: readonly number[]): Summary {
  const sorted = Float64Array.from(values).toSorted()
  const at = (ratio: number) => sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * ratio) - 1)] ?? Number.NaN
  return {
    count: sorted.length,
    min: sorted[0] ?? Number.NaN,
    p50: at(0.5),
    p99: at(0.99),
    max: sorted.at(-1) ?? Number.NaN,
  }
}

export const median = (values: readonly number[]): number => summarise(values).p50

/** The machine's load now: figures of a busy machine are ratios, not milliseconds. */
export const machineLoad = (): string => (loadavg()[0] ?? 0).toFixed(2)

export const say = (line = ''): void => {
  process.stdout.write(`${line}\n`)
}

/** Prints rows under headings, numbers to the right. */
export function printTable(headings: readonly string[], rows: readonly (readonly (string | number)[])[]): void {
  const text = rows.map((row) => row.map((cell) => (typeof cell === 'number' ? formatNumber(cell) : cell)))
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...text.map((row) => row[column]?.length ?? 0)),
  )
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
      .trimEnd()
  say(line(headings))
  for (const row of text) say(line(row))
}

export const formatNumber = (value: number): string => {
  if (Number.isInteger(value)) return String(value)
  return value.toFixed(Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2)
}

/** One thing that a program has to show. */
export type Condition = { readonly what: string; readonly holds: boolean; readonly seen: string }

/** Prints which conditions hold; the process exits with 1 unless all do. */
export function conclude(conditions: readonly Condition[]): void {
  say()
  for (const { what, holds, seen } of conditions) say(`${holds ? 'ok    ' : 'MISSED'}  ${what}: ${seen}`)
  if (conditions.some(({ holds }) => !holds)) process.exitCode = 1
}
