/**
 * Orders and what follows from them: fulfilment by providers, services, money, the outbox of events and the audit
 * trail. See 0004 for the rest of provisioning.
 */
export const provisioningOrders = `
create table orders (
  order_id text collate "C" primary key,
  customer_id text collate "C" not null references customers,
  product_id text collate "C" not null references products,
  face text not null,
  action text not null,
  state text not null check (state in ('acknowledged', 'inProgress', 'pending', 'held', 'completed', 'partial',
    'failed', 'rejected', 'assessingCancellation', 'pendingCancellation', 'cancelled')),
  outcome_reason text,
  partial_allowed boolean not null,
  requested_date timestamptz,
  external_id text collate "C",
  parameters jsonb not null,
  metadata jsonb not null,
  quantity_requested integer not null,
  quantity_fulfilled integer not null default 0,
  currency text not null,
  one_time_price numeric(19,6) not null,
  monthly_price numeric(19,6) not null,
  cancel_requested_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  completed_at timestamptz,
  version integer not null default 1
);
create index orders_of_customer on orders (customer_id, order_id);
create index orders_open on orders (customer_id) where completed_at is null;
create index orders_external_id on orders (customer_id, external_id) where external_id is not null;

create table fulfilments (
  fulfilment_id text collate "C" primary key,
  order_id text collate "C" not null references orders,
  provider text not null,
  action text not null,
  state text not null check (state in ('due', 'sent', 'accepted', 'done', 'stuck')),
  resume_state text check (resume_state in ('due', 'sent', 'accepted')),
  is_compensation boolean not null default false,
  provider_ref text,
  is_cancel_requested boolean not null default false,
  attempts integer not null default 0,
  rechecks integer not null default 0,
  waits_since timestamptz not null default now(),
  last_error text,
  due_at timestamptz,
  lease_token bigint not null default 0,
  leased_until timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  check ((state = 'stuck') = (resume_state is not null)),
  check ((state in ('done', 'stuck')) = (due_at is null))
);
create index fulfilments_of_order on fulfilments (order_id, fulfilment_id);
create index fulfilments_due on fulfilments (provider, due_at) where due_at is not null;
create index fulfilments_stuck on fulfilments (fulfilment_id) where state = 'stuck';
create index fulfilments_by_ref on fulfilments (provider, provider_ref) where provider_ref is not null;

create table order_items (
  item_id text collate "C" primary key,
  order_id text collate "C" not null references orders,
  product_id text collate "C" not null references products,
  customer_id text collate "C" not null references customers,
  e164 text collate "C" not null,
  action text not null,
  state text not null check (state in ('acknowledged', 'inProgress', 'pending', 'held', 'completed', 'failed',
    'compensating', 'cancelled')),
  fulfilment_id text collate "C" references fulfilments,
  provider_ref text,
  foc_date timestamptz,
  one_time_price numeric(19,6) not null,
  monthly_price numeric(19,6) not null,
  error_code text,
  error_message text,
  undone_at timestamptz,
  updated_at timestamptz not null default now()
);
create index order_items_of_order on order_items (order_id, e164);
create index order_items_of_fulfilment on order_items (fulfilment_id) where fulfilment_id is not null;
create index order_items_of_number on order_items (e164, item_id);
create unique index order_items_live on order_items (e164, product_id)
  where state not in ('completed', 'failed', 'cancelled');

create table order_history (
  order_id text collate "C" not null references orders,
  seq bigint generated always as identity,
  at timestamptz not null default now(),
  kind text not null check (kind in ('state', 'milestone', 'note')),
  e164 text,
  text text not null,
  primary key (order_id, seq)
);

create table services (
  service_id text collate "C" primary key,
  customer_id text collate "C" not null references customers,
  product_id text collate "C" not null references products,
  e164 text collate "C" not null,
  state text not null check (state in ('active', 'suspended', 'ended')),
  external_id text collate "C",
  location_id text collate "C" references product_locations,
  connection_id text collate "C" references connections,
  features jsonb not null,
  caller_name text,
  directory_listing text,
  currency text not null,
  monthly_price numeric(19,6) not null,
  order_id text collate "C" not null references orders,
  provider_ref text,
  activated_at timestamptz not null default now(),
  ended_at timestamptz,
  updated_at timestamptz not null default now()
);
create index services_of_customer on services (customer_id, service_id);
create index services_of_number on services (e164, service_id);
create index services_of_location on services (location_id) where location_id is not null and state <> 'ended';
create unique index services_live on services (e164, product_id) where state <> 'ended';

create table line_credentials (
  hash text primary key,
  customer_id text collate "C" not null references customers,
  e164 text collate "C" not null,
  kind text not null check (kind in ('session_key', 'password')),
  created_at timestamptz not null default now()
);
create index line_credentials_of_line on line_credentials (e164, customer_id);
create unique index line_credentials_password on line_credentials (e164, customer_id) where kind = 'password';
create table messaging_opt_outs (
  line text collate "C" not null,
  number text collate "C" not null,
  state text not null check (state in ('stop', 'unstop')),
  updated_at timestamptz not null,
  primary key (line, number)
);

create table provider_calls (
  call_id bigint generated always as identity primary key,
  order_id text collate "C",
  fulfilment_id text collate "C",
  provider text not null,
  action text not null,
  is_response boolean not null,
  correlation_id text not null,
  attempt integer not null,
  outcome text,
  content text not null,
  components jsonb not null default '[]',
  at timestamptz not null default now()
);
create index provider_calls_of_order on provider_calls (order_id, call_id);
create index provider_calls_of_none on provider_calls (at) where order_id is null;

create table ledger (
  entry_id bigint generated always as identity primary key,
  customer_id text collate "C" not null references customers,
  order_id text collate "C" not null references orders,
  item_id text collate "C" not null references order_items,
  kind text not null check (kind in ('charge', 'credit')),
  amount numeric(19,6) not null check (amount >= 0),
  currency text not null,
  at timestamptz not null default now(),
  unique (item_id, kind)
);
create index ledger_of_customer on ledger (customer_id, entry_id);
create index ledger_of_order on ledger (order_id);

create table invoices (
  invoice_id text collate "C" primary key,
  number bigint generated always as identity unique,
  customer_id text collate "C" not null references customers,
  order_id text collate "C" not null unique references orders,
  status text not null check (status in ('draft', 'open', 'paid', 'void')),
  currency text not null,
  lines jsonb not null,
  subtotal numeric(19,6) not null,
  tax numeric(19,6) not null,
  total numeric(19,6) not null,
  issued_at timestamptz not null default now(),
  due_at timestamptz not null,
  updated_at timestamptz not null default now(),
  check (total = subtotal + tax)
);
create index invoices_of_customer on invoices (customer_id, invoice_id);

create table line_types (
  prefix text collate "C" primary key check (prefix ~ '^\\+[1-9][0-9]{0,14}$'),
  line_type text not null,
  carrier text,
  source text not null,
  as_of timestamptz not null
);

create table sandbox_lines (
  line_id text collate "C" primary key,
  account text collate "C" not null,
  e164 text collate "C" not null,
  product text collate "C" not null,
  state text not null check (state in ('active', 'ended')),
  attributes jsonb not null default '{}',
  started_at timestamptz not null default now(),
  ended_at timestamptz,
  check ((state = 'ended') = (ended_at is not null))
);
create unique index sandbox_lines_live on sandbox_lines (e164, product) where ended_at is null;
create table sandbox_orders (
  ref text collate "C" primary key,
  account text collate "C" not null,
  idempotency_key text collate "C" not null,
  request jsonb not null,
  state text not null check (state in ('accepted', 'late', 'done', 'cancelled')),
  plan jsonb not null,
  results jsonb not null,
  visible_at timestamptz not null,
  ready_at timestamptz not null,
  late_ms integer,
  notices_each integer not null,
  notices_due integer not null default 0,
  created_at timestamptz not null default now(),
  unique (account, idempotency_key)
);
create index sandbox_orders_open on sandbox_orders (ready_at) where state in ('accepted', 'late');
create index sandbox_orders_ended on sandbox_orders (ready_at) where state in ('done', 'cancelled');
create index sandbox_orders_untold on sandbox_orders (ref) where notices_due > 0;
create table sandbox_faults (
  fault_id bigint generated always as identity primary key,
  account text collate "C" not null,
  fault text not null,
  operation text not null check (operation in ('execute', 'poll', 'find', 'cancel')),
  e164 text collate "C",
  product text collate "C",
  remaining integer check (remaining >= 0),
  delay_ms integer not null,
  created_at timestamptz not null default now()
);

create table provisioning_idempotency (
  tenant text collate "C" not null,
  route text collate "C" not null,
  key text collate "C" not null,
  request_hash text not null,
  status integer,
  body text,
  headers jsonb,
  started_at timestamptz not null default now(),
  primary key (tenant, route, key)
);
create index provisioning_idempotency_age on provisioning_idempotency (started_at);

create table provisioning_outbox (
  event_id bigint generated always as identity primary key,
  app_id text collate "C" not null references apps on delete cascade,
  type text not null,
  order_key text not null,
  payload text not null,
  created_at timestamptz not null default now()
);

create table provisioning_leases (
  name text collate "C" primary key,
  holder text not null,
  until timestamptz not null
);

create table audit_chains (
  chain text collate "C" primary key,
  length bigint not null,
  prev_hash bytea not null,
  hash bytea not null
) with (fillfactor = 50);
create table audit (
  chain text collate "C" not null,
  seq bigint not null,
  at timestamptz not null default now(),
  actor text not null,
  entity text not null,
  entity_id text not null,
  action text not null,
  before jsonb,
  after jsonb,
  correlation_id text,
  prev_hash bytea not null,
  hash bytea not null,
  primary key (chain, seq)
);
create index audit_of_entity on audit (entity_id, seq);

create function number_moves() returns trigger language plpgsql as $$ begin
  if not new.state = any (case old.state
    when 'discovery' then array['available', 'removed']
    when 'available' then array['reserved', 'removed']
    when 'reserved' then array['available', 'in_service', 'aging', 'removed']
    when 'in_service' then array['released', 'aging', 'available', 'port_out', 'removed']
    when 'released' then array['aging', 'available', 'removed']
    when 'aging' then array['available', 'removed']
    when 'port_in' then array['in_service', 'removed']
    when 'port_out' then array['removed', 'in_service']
    when 'removed' then array['available', 'port_in'] end)
  then raise exception 'a number cannot go from % to %', old.state, new.state using errcode = '23514'; end if; return new; end $$;
create trigger number_moves before update on numbers for each row
  when (old.state <> new.state) execute function number_moves();

create function audit_link() returns trigger language plpgsql as $$
  begin
    new.at := now();
    for attempt in 1..2 loop
      update audit_chains as link set length = link.length + 1, prev_hash = link.hash,
        hash = sha256(link.hash || convert_to(jsonb_build_array(new.chain, link.length + 1, extract(epoch from new.at),
          new.actor, new.entity, new.entity_id, new.action, new.before, new.after, new.correlation_id)::text, 'UTF8'))
        where chain = new.chain returning link.length, link.prev_hash, link.hash
        into new.seq, new.prev_hash, new.hash;
      if found then return new; end if;
      insert into audit_chains (chain, length, prev_hash, hash) values (new.chain, 0, '', '\\x00') on conflict do nothing;
    end loop;
    raise exception 'the audit chain % is missing', new.chain;
  end $$;
create trigger audit_link before insert on audit for each row execute function audit_link();
create function audit_is_final() returns trigger language plpgsql as $$ begin raise exception 'the audit trail cannot be changed' using errcode = '42501'; end $$;
create trigger audit_is_final before update or delete on audit for each row execute function audit_is_final();
create trigger audit_is_not_truncated before truncate on audit for each statement execute function audit_is_final();
`
