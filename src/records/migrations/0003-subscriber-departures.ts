/**
 * Assignments that an app has lost and has not been told of. A row is written in the transaction that ends
 * the assignment and removed once the app's log has the event. It goes with its app, which is then told
 * nothing, and outlives its network, which may be removed right after its last subscriber.
 */
export const subscriberDepartures = `
create table subscriber_departures (
  departure_id bigint generated always as identity primary key,
  app_id text collate "C" not null references apps on delete cascade,
  subscriber_id text collate "C" not null,
  network_id text collate "C" not null,
  subscriber_number text not null,
  subscriber_name text,
  subscriber_account_id text,
  created_at timestamptz not null,
  announced_at timestamptz
);
create index subscriber_departures_of_subscriber on subscriber_departures (app_id, subscriber_id);
`
