/**
 * Orders and services as the IDI Provisioning Management API sees them: services are provisioned objects, orders of
 * the other APIs are batches of provisioning requests, and what providers were sent is call details. Triggers keep
 * this in the transaction that changes the order, so that the APIs agree at every moment; for customers in no
 * environment they end after one look into `environment_accounts`.
 *
 * The `mirror_…` functions take ids, so that linking a customer can show what there is already: with `p_is_past` they
 * add what is missing and change nothing that a trigger has written since.
 *
 * Their plans are kept with a session and may have been made while tables were empty, so there is only one way to
 * carry them out: from the ids by indexes, one step after the other, which is what `lateral` and `offset 0` say.
 * Triggers, which compare two sets of rows that nothing indexes, hash them.
 *
 * `mirrored_keys` are the items that an object has of its service.
 */
export const orderMirror = `
create table mirrored_keys (
  name text collate "C" primary key,
  data_type_id integer not null references data_types,
  sequence_number integer not null
);
insert into mirrored_keys values ('Number', 7, 1), ('Product', 3, 2), ('State', 3, 3), ('Service', 3, 4),
  ('Customer', 3, 5), ('Order', 3, 6), ('ExternalID', 3, 7), ('Location', 3, 8), ('Connection', 3, 9),
  ('CallerName', 3, 10), ('DirectoryListing', 3, 11), ('Features', 3, 12);

create view mirrored_services as
  select services.service_id, accounts.environment_id, accounts.account_number, services.product_id, services.e164,
    case services.state when 'active' then 1 when 'suspended' then 2 else 3 end as status_id,
    services.activated_at, services.ended_at
  from services, lateral (
    select environment_id, account_number from environment_accounts as linked
    where linked.customer_id = services.customer_id offset 0) as accounts;
create view mirrored_service_items as
  select services.service_id, items.key_name, items.value
  from services, lateral (values ('Number', services.e164), ('Product', services.product_id),
    ('State', services.state), ('Service', services.service_id), ('Customer', services.customer_id),
    ('Order', services.order_id), ('ExternalID', services.external_id), ('Location', services.location_id),
    ('Connection', services.connection_id), ('CallerName', services.caller_name),
    ('DirectoryListing', services.directory_listing),
    ('Features', (select string_agg(feature, ',') from jsonb_array_elements_text(services.features) as feature))
  ) as items (key_name, value);
create view mirrored_items as
  select items.item_id, items.order_id, items.e164, items.product_id, placed.created_at, placed.requested_date,
    accounts.environment_id, accounts.account_number, accounts.customer_id, accounts.account_name, accounts.profile_id,
    meaning.transition_id, meaning.object_status_id, standing.status_id,
    case when items.error_code is not null then items.error_code || ': ' || coalesce(items.error_message, '') end as note,
    case when standing.status_id in (3, 4, 5) then greatest(items.updated_at,
      case when standing.status_id = 3 and not placed.stands_alone then placed.completed_at end) end as over_at
  from order_items as items,
    lateral (select orders.*, orders.partial_allowed or orders.action in ('delete', 'deleteAll') as stands_alone
      from orders where orders.order_id = items.order_id and orders.face <> 'idi' offset 0) as placed,
    lateral (select linked.environment_id, linked.account_number, linked.customer_id,
        (select customers.name from customers where customers.customer_id = linked.customer_id) as account_name,
        (select profiles.profile_id from profiles
          where profiles.environment_id = linked.environment_id and profiles.is_of_orders) as profile_id
      from environment_accounts as linked where linked.customer_id = placed.customer_id offset 0) as accounts,
    lateral (select case when placed.action in ('delete', 'deleteAll') then 3
        when placed.action in ('move', 'change') then 5 else 1 end as transition_id,
      case when placed.action in ('delete', 'deleteAll') then 3 else 1 end as object_status_id) as meaning,
    lateral (select case items.state when 'acknowledged' then 1 when 'failed' then 4 when 'cancelled' then 5
      when 'held' then 6
      when 'completed' then case when placed.stands_alone or placed.completed_at is not null then 3 else 2 end
      else 2 end as status_id) as standing;

create function ensure_definitions(p_environments integer[], p_products text[]) returns void language plpgsql as $$
  declare
    fresh integer[];
  begin
    with adopted as (
      update object_definitions set product_id = code
      where environment_id = any(p_environments) and code = any(p_products) and product_id is null
        and exists (select from products where products.product_id = object_definitions.code)
      returning definition_id),
    added as (
      insert into object_definitions (environment_id, code, name, description, product_id, created_by, modified_by)
        select environments.environment_id, products.product_id,
          case when exists (select from object_definitions as taken where taken.environment_id = environments.environment_id
              and taken.name = products.name || ' (' || products.product_id || ')')
            then products.product_id || ' ' || left(md5(random()::text), 8)
            else products.name || ' (' || products.product_id || ')' end,
          'Services of a product of the catalogue', products.product_id, 'engine', 'engine'
        from environments, products
        where environments.environment_id = any(p_environments) and products.product_id = any(p_products)
          and not exists (select from object_definitions as known
            where known.environment_id = environments.environment_id and known.code = products.product_id)
        order by environments.environment_id, products.product_id
        on conflict do nothing
        returning definition_id)
    select array_agg(definition_id) into fresh from (select * from adopted union all select * from added) as made;
    update data_definitions as known set is_built_in = true, data_type_id = keys.data_type_id, variable_id = null
      from mirrored_keys as keys where known.definition_id = any(fresh) and known.name = keys.name;
    insert into data_definitions
        (definition_id, name, data_type_id, description, is_required, is_visible, sequence_number, is_built_in)
      select made.definition_id, keys.name, keys.data_type_id, 'Kept from the service', false, true,
        keys.sequence_number, true
      from unnest(fresh) as made (definition_id), mirrored_keys as keys
      where not exists (select from data_definitions as known
        where known.definition_id = made.definition_id and known.name = keys.name)
      order by made.definition_id, keys.sequence_number;
  end $$;
create function products_added() returns trigger language plpgsql as $$
  begin
    perform ensure_definitions(array(select environment_id from environments), array(select product_id from new_rows));
    return null;
  end $$;
create trigger products_added after insert on products referencing new table as new_rows
  for each statement execute function products_added();

create function mirror_services(p_services text[], p_is_past boolean) returns void language plpgsql
  set enable_seqscan = off set jit = off as $$
  declare
    undefined_environments integer[];
    undefined_products text[];
    put bigint[];
  begin
    select array_agg(distinct seen.environment_id), array_agg(distinct seen.product_id)
      into undefined_environments, undefined_products
      from mirrored_services as seen where seen.service_id = any(p_services)
        and (select known.product_id from object_definitions as known
          where known.environment_id = seen.environment_id and known.code = seen.product_id) is null;
    if undefined_environments is not null then
      perform ensure_definitions(undefined_environments, undefined_products);
    end if;
    delete from provisioned_object_items where item_id = any(array(
      select items.item_id from mirrored_services as seen,
        lateral (select object_id from provisioned_objects as known
          where known.environment_id = seen.environment_id and known.code = seen.product_id
            and known.internal_id = seen.e164 and known.service_id <> seen.service_id
            and known.account_number <> seen.account_number offset 0) as objects,
        lateral (select item_id from provisioned_object_items as known
          where known.object_id = objects.object_id offset 0) as items
      where seen.service_id = any(p_services) and seen.status_id <> 3));
    with newest as (
      select distinct on (environment_id, product_id, e164) * from mirrored_services where service_id = any(p_services)
      order by environment_id, product_id, e164, (status_id = 3), service_id desc),
    written as (
      insert into provisioned_objects as known
          (environment_id, code, internal_id, status_id, account_number, service_id, started_at, ended_at)
        select environment_id, product_id, e164, status_id, account_number, service_id, activated_at, ended_at
        from newest
        on conflict (environment_id, code, internal_id) do update set status_id = excluded.status_id,
          account_number = excluded.account_number, service_id = excluded.service_id,
          started_at = excluded.started_at, ended_at = excluded.ended_at, updated_at = now()
        where case when known.service_id = excluded.service_id then not p_is_past
          else known.service_id is null or excluded.status_id <> 3
            or (known.status_id = 3 and known.service_id < excluded.service_id) end
        returning object_id)
    select array_agg(object_id) into put from written;
    delete from provisioned_object_items where item_id = any(array(
      select items.item_id from unnest(put) as named (object_id),
        lateral (select object_id, service_id from provisioned_objects as known
          where known.object_id = named.object_id offset 0) as objects,
        lateral (select key_name from mirrored_service_items as seen
          where seen.service_id = objects.service_id and seen.value is null offset 0) as absent,
        lateral (select item_id from provisioned_object_items as known
          where known.object_id = objects.object_id and known.key_name = absent.key_name offset 0) as items));
    insert into provisioned_object_items as known (object_id, environment_id, code, internal_id, key_name, value)
      select objects.object_id, objects.environment_id, objects.code, objects.internal_id, items.key_name, items.value
      from unnest(put) as named (object_id),
        lateral (select * from provisioned_objects as known where known.object_id = named.object_id offset 0) as objects,
        lateral (select key_name, value from mirrored_service_items as seen
          where seen.service_id = objects.service_id and seen.value is not null offset 0) as items
      where items.value is distinct from (select same.value from provisioned_object_items as same
        where same.object_id = objects.object_id and same.key_name = items.key_name)
      on conflict (object_id, key_name) do update set value = excluded.value;
  end $$;
create function services_mirrored() returns trigger language plpgsql
  set enable_seqscan = off set enable_nestloop = off set enable_mergejoin = off set jit = off as $$
  declare
    linked text[];
  begin
    select array_agg(customer_id) into linked from environment_accounts
      where customer_id = any(array(select distinct customer_id from new_rows));
    if linked is null then return null; end if;
    perform mirror_services(array(select service_id from new_rows where customer_id = any(linked)), false);
    return null;
  end $$;
create trigger services_mirrored_when_added after insert on services referencing new table as new_rows
  for each statement execute function services_mirrored();
create trigger services_mirrored_when_changed after update on services referencing new table as new_rows
  for each statement execute function services_mirrored();

create function mirror_items(p_items text[], p_is_past boolean) returns void language plpgsql
  set enable_seqscan = off set jit = off as $$
  begin
    insert into request_batches (environment_id, total_object_count, is_open, order_id, created_at, completed_at)
      select accounts.environment_id,
        (select count(*) from order_items as items where items.order_id = placed.order_id),
        placed.completed_at is null, placed.order_id, placed.created_at, placed.completed_at
      from (select distinct order_id from order_items where item_id = any(p_items)) as named,
        lateral (select * from orders where orders.order_id = named.order_id and orders.face <> 'idi' offset 0) as placed,
        lateral (select environment_id from environment_accounts as linked
          where linked.customer_id = placed.customer_id offset 0) as accounts
      where (select known.batch_id from request_batches as known where known.order_id = placed.order_id) is null
      order by placed.order_id
      on conflict (order_id) do nothing;
    if not p_is_past then
      update provisioning_requests as known set
          (status_id, status_note, completed_at) = (select seen.status_id, seen.note, seen.over_at
            from mirrored_items as seen where seen.item_id = known.order_item_id),
          modified_at = now(), modified_by = 'order'
        where known.request_id = any(array(
          select requests.request_id from mirrored_items as seen,
            lateral (select * from provisioning_requests as mirrored
              where mirrored.order_item_id = seen.item_id offset 0) as requests
          where seen.item_id = any(p_items) and (requests.status_id <> seen.status_id
            or requests.status_note is distinct from seen.note)));
    end if;
    with added as (
      insert into provisioning_requests as known (environment_id, account_number, account_name, customer_id, profile_id,
          object_code, internal_id, object_starts_at, object_ends_at, object_status_id, transition_id, batch_id,
          status_id, status_note, is_read_only, order_item_id, created_at, created_by, modified_by, completed_at)
        select seen.environment_id, seen.account_number, seen.account_name, seen.customer_id, seen.profile_id,
          seen.product_id, seen.e164, case seen.transition_id when 1 then seen.requested_date end,
          case seen.transition_id when 3 then seen.requested_date end, seen.object_status_id, seen.transition_id,
          (select batches.batch_id from request_batches as batches where batches.order_id = seen.order_id),
          seen.status_id, seen.note, true, seen.item_id, seen.created_at, 'order', 'order', seen.over_at
        from mirrored_items as seen
        where seen.item_id = any(p_items) and (select there.request_id from provisioning_requests as there
          where there.order_item_id = seen.item_id) is null
        order by seen.order_id, seen.e164
        on conflict (order_item_id) do update set status_id = excluded.status_id, status_note = excluded.status_note,
          completed_at = excluded.completed_at, modified_at = now() where not p_is_past
        returning request_id, order_item_id)
    insert into request_links (request_id, sequence_number, link_type_id, link_value)
      select added.request_id, 1, 1,
        (select items.order_id from order_items as items where items.item_id = added.order_item_id)
      from added on conflict do nothing;
  end $$;
create function order_items_mirrored() returns trigger language plpgsql
  set enable_seqscan = off set enable_nestloop = off set enable_mergejoin = off set jit = off as $$
  declare
    linked text[];
    named text[];
  begin
    select array_agg(customer_id) into linked from environment_accounts
      where customer_id = any(array(select distinct customer_id from new_rows));
    if linked is null then return null; end if;
    if tg_op = 'INSERT' then
      named := array(select item_id from new_rows where customer_id = any(linked));
    else
      named := array(select item_id from new_rows join old_rows using (item_id)
        where new_rows.customer_id = any(linked) and (new_rows.state <> old_rows.state
          or (new_rows.error_code, new_rows.error_message) is distinct from (old_rows.error_code, old_rows.error_message)));
    end if;
    if cardinality(named) > 0 then perform mirror_items(named, false); end if;
    return null;
  end $$;
create trigger order_items_mirrored_when_added after insert on order_items referencing new table as new_rows
  for each statement execute function order_items_mirrored();
create trigger order_items_mirrored_when_changed after update on order_items
  referencing old table as old_rows new table as new_rows
  for each statement execute function order_items_mirrored();

create function orders_mirrored() returns trigger language plpgsql
  set enable_seqscan = off set enable_nestloop = off set enable_mergejoin = off set jit = off as $$
  declare
    linked text[];
    ended text[];
  begin
    select array_agg(customer_id) into linked from environment_accounts
      where customer_id = any(array(select distinct customer_id from new_rows where completed_at is not null));
    if linked is null then return null; end if;
    ended := array(select order_id from new_rows join old_rows using (order_id)
      where new_rows.customer_id = any(linked) and new_rows.completed_at is not null and old_rows.completed_at is null);
    if cardinality(ended) = 0 then return null; end if;
    perform mirror_items(array(select item_id from order_items where order_id = any(ended)), false);
    update request_batches as batches set is_open = false, completed_at = (
        select new_rows.completed_at from new_rows where new_rows.order_id = batches.order_id)
      where batches.order_id = any(ended);
    return null;
  end $$;
create trigger orders_mirrored_when_changed after update on orders
  referencing old table as old_rows new table as new_rows
  for each statement execute function orders_mirrored();

create function mirror_calls(p_calls bigint[]) returns void language plpgsql
  set enable_seqscan = off set jit = off as $$
  begin
    insert into call_details
        (request_id, call_id, provider_action_id, is_response, correlation_id, action_correlation_id, at)
      select concerned.request_id, calls.call_id, (
          select actions.provider_action_id
          from action_providers as providers join provider_actions as actions using (provider_id)
          where providers.code = calls.provider and actions.operation in (calls.action, work.action)
          order by actions.operation <> calls.action limit 1),
        calls.is_response, calls.correlation_id, work.provider_ref, calls.at
      from provider_calls as calls,
        lateral (select action, provider_ref from fulfilments
          where fulfilments.fulfilment_id = calls.fulfilment_id offset 0) as work,
        lateral (
          select requests.request_id from order_items as items, lateral (
              select request_id from provisioning_requests as mirrored
              where mirrored.order_item_id = items.item_id offset 0) as requests
            where items.fulfilment_id = calls.fulfilment_id
          union
          select placed.request_id from request_orders as placed where placed.order_id = calls.order_id) as concerned
      where calls.call_id = any(p_calls) and not (calls.action = 'poll' and calls.content is not distinct from (
          select earlier.content from provider_calls as earlier
          where earlier.order_id = calls.order_id and earlier.call_id < calls.call_id
            and earlier.fulfilment_id = calls.fulfilment_id and earlier.action = calls.action
            and earlier.is_response = calls.is_response
          order by earlier.order_id desc, earlier.call_id desc limit 1))
      order by calls.call_id, concerned.request_id
      on conflict (request_id, call_id) do nothing;
  end $$;
create function provider_calls_mirrored() returns trigger language plpgsql
  set enable_seqscan = off set jit = off as $$
  declare
    named bigint[];
  begin
    named := array(select new_rows.call_id from new_rows,
      lateral (select customer_id from orders where orders.order_id = new_rows.order_id offset 0) as placed,
      lateral (select environment_id from environment_accounts as linked
        where linked.customer_id = placed.customer_id offset 0) as accounts);
    if cardinality(named) > 0 then perform mirror_calls(named); end if;
    return null;
  end $$;
create trigger provider_calls_mirrored_when_added after insert on provider_calls referencing new table as new_rows
  for each statement execute function provider_calls_mirrored();
`
