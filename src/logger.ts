import { pino, stdSerializers } from 'pino'
import type { Logger } from './core/logger.ts'

/** Fields that must never be printed, should one ever be logged by mistake. */
const REDACTED = ['authorization', 'password', 'secret', 'apiKey', 'cookie', 'token']

/** JSON lines on standard error: standard output belongs to the command line's own words. */
export const createLogger = (level: string): Logger =>
  pino(
    {
      level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: stdSerializers.err },
      redact: { paths: REDACTED.flatMap((name) => [name, `*.${name}`]), censor: '[redacted]' },
    },
    process.stderr,
  )
