import { execFileSync } from 'node:child_process'
import { globSync } from 'node:fs'

/**
 * Runs dependency-cruiser over src/ and proves that it looked: the number of modules it reports must be
 * at least the number of source files, because a cruise without a TypeScript parser sees none and passes.
 */
const output = execFileSync('depcruise', ['src', '--config', '.dependency-cruiser.cjs', '--output-type', 'json'], {
  encoding: 'utf8',
  maxBuffer: 64 * 1024 * 1024,
})
const { modules, summary } = JSON.parse(output) as {
  modules: { source: string }[]
  summary: { violations: { rule: { name: string }; from: string; to: string }[] }
}
const files = globSync('src/**/*.ts').map((path) => path.replaceAll('\\', '/'))
const seen = new Set(modules.map((module) => module.source))
const missed = files.filter((path) => !seen.has(path))
for (const { rule, from, to } of summary.violations) process.stderr.write(`${rule.name}: ${from} -> ${to}\n`)
if (missed.length > 0) process.stderr.write(`not seen by the dependency check: ${missed.slice(0, 5).join(', ')}\n`)
if (summary.violations.length > 0 || missed.length > 0) process.exitCode = 1
else process.stdout.write(`dependency rules hold over ${files.length} source files\n`)
