import { randomUUID } from 'node:crypto'
import type { Registry } from 'prom-client'
import { systemClock } from '../core/clock.ts'
import type { Directory } from '../core/directory.ts'
import type { EventLog } from '../core/event-log.ts'
import type { Logger } from '../core/logger.ts'
import { EventRelay } from '../provisioning/engine/event-relay.ts'
import { toProvisioningDatabase } from '../provisioning/store/database.ts'
import type { Records } from '../records/connection.ts'

/** What tells apps of orders and numbers: from the provisioning tables to the logs in Redis. */
export function buildEventRelay(base: {
  readonly registry: Registry
  readonly log: Logger
  readonly records: Records
  readonly directory: Pick<Directory, 'app'>
  readonly eventLog: Pick<EventLog, 'append'>
}): EventRelay {
  const { registry, log, records, directory, eventLog } = base
  return new EventRelay({
    database: toProvisioningDatabase(records),
    directory,
    eventLog,
    clock: systemClock,
    log: log.child({ component: 'event-relay' }),
    registry,
    holder: randomUUID(),
  })
}
