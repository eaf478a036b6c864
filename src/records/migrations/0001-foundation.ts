/**
 * Networks, apps, keys, subscribers, webhook endpoints, idempotency, and the log that directories
 * follow. Text that is ordered or paged by has the collation "C", so that every database agrees.
 */
export const foundation = `
create table networks (
  network_id text collate "C" primary key,
  shard text not null,
  name text not null,
  adapter text not null,
  config jsonb not null,
  channel_set_id text not null unique,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  unique (network_id, shard)
);

create table network_secrets (
  network_id text collate "C" not null references networks on delete cascade,
  name text not null,
  value text not null,
  primary key (network_id, name)
);

create table apps (
  app_id text collate "C" primary key,
  shard text not null,
  name text not null,
  created_at timestamptz not null,
  unique (app_id, shard)
);

create table api_keys (
  key_id text collate "C" primary key,
  app_id text collate "C" not null
    constraint api_keys_app references apps on delete cascade,
  name text,
  prefix text not null,
  hash text not null,
  created_at timestamptz not null
);
create index api_keys_of_app on api_keys (app_id);

create table subscribers (
  app_id text collate "C" not null,
  subscriber_id text collate "C" not null,
  network_id text collate "C" not null,
  shard text not null,
  subscriber_number text not null,
  subscriber_name text,
  subscriber_account_id text,
  created_at timestamptz not null,
  announced_at timestamptz,
  primary key (app_id, subscriber_id),
  constraint subscribers_app foreign key (app_id, shard) references apps (app_id, shard) on delete cascade,
  constraint subscribers_network foreign key (network_id, shard) references networks (network_id, shard)
);
create index subscribers_of_network on subscribers (network_id);
create index subscribers_unannounced on subscribers (created_at, app_id, subscriber_id) where announced_at is null;

create table endpoints (
  endpoint_id text collate "C" primary key,
  app_id text collate "C" not null
    constraint endpoints_app references apps on delete cascade,
  url text not null,
  description text,
  event_types jsonb,
  enabled boolean not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
create index endpoints_of_app on endpoints (app_id);

create table endpoint_secrets (
  secret_id text collate "C" primary key,
  endpoint_id text collate "C" not null references endpoints on delete cascade,
  value text not null,
  created_at timestamptz not null,
  expires_at timestamptz
);
create index endpoint_secrets_of_endpoint on endpoint_secrets (endpoint_id);

create table idempotency (
  app_id text collate "C" not null
    constraint idempotency_app references apps on delete cascade,
  key text collate "C" not null,
  request_hash text not null,
  request text not null,
  started_at timestamptz not null,
  status integer,
  body text,
  primary key (app_id, key)
);
create index idempotency_by_age on idempotency (started_at);

create table directory_version (
  version bigint not null
);
create unique index directory_version_one_row on directory_version ((true));
insert into directory_version values (0);

create table directory_changes (
  version bigint primary key,
  kind text not null check (kind in ('network', 'app', 'key', 'subscriber', 'endpoint')),
  owner_id text not null,
  item_id text not null
);

create table secret_key_check (
  id integer primary key default 1 check (id = 1),
  value text not null
);
`
