/**
 * Provisioning requests (IDI Provisioning Management API): environments, what can be provisioned in them and how,
 * requests, batches and what became of them. Orders and services of the tables of 0005 are seen here, too: see 0007.
 *
 * Ids are integers, as in the document. Statuses, transitions and data types are tables, so that searches can name
 * them. Of these, status 1 "Active", transition 1 "Activate", request status 1 "Submitted" and data type 3 "Text" are
 * the document's; the other ids are ours. A data type's strict expression is for literal values; the other one
 * also lets through what is computed later, `@[key]` and `#[expression]`. Times of requests are as exact as they are
 * shown, so that one which was read finds its row by an index.
 *
 * Whoever ends an order of a request makes the request due in the same transaction (`request_order_ended`), so that it
 * goes on although nobody is there at this moment; the order engine does not know of requests.
 */
export const provisioningRequests = `
create table object_statuses (
  status_id integer primary key,
  name text collate "C" not null unique
);
insert into object_statuses values (1, 'Active'), (2, 'Suspended'), (3, 'Disconnected'), (4, 'Pending');
create table object_transitions (
  transition_id integer primary key,
  name text collate "C" not null unique,
  status_id integer not null references object_statuses
);
insert into object_transitions values (1, 'Activate', 1), (2, 'Suspend', 2), (3, 'Disconnect', 3), (4, 'Restore', 1),
  (5, 'Change', 1);
create table request_statuses (
  status_id integer primary key,
  name text collate "C" not null unique
);
insert into request_statuses values (1, 'Submitted'), (2, 'In Progress'), (3, 'Complete'), (4, 'In Error'),
  (5, 'Cancelled'), (6, 'Held');
create table data_types (
  data_type_id integer primary key,
  name text collate "C" not null unique,
  description text not null,
  validation text not null,
  validation_regex text not null,
  validation_regex_strict text not null
);
insert into data_types values
  (1, 'Choice', 'One of the outcomes of a variable.', 'Any text.', '^[\\s\\S]*$', '^[\\s\\S]*$'),
  (2, 'Boolean', 'Yes or no.', 'The value must be true or false.', '^((true|false)|([\\s\\S]*(@|#)\\[[\\s\\S]*))$', '^(true|false)$'),
  (3, 'Text', 'Text of any kind.', 'Any text.', '^[\\s\\S]*$', '^[\\s\\S]*$'),
  (4, 'Whole Number', 'A number without a fraction.',
    'The value must be a non-fractional number greater than or equal to zero.',
    '^(([0-9]*)|([\\s\\S]*(@|#)\\[[\\s\\S]*))$', '^[0-9]*$'),
  (5, 'Decimal', 'A number, with or without a fraction.', 'The value must be a number.',
    '^((-?[0-9]+(\\.[0-9]+)?)|([\\s\\S]*(@|#)\\[[\\s\\S]*))$', '^-?[0-9]+(\\.[0-9]+)?$'),
  (6, 'Date', 'A day.', 'The value must be a date, such as 2026-11-30.',
    '^(([0-9]{4}-[0-9]{2}-[0-9]{2})|([\\s\\S]*(@|#)\\[[\\s\\S]*))$', '^[0-9]{4}-[0-9]{2}-[0-9]{2}$'),
  (7, 'Phone Number', 'A telephone number in E.164.', 'The value must be a number such as +12025550123.',
    '^((\\+[1-9][0-9]{6,14})|([\\s\\S]*(@|#)\\[[\\s\\S]*))$', '^\\+[1-9][0-9]{6,14}$');

create table environments (
  environment_id integer generated always as identity primary key,
  name text collate "C" not null,
  app_id text collate "C" constraint environments_app references apps on delete set null,
  is_safeguarded boolean not null default true,
  created_at timestamptz not null default now()
);
create unique index environments_name on environments (lower(name));
create index environments_of_app on environments (app_id);
create table environment_accounts (
  environment_id integer not null references environments,
  account_number bigint not null check (account_number > 0),
  customer_id text collate "C" not null unique references customers,
  created_at timestamptz not null default now(),
  primary key (environment_id, account_number)
);
create table allowed_internal_ids (
  environment_id integer not null references environments,
  internal_id text collate "C" not null,
  primary key (environment_id, internal_id)
);

create table global_information_items (
  environment_id integer not null references environments,
  name text collate "C" not null,
  data_type_id integer not null references data_types,
  is_protected boolean not null,
  list_id integer,
  value text,
  primary key (environment_id, name)
);
create table link_types (
  environment_id integer not null references environments,
  link_type_id integer not null check (link_type_id > 0),
  name text collate "C" not null,
  request_callback jsonb,
  batch_callback jsonb,
  primary key (environment_id, link_type_id),
  unique (environment_id, name)
);

create table action_providers (
  provider_id integer generated always as identity primary key,
  code text collate "C" not null unique,
  name text collate "C" not null,
  description text not null
);
create table provider_actions (
  provider_action_id integer generated always as identity primary key,
  provider_id integer not null references action_providers,
  operation text collate "C" not null,
  code text collate "C" not null,
  name text collate "C" not null,
  description text not null,
  unique (provider_id, operation)
);
create table action_data_definitions (
  data_definition_id integer generated always as identity (start with 10001) primary key,
  provider_action_id integer not null references provider_actions,
  name text collate "C" not null,
  data_type_id integer not null references data_types,
  default_value text,
  description text not null,
  is_required boolean not null,
  sequence_number integer not null,
  unique (provider_action_id, name)
);
create table installation_types (
  installation_type_id integer generated always as identity primary key,
  provider_id integer not null unique references action_providers,
  name text collate "C" not null,
  display_name text collate "C" not null
);
create table installations (
  installation_id integer generated always as identity primary key,
  installation_type_id integer not null references installation_types,
  name text collate "C" not null,
  description text not null,
  major_version integer not null,
  minor_version integer not null,
  service_pack integer not null,
  build_number integer not null,
  installed_at timestamptz not null default now(),
  is_active boolean not null,
  unique (installation_type_id, major_version, minor_version, service_pack, build_number)
);
create unique index installations_active on installations (installation_type_id) where is_active;

create table variables (
  variable_id integer generated always as identity primary key,
  environment_id integer not null references environments,
  code text collate "C" not null,
  name text collate "C" not null,
  data_type_id integer not null references data_types,
  is_active boolean not null,
  created_at timestamptz not null default now(),
  created_by text not null,
  modified_at timestamptz not null default now(),
  modified_by text not null,
  unique (environment_id, code),
  unique (environment_id, name)
);
create table variable_outcomes (
  outcome_id integer generated always as identity (start with 10001) primary key,
  variable_id integer not null references variables on delete cascade,
  outcome_code text collate "C" not null,
  display_value text,
  sequence_number integer not null,
  value text not null,
  unique (variable_id, outcome_code) deferrable initially deferred,
  unique (variable_id, sequence_number) deferrable initially deferred
);

create table object_definitions (
  definition_id integer generated always as identity primary key,
  environment_id integer not null references environments,
  code text collate "C" not null,
  name text collate "C" not null,
  description text,
  product_id text collate "C" references products,
  created_at timestamptz not null default now(),
  created_by text not null,
  modified_at timestamptz not null default now(),
  modified_by text not null,
  unique (environment_id, code),
  unique (environment_id, name)
);
create table data_definitions (
  data_definition_id integer generated always as identity (start with 10001) primary key,
  definition_id integer not null references object_definitions,
  name text collate "C" not null,
  data_type_id integer not null references data_types,
  default_value text,
  description text,
  is_required boolean not null,
  is_visible boolean not null,
  list_id integer,
  variable_id integer references variables,
  sequence_number integer not null,
  is_built_in boolean not null default false,
  unique (definition_id, name) deferrable initially deferred
);
create index data_definitions_of_variable on data_definitions (variable_id) where variable_id is not null;
create table transition_options (
  data_definition_id integer not null references data_definitions on delete cascade,
  transition_id integer not null references object_transitions,
  is_required boolean not null,
  is_visible boolean not null,
  primary key (data_definition_id, transition_id)
);

create table profiles (
  profile_id integer generated always as identity primary key,
  environment_id integer not null references environments,
  name text collate "C" not null,
  description text,
  is_of_orders boolean not null default false,
  created_at timestamptz not null default now(),
  created_by text not null,
  modified_at timestamptz not null default now(),
  modified_by text not null,
  unique (environment_id, name)
);
create unique index profiles_of_orders on profiles (environment_id) where is_of_orders;
create table profile_definitions (
  profile_id integer not null references profiles,
  definition_id integer not null references object_definitions,
  primary key (profile_id, definition_id)
);
create table scenarios (
  scenario_id integer generated always as identity primary key,
  profile_id integer not null references profiles,
  provider_action_id integer not null references provider_actions,
  sequence_number integer not null,
  removed_at timestamptz
);
create index scenarios_of_profile on scenarios (profile_id, sequence_number) where removed_at is null;
create table scenario_parameters (
  parameter_id integer generated always as identity primary key,
  scenario_id integer not null references scenarios,
  name text collate "C" not null,
  scope text collate "C" not null,
  value text,
  sequence_number integer not null,
  unique (scenario_id, name, scope)
);

create table provisioned_objects (
  object_id bigint generated always as identity primary key,
  environment_id integer not null references environments,
  code text collate "C" not null,
  internal_id text collate "C" not null,
  status_id integer not null references object_statuses,
  account_number bigint,
  service_id text collate "C" references services,
  started_at timestamptz,
  ended_at timestamptz,
  updated_at timestamptz not null default now(),
  unique (environment_id, code, internal_id)
);
create index provisioned_objects_by_internal_id on provisioned_objects (environment_id, internal_id);
create table provisioned_object_items (
  item_id bigint generated always as identity primary key,
  object_id bigint not null references provisioned_objects,
  environment_id integer not null,
  code text collate "C" not null,
  internal_id text collate "C" not null,
  key_name text collate "C" not null,
  value text not null,
  unique (object_id, key_name)
);
create index provisioned_object_items_in_order on provisioned_object_items (environment_id, item_id);
create index provisioned_object_items_by_internal_id on provisioned_object_items (environment_id, internal_id, code);
create index provisioned_object_items_by_key on provisioned_object_items (environment_id, key_name, left(value, 200), item_id);

create table request_batches (
  batch_id bigint generated always as identity primary key,
  environment_id integer not null references environments,
  total_object_count integer not null check (total_object_count > 0),
  is_open boolean not null default true,
  order_id text collate "C" unique references orders,
  created_at timestamptz not null default now(),
  completed_at timestamptz
);
create table provisioning_requests (
  request_id bigint generated always as identity primary key,
  environment_id integer not null references environments,
  account_number bigint,
  account_name text,
  customer_id text collate "C" references customers,
  profile_id integer not null references profiles,
  object_code text collate "C",
  internal_id text collate "C",
  object_starts_at timestamptz(3),
  object_ends_at timestamptz(3),
  object_status_id integer references object_statuses,
  transition_id integer references object_transitions,
  batch_id bigint references request_batches,
  regenerated_from_id bigint references provisioning_requests,
  root_regenerated_from_id bigint references provisioning_requests,
  regeneration_count integer not null default 0,
  was_regenerated boolean not null default false,
  status_id integer not null references request_statuses,
  status_note text,
  is_read_only boolean not null,
  reprocessing boolean not null default false,
  was_forced boolean not null default false,
  work_item_instance_id bigint,
  order_item_id text collate "C" unique references order_items,
  snapshot_at timestamptz,
  created_at timestamptz(3) not null default now(),
  created_by text not null,
  modified_at timestamptz(3) not null default now(),
  modified_by text not null,
  completed_at timestamptz(3),
  due_at timestamptz,
  lease_token bigint not null default 0,
  leased_until timestamptz
);
create index provisioning_requests_in_order on provisioning_requests (environment_id, request_id);
create index provisioning_requests_by_status on provisioning_requests (environment_id, status_id, request_id);
create index provisioning_requests_by_internal_id on provisioning_requests (environment_id, internal_id, request_id);
create index provisioning_requests_by_account on provisioning_requests (environment_id, account_number, request_id);
create index provisioning_requests_by_change on provisioning_requests (environment_id, modified_at, request_id);
create index provisioning_requests_of_batch on provisioning_requests (batch_id) where batch_id is not null;
create index provisioning_requests_due on provisioning_requests (due_at) where due_at is not null;
create index provisioning_requests_held on provisioning_requests (environment_id, internal_id) where status_id = 6;

create table request_items (
  request_id bigint not null references provisioning_requests,
  sequence_number integer not null,
  key_name text collate "C" not null,
  value text not null,
  primary key (request_id, key_name)
);
create table request_links (
  request_id bigint not null references provisioning_requests,
  sequence_number integer not null,
  link_type_id integer not null,
  link_value text not null,
  primary key (request_id, sequence_number)
);
create index request_links_by_value on request_links using hash (link_value);
create table request_variable_outcomes (
  request_id bigint not null references provisioning_requests,
  variable_code text collate "C" not null,
  outcome_code text collate "C" not null,
  primary key (request_id, variable_code)
);
create table request_snapshot_items (
  request_id bigint not null references provisioning_requests,
  sequence_number integer not null,
  key_name text collate "C" not null,
  value text,
  is_required boolean not null,
  computation_type text collate "C" not null,
  primary key (request_id, key_name)
);
create table request_steps (
  request_id bigint not null references provisioning_requests,
  sequence_number integer not null,
  scenario_id integer not null references scenarios,
  provider_action_id integer not null references provider_actions,
  state text not null check (state in ('waiting', 'running', 'done', 'failed')),
  order_id text collate "C" unique references orders,
  e164 text collate "C",
  error text,
  primary key (request_id, sequence_number)
);
create table request_orders (
  order_id text collate "C" primary key references orders,
  request_id bigint not null references provisioning_requests,
  sequence_number integer not null
);
create index request_orders_of_request on request_orders (request_id);
create table call_details (
  call_detail_id bigint generated always as identity primary key,
  request_id bigint not null references provisioning_requests,
  call_id bigint references provider_calls,
  provider_action_id integer references provider_actions,
  is_response boolean not null,
  correlation_id text collate "C",
  action_correlation_id text collate "C",
  content text,
  components jsonb not null default '[]',
  at timestamptz not null default now(),
  unique (request_id, call_id)
);

create function request_order_ended() returns trigger language plpgsql as $$ begin
  update provisioning_requests set due_at = now() from request_orders
  where request_orders.order_id = new.order_id and provisioning_requests.request_id = request_orders.request_id
    and provisioning_requests.status_id in (2, 4);
  return null; end $$;
create trigger request_order_ended after update on orders for each row
  when (old.completed_at is null and new.completed_at is not null and new.face = 'idi')
  execute function request_order_ended();
`
