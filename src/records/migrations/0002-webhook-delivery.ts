/**
 * How endpoints are delivered to, what became of each delivery, and events for operators.
 *
 * What belongs to a delivery refers to nothing by foreign key: a check per row would cost more than the
 * row, and a delivery outlives its endpoint. Deliveries of a removed app are found by `removed_apps`.
 *
 * Indexes of `deliveries`: facts name it by id, lists go newest first (of all, of an app, of an endpoint, of
 * a call), what has been kept for long enough is found by its end, and the few that were not delivered have
 * two of their own, so that they are found among millions. A type that is rare is found by reading an index
 * instead of the table. The delivery id that breaks ties is in none of them: it would double their size. What
 * a retry changes is in none of them either, so that it is written in place as long as the page has room.
 */
export const webhookDelivery = `
alter table endpoints
  add column failover_url text,
  add column metadata jsonb,
  add column subscriber_ids jsonb,
  add column directions jsonb,
  add column policies jsonb,
  add column order_hold_ms integer not null default 10000,
  add column coalesce boolean not null default false,
  add column max_in_flight integer not null default 10,
  add column rate_per_second double precision,
  add column signatures jsonb not null default '["v1"]',
  add column ca_certificates text,
  add column disabled_reason text check (disabled_reason in ('requested', 'gone', 'failing')),
  add column verified boolean not null default true,
  add column header_names jsonb not null default '[]',
  add column headers text,
  add column public_key text;
update endpoints set disabled_reason = 'requested' where not enabled;
alter table endpoints
  add constraint endpoints_disabled_for_a_reason check (enabled = (disabled_reason is null)),
  alter column order_hold_ms drop default,
  alter column coalesce drop default,
  alter column max_in_flight drop default,
  alter column signatures drop default,
  alter column verified drop default,
  alter column header_names drop default;

alter table endpoint_secrets add column kind text not null default 'v1' check (kind in ('v1', 'v1a'));
alter table endpoint_secrets alter column kind drop default;

create table webhook_events (
  event_id text collate "C" primary key,
  app_id text collate "C" not null,
  type text not null,
  order_key text not null,
  call_id text,
  subscriber_id text,
  sequence text,
  occurred_at timestamptz not null,
  deliveries integer not null,
  payload text not null
);

create table deliveries (
  delivery_id text collate "C" primary key,
  app_id text collate "C" not null,
  endpoint_id text collate "C" not null,
  event_id text collate "C" not null,
  call_id text collate "C",
  type text collate "C" not null,
  class text not null,
  status text not null,
  attempts integer not null,
  replays integer not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  ended_at timestamptz,
  next_attempt_at timestamptz,
  last_attempt_at timestamptz,
  last_outcome text,
  last_status integer,
  marks text[]
) with (fillfactor = 90);
create index deliveries_by_age on deliveries (created_at);
create index deliveries_by_end on deliveries ((coalesce(ended_at, expires_at)));
create index deliveries_of_app on deliveries (app_id, created_at, type);
create index deliveries_of_endpoint on deliveries (endpoint_id, created_at, type);
create index deliveries_of_call on deliveries (call_id) where call_id is not null;
create index deliveries_undelivered_of_app on deliveries (app_id, created_at)
  where status <> 'delivered' or last_outcome <> 'delivered';
create index deliveries_undelivered_of_endpoint on deliveries (endpoint_id, created_at)
  where status <> 'delivered' or last_outcome <> 'delivered';

create table attempts (
  delivery_id text collate "C" not null,
  fact_id text collate "C" not null,
  number integer not null,
  started_at timestamptz not null,
  target text not null,
  outcome text not null,
  status integer,
  dns_ms double precision,
  connect_ms double precision,
  tls_ms double precision,
  first_byte_ms double precision,
  total_ms double precision not null,
  remote_address text,
  reused boolean,
  replay boolean not null,
  response text,
  primary key (delivery_id, fact_id)
);

create table removed_apps (
  app_id text collate "C" primary key,
  removed_at timestamptz not null
);

create table operator_events (
  event_id bigint generated always as identity primary key,
  type text not null,
  at timestamptz not null,
  app_id text collate "C",
  endpoint_id text collate "C",
  details jsonb not null
);
create index operator_events_by_age on operator_events (at);
`
