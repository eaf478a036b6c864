import type { Registry } from 'prom-client'
import type { Config } from '../config.ts'
import type { Logger } from '../core/logger.ts'
import type { Secrets } from '../secrets.ts'

/** What nearly every part takes. */
export type Base = {
  readonly config: Config
  readonly secrets: Secrets
  readonly registry: Registry
  readonly log: Logger
}

export const USER_AGENT = 'Callhalf/0.1'
