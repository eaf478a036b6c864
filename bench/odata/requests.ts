import { sql } from 'kysely'
import type { SearchField } from '../../src/provisioning/odata/registry.ts'
import type { SearchSource } from '../../src/provisioning/odata/search.ts'
import type { ProvisioningDatabase } from '../../src/provisioning/store/database.ts'

/** Of the rows, all but a tenth are in the environment that is searched. */
export const ACCOUNTS = 20_000
export const STATUSES = ['Submitted', 'In Progress', 'Complete', 'In Error', 'Cancelled', 'Held'] as const
export const CODES = ['VoiceMail', 'HostedSeat', 'Trunk', 'HuntGroup', 'Fax'] as const
/** Days over which requests were made, up to today. */
export const DAYS = 700

const column = (
  name: string,
  type: SearchField['type'],
  kind: Partial<Pick<SearchField, 'isIndexed' | 'isNullable' | 'isComputed'>> = {},
): SearchField => ({ value: sql.ref(name), type, isFilterable: true, isSortable: true, ...kind })
const isIndexed = true

/** Requests as a search of the IDI API sees them, with the name of their status and their links. */
export const REQUESTS: SearchSource = {
  from: sql`from bench_requests r join bench_statuses s using (status_id) where r.environment_id = 1`,
  columns: sql`r.*, s.name as status`,
  key: 'provisioningRequestID',
  fields: {
    provisioningRequestID: column('r.request_id', 'integer', { isIndexed }),
    accountNumber: column('r.account_number', 'integer', { isIndexed }),
    'accountInformation/accountName': column('r.account_name', 'text'),
    profileID: column('r.profile_id', 'integer'),
    provisionedObjectCode: column('r.object_code', 'text'),
    internalID: column('r.internal_id', 'text', { isIndexed }),
    provisioningRequestStatusID: column('r.status_id', 'integer', { isIndexed }),
    provisioningRequestStatus: column('s.name', 'text'),
    isReadOnly: column('r.is_read_only', 'boolean'),
    createDate: column('r.created_at', 'time', { isIndexed }),
    createUser: column('r.created_by', 'text'),
    completeDate: column('r.completed_at', 'time', { isNullable: true }),
    statusNote: column('r.status_note', 'text', { isNullable: true }),
  },
  collections: {
    links: {
      source: sql`from bench_links l where l.request_id = r.request_id`,
      fields: {
        linkTypeID: column('l.link_type_id', 'integer'),
        linkValue: column('l.link_value', 'text'),
      },
    },
  },
}

/**
 * Makes `total` requests: most are complete, some types are rare, accounts have about 50 each, every fifth has a link,
 * and times of creation go with ids, but not exactly. The indexes are those of `provisioning_requests`.
 */
export async function makeRequests(database: ProvisioningDatabase, total: number): Promise<void> {
  const statements = [
    sql`create table bench_statuses (status_id int4 primary key, name text collate "C" not null unique)`,
    sql`insert into bench_statuses
      select number, name from jsonb_array_elements_text(${JSON.stringify(STATUSES)}::jsonb) with ordinality as s(name, number)`,
    sql`create table bench_requests (
      request_id int8 primary key, environment_id int4 not null, account_number int8 not null, account_name text not null,
      profile_id int4 not null, object_code text collate "C" not null, internal_id text collate "C" not null,
      status_id int4 not null, is_read_only boolean not null, created_at timestamptz not null,
      created_by text collate "C" not null, completed_at timestamptz, status_note text collate "C")`,
    sql`insert into bench_requests
      select n, case when n % 10 = 0 then 2 else 1 end, 1000000 + a, 'Account ' || a, 1 + (h >> 8) % 40,
        (array['VoiceMail', 'HostedSeat', 'Trunk', 'HuntGroup', 'Fax'])[least(5, 1 + ((h >> 4) % 100) / 24)],
        'id-' || lpad(((h::int8 * 31) % 400000)::text, 6, '0'),
        case when h % 100 < 90 then 3 when h % 100 < 95 then 4 when h % 100 < 97 then 5 when h % 100 < 98 then 1
          when h % 1000 < 985 then 2 else 6 end,
        h % 7 = 0, t, 'user-' || (h >> 3) % 200, case when h % 100 < 90 then t + interval '4 minutes' end,
        case when h % 20 = 0 then 'Note about number ' || h % 5000 end
      from (
        select n, h, h % ${ACCOUNTS}::int4 as a, date_trunc('milliseconds', now()) - make_interval(days => ${DAYS}::int4)
          + n * (make_interval(days => ${DAYS}::int4) / ${total}::int4) + make_interval(secs => h % 90) as t
        from generate_series(1, ${total}::int4) n, lateral (select abs(hashint4(n) / 2) as h) hashed
      ) made`,
    sql`create index on bench_requests (environment_id, request_id)`,
    sql`create index on bench_requests (environment_id, status_id, request_id)`,
    sql`create index on bench_requests (environment_id, internal_id, request_id)`,
    sql`create index on bench_requests (environment_id, account_number, request_id)`,
    sql`create index on bench_requests (environment_id, created_at, request_id)`,
    sql`create table bench_links (request_id int8 not null, sequence_number int4 not null, link_type_id int4 not null,
      link_value text collate "C" not null, primary key (request_id, sequence_number))`,
    sql`insert into bench_links select request_id, 1, 1 + request_id % 4, 'ticket-' || request_id
      from bench_requests where request_id % 5 = 0 or request_id % 5 = 1`,
    sql`vacuum (analyze) bench_requests`,
    sql`vacuum (analyze) bench_links`,
    sql`analyze bench_statuses`,
  ]
  for (const statement of statements) await database.query((db) => statement.execute(db))
}
