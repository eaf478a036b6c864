import { pino } from 'pino'
import type { Logger } from './core/logger.ts'

/** Fields that must never be printed, should one ever be logged by mistake. */
const REDACTED = ['authorization', 'password', 'secret', 'apiKey', 'cookie', 'token']
const CAUSES_MAX = 5

/** JSON lines on standard error: standard output belongs to the command line's own words. */
export const createLogger = (level: string, destination: { write(line: string): void } = process.stderr): Logger =>
  pino(
    {
      level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: (error: unknown) => describeError(error, CAUSES_MAX) },
      redact: { paths: REDACTED.flatMap((name) => [name, `*.${name}`]), censor: '[redacted]' },
    },
    destination,
  )

/**
 * What is logged of an error: its words and place, and the same of its causes. Never its other properties:
 * a Redis client's error carries the command that failed, with the password or a payload in it.
 */
function describeError(error: unknown, causesLeft: number): unknown {
  if (!(error instanceof Error)) return { message: String(error) }
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined
  const inner = error instanceof AggregateError ? error.errors : undefined
  return {
    type: error.name,
    message: error.message,
    ...(code !== undefined && { code }),
    stack: error.stack,
    ...(error.cause !== undefined && causesLeft > 0 && { cause: describeError(error.cause, causesLeft - 1) }),
    ...(inner !== undefined && causesLeft > 0 && { errors: inner.map((each) => describeError(each, causesLeft - 1)) }),
  }
}
