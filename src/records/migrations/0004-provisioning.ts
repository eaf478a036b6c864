/**
 * Provisioning: customers and what belongs to them, the catalogue, numbers and reservations; orders are in 0005.
 * Times are compared with the database's own
 * clock. Money is `numeric`, six digits after the point.
 *
 * The last line of defence against selling a number twice is in the keys here: `numbers` has one row for a
 * number, `reservation_items_live` allows one live hold of it, `order_items_live` one open order of it for a
 * product, `services_live` one service of it.
 *
 * `numbers.national` is the number without its country calling code (ITU-T E.164, list of assigned codes: one, two
 * or three digits). `digit_grams` has every three digits of it in a row, and the first and last three marked as
 * such: what a search for digits looks up, since not every PostgreSQL has `pg_trgm`. `hold_any_number`
 * is a reservation of one number, see `holdAnyNumber`; in it nothing but single values is compared, so that its plans
 * are made once for a connection.
 */
export const provisioning = `
create table customers (
  customer_id text collate "C" primary key,
  app_id text collate "C" constraint customers_app references apps on delete set null,
  external_id text collate "C",
  name text collate "C" not null,
  status text not null check (status in ('active', 'suspended', 'closed')),
  country text not null,
  currency text not null,
  time_zone text,
  default_payment_method_id text collate "C",
  metadata jsonb not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  removed_at timestamptz,
  version integer not null default 1
);
create unique index customers_external_id on customers (coalesce(app_id, ''), external_id)
  where external_id is not null and removed_at is null;
create index customers_of_app on customers (app_id, customer_id) where removed_at is null;

create table provisioning_keys (
  key_id text collate "C" primary key,
  app_id text collate "C" not null constraint provisioning_keys_app references apps on delete cascade,
  hash text not null unique,
  prefix text not null,
  name text,
  is_limited boolean not null,
  created_at timestamptz not null default now()
);
create index provisioning_keys_of_app on provisioning_keys (app_id);
create table provisioning_key_customers (
  key_id text collate "C" not null references provisioning_keys on delete cascade,
  customer_id text collate "C" not null references customers on delete cascade,
  primary key (key_id, customer_id)
);

create table contacts (
  contact_id text collate "C" primary key,
  customer_id text collate "C" not null references customers,
  first_name text collate "C" not null,
  last_name text collate "C" not null,
  email text collate "C" not null,
  phone text,
  role text not null check (role in ('admin', 'billing', 'technical', 'porting')),
  language text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1
);
create index contacts_of_customer on contacts (customer_id, contact_id);

create table payment_methods (
  payment_method_id text collate "C" primary key,
  customer_id text collate "C" not null references customers,
  type text not null check (type in ('card', 'sepa', 'ach', 'invoice')),
  token text,
  brand text,
  last4 text,
  exp_month integer,
  exp_year integer,
  is_default boolean not null,
  status text not null check (status in ('active', 'expired', 'disabled')),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1
);
create index payment_methods_of_customer on payment_methods (customer_id, payment_method_id);
create unique index payment_methods_default on payment_methods (customer_id) where is_default;

create table product_locations (
  location_id text collate "C" primary key,
  customer_id text collate "C" not null references customers,
  name text collate "C" not null,
  line1 text not null,
  line2 text,
  city text collate "C" not null,
  region text,
  postal_code text not null,
  country text not null,
  latitude double precision,
  longitude double precision,
  emergency_address_status text not null
    check (emergency_address_status in ('none', 'pending', 'validated', 'rejected')),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  version integer not null default 1
);
create index product_locations_of_customer on product_locations (customer_id, location_id);

create table connections (
  connection_id text collate "C" primary key,
  customer_id text collate "C" not null references customers,
  type text collate "C" not null,
  name text collate "C" not null,
  status text not null check (status in ('active', 'suspended', 'ended')),
  channels integer,
  location_id text collate "C" references product_locations,
  provider text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index connections_of_customer on connections (customer_id, connection_id);

create table products (
  product_id text collate "C" primary key,
  name text collate "C" not null,
  kind text not null check (kind in ('number', 'messaging')),
  number_type text check (number_type in ('local', 'tollFree', 'mobile', 'national', 'sharedCost')),
  provider text not null,
  actions jsonb not null,
  features jsonb not null,
  requirements jsonb not null,
  is_active boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  check ((kind = 'number') = (number_type is not null))
);
create table product_prices (
  product_id text collate "C" not null references products on delete cascade,
  currency text not null,
  one_time numeric(19,6) not null check (one_time >= 0),
  monthly numeric(19,6) not null check (monthly >= 0),
  primary key (product_id, currency)
);
create table product_countries (
  product_id text collate "C" not null references products on delete cascade,
  country text collate "C" not null,
  primary key (product_id, country)
);
create index product_countries_of_country on product_countries (country);
create table cities (
  city_id text collate "C" primary key,
  country text collate "C" not null,
  name text collate "C" not null,
  region text,
  area_codes jsonb not null
);
create index cities_of_country on cities (country, city_id);
create table product_cities (
  product_id text collate "C" not null references products on delete cascade,
  city_id text collate "C" not null references cities on delete cascade,
  primary key (product_id, city_id)
);
create index product_cities_of_city on product_cities (city_id);
create view offered_products as
  select products.*,
    (select coalesce(jsonb_agg(country order by country), '[]') from product_countries
      where product_countries.product_id = products.product_id) as countries,
    (select coalesce(jsonb_agg(jsonb_build_object('currency', currency, 'one_time', one_time::text,
      'monthly', monthly::text) order by currency), '[]') from product_prices
      where product_prices.product_id = products.product_id) as prices
  from products;
create view offered_cities as
  select cities.*, offers.product_ids from cities, lateral (
    select jsonb_agg(products.product_id order by products.product_id) as product_ids
    from product_cities join products on products.product_id = product_cities.product_id
    where product_cities.city_id = cities.city_id and products.is_active
  ) as offers where offers.product_ids is not null;

create table numbers (
  e164 text collate "C" primary key check (e164 ~ '^\\+[1-9][0-9]{6,14}$'),
  national text collate "C" not null generated always as (substring(e164 from '^\\+(?:[17]|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|(?:2[1-689]|3[578]|42|5[09]|6[789]|8[035789]|9[679])[0-9])([0-9]+)$')) stored,
  product_id text collate "C" not null references products,
  country text collate "C" not null,
  region text,
  city_id text collate "C" references cities,
  area_code text collate "C",
  line_type text,
  features jsonb not null default '[]',
  state text not null check (state in
    ('discovery', 'available', 'reserved', 'in_service', 'released', 'aging', 'port_in', 'port_out', 'removed')),
  customer_id text collate "C" references customers,
  order_id text collate "C",
  reservation_id text collate "C",
  reserved_until timestamptz,
  aging_until timestamptz,
  updated_at timestamptz not null default now(),
  version integer not null default 0,
  check (state <> 'reserved' or reservation_id is not null or order_id is not null),
  check (state not in ('in_service', 'port_in', 'port_out') or customer_id is not null),
  check (reserved_until is null or reservation_id is not null)
);
create function digit_grams(digits text) returns text[] language sql immutable strict parallel safe as $$
  select array[substr(digits, 1, 3), substr(digits, 2, 3), substr(digits, 3, 3), substr(digits, 4, 3),
    substr(digits, 5, 3), substr(digits, 6, 3), substr(digits, 7, 3), substr(digits, 8, 3), substr(digits, 9, 3),
    substr(digits, 10, 3), substr(digits, 11, 3), substr(digits, 12, 3), '^' || left(digits, 3), right(digits, 3) || '$'] $$;
create index numbers_available on numbers (e164) where state = 'available';
create index numbers_available_of_product on numbers (product_id, e164) where state = 'available';
create index numbers_available_with_features on numbers (product_id, features, e164) where state = 'available';
create index numbers_available_in_country on numbers (country, e164) where state = 'available';
create index numbers_available_in_area on numbers (area_code, e164) where state = 'available';
create index numbers_available_in_city on numbers (city_id, e164) where state = 'available';
create index numbers_available_with_digits on numbers using gin (digit_grams(national)) where state = 'available';
create index numbers_held on numbers (reserved_until) where reserved_until is not null;
create index numbers_held_by on numbers (customer_id, reserved_until) where reserved_until is not null;
create index numbers_aging on numbers (aging_until) where state = 'aging';
create index numbers_of_customer on numbers (customer_id, e164) where customer_id is not null;

create table reservations (
  reservation_id text collate "C" primary key,
  customer_id text collate "C" not null references customers,
  state text not null check (state in ('active', 'consumed', 'released', 'expired')),
  ttl_seconds integer not null,
  extended_count integer not null default 0,
  expires_at timestamptz not null,
  max_expires_at timestamptz not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index reservations_of_customer on reservations (customer_id, reservation_id);
create index reservations_active on reservations (expires_at) where state = 'active';
create index reservations_ended on reservations (updated_at) where state <> 'active';
create table reservation_items (
  reservation_id text collate "C" not null references reservations,
  e164 text collate "C" not null,
  state text not null check (state in ('held', 'consumed', 'expired', 'released')),
  expires_at timestamptz not null,
  primary key (reservation_id, e164)
);
create view seen_reservations as
  select reservation_id, customer_id,
    case when state = 'active' and expires_at <= now() then 'expired' else state end as state,
    ttl_seconds, extended_count, expires_at, max_expires_at, created_at, updated_at, (
      select coalesce(jsonb_agg(jsonb_build_object('number', items.e164,
        'state', case when items.state = 'held' and items.expires_at <= now() then 'expired' else items.state end,
        'expires_at_ms', floor(extract(epoch from items.expires_at) * 1000)) order by items.e164), '[]')
      from reservation_items as items where items.reservation_id = reservations.reservation_id) as items
  from reservations;
create unique index reservation_items_live on reservation_items (e164) where state = 'held';

create function hold_any_number(
  p_reservation text, p_customer text, p_actor text, p_correlation text, p_product text,
  p_held_max integer, p_ttl_seconds integer, p_life_seconds integer
) returns text language plpgsql as $$
  declare
    picked text;
    ends timestamptz := now() + make_interval(secs => p_ttl_seconds);
  begin
    perform from customers where customer_id = p_customer and removed_at is null and status = 'active' for no key update;
    if not found or (select count(*) from numbers where customer_id = p_customer and reserved_until > now()) >= p_held_max
      then return null; end if;
    select e164 into picked from numbers where state = 'available'
      and (product_id, e164) > (p_product, '') and (product_id, e164) < (p_product, '+:')
      order by product_id, e164 limit 1 for update skip locked;
    if not found then return null; end if;
    insert into reservations (reservation_id, customer_id, state, ttl_seconds, expires_at, max_expires_at) values
      (p_reservation, p_customer, 'active', p_ttl_seconds, ends, now() + make_interval(secs => p_life_seconds));
    insert into reservation_items (reservation_id, e164, state, expires_at) values (p_reservation, picked, 'held', ends);
    update numbers set state = 'reserved', customer_id = p_customer, reservation_id = p_reservation,
      reserved_until = ends, updated_at = now(), version = version + 1 where e164 = picked;
    insert into audit (chain, actor, entity, entity_id, action, after, correlation_id, seq, prev_hash, hash)
      values (p_customer, p_actor, 'reservation', p_reservation, 'create',
        jsonb_build_object('numbers', jsonb_build_array(picked), 'expires_at', ends), p_correlation, 0, '', '');
    return picked || ' ' || floor(extract(epoch from now()) * 1000);
  end $$;
`
