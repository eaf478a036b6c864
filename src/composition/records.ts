import { systemClock } from '../core/clock.ts'
import { Apps } from '../records/apps.ts'
import { Cipher } from '../records/cipher.ts'
import { Records } from '../records/connection.ts'
import { Deliveries } from '../records/deliveries.ts'
import { RecordsDirectory } from '../records/directory.ts'
import { Endpoints } from '../records/endpoints.ts'
import { IdempotencyLog } from '../records/idempotency.ts'
import { Networks } from '../records/networks.ts'
import { OperatorEvents } from '../records/operator-events.ts'
import { Subscribers } from '../records/subscribers.ts'
import type { Base } from './base.ts'

/** PostgreSQL or PGlite, and the repositories on it. */
export function buildRecords({ config, secrets, log }: Base) {
  const { databaseUrl } = config.secrets
  const records = new Records({
    ...(databaseUrl !== undefined && { databaseUrl }),
    dataDir: config.records.dataDir,
    poolSize: config.records.poolSize,
    cipher: new Cipher([secrets.secretKey]),
    clock: systemClock,
    log: log.child({ component: 'records' }),
  })
  const directory = new RecordsDirectory({ records, clock: systemClock, log: log.child({ component: 'directory' }) })
  const idempotency = new IdempotencyLog(records, log.child({ component: 'idempotency' }))
  return {
    records,
    directory,
    idempotency,
    apps: new Apps(records, directory),
    networks: new Networks(records, directory),
    subscribers: new Subscribers(records, directory),
    endpoints: new Endpoints(records, directory),
    deliveries: new Deliveries(records),
    operatorEvents: new OperatorEvents(records),
    services: [records, directory, idempotency],
  }
}

export type RecordParts = ReturnType<typeof buildRecords>
