import { sql } from 'kysely'
import type { ProvisioningDatabase } from '../../src/provisioning/store/database.ts'

export const ACCOUNTS = 20_000
export const STATUSES = ['Submitted', 'In Progress', 'Complete', 'In Error', 'Cancelled', 'Held'] as const
export const CODES = ['VoiceMail', 'HostedSeat', 'Trunk', 'HuntGroup', 'Fax'] as const
export const PROFILES = 40
/** Days over which requests were made, up to today. */
export const DAYS = 700

/**
 * Makes `total` requests, all but a tenth of them in one environment, whose id is the result: most are complete, some
 * object codes are rare, accounts have about 50 each, every fifth has a link, and times go with ids, but not exactly.
 */
export async function makeRequests(database: ProvisioningDatabase, total: number): Promise<number> {
  const statements = [
    sql`insert into environments (environment_id, name) overriding system value values (1001, 'large'), (1002, 'small')`,
    sql`insert into profiles (profile_id, environment_id, name, created_by, modified_by) overriding system value
      select 1000 + n, 1001 + n % 2, 'Profile ' || n, 'bench', 'bench' from generate_series(1, ${2 * PROFILES}::int4) n`,
    sql`insert into link_types (environment_id, link_type_id, name)
      select environment_id, n, 'Type ' || n from generate_series(1, 4) n, unnest(array[1001, 1002]) environment_id`,
    sql`insert into provisioning_requests (environment_id, account_number, account_name, profile_id, object_code,
        internal_id, status_id, status_note, is_read_only, created_at, created_by, modified_at, modified_by, completed_at)
      select e, case when h % 50 > 0 then 1000000 + h % ${ACCOUNTS}::int4 end, 'Account ' || h % ${ACCOUNTS}::int4,
        1001 + 2 * ((h >> 8) % ${PROFILES}::int4) + case when e = 1001 then 1 else 0 end,
        (array['VoiceMail', 'HostedSeat', 'Trunk', 'HuntGroup', 'Fax'])[least(5, 1 + ((h >> 4) % 100) / 24)],
        'id-' || lpad(((h::int8 * 31) % 400000)::text, 6, '0'),
        case when h % 100 < 90 then 3 when h % 100 < 95 then 4 when h % 100 < 97 then 5 when h % 100 < 98 then 1
          when h % 1000 < 985 then 2 else 6 end,
        case when h % 20 = 0 then 'Note about number ' || h % 5000 end, h % 7 = 0, at, 'user-' || (h >> 3) % 200,
        at + interval '4 minutes', 'user-' || (h >> 5) % 200, case when h % 100 < 90 then at + interval '4 minutes' end
      from (
        select case when n % 10 = 0 then 1002 else 1001 end as e, h, now() - make_interval(days => ${DAYS}::int4)
          + n * (make_interval(days => ${DAYS}::int4) / ${total}::int4) + make_interval(secs => h % 90) as at
        from generate_series(1, ${total}::int4) n, lateral (select abs(hashint4(n) / 2) as h) hashed
      ) made`,
    sql`insert into request_links (request_id, sequence_number, link_type_id, link_value)
      select request_id, 1, 1 + request_id % 4, 'ticket-' || request_id from provisioning_requests where request_id % 5 = 0`,
    sql`vacuum (analyze) provisioning_requests`,
    sql`vacuum (analyze) request_links`,
    sql`analyze`,
  ]
  for (const statement of statements) await database.query((db) => statement.execute(db))
  return 1001
}
