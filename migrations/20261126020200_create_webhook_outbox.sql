-- The outbox: what happened, written in the transaction in which it happened, and to which endpoint it is still to be told.

create table private.webhook_events (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null,
  integration_id uuid not null,
  type text not null check (type = any (private.webhook_types())),
  data jsonb not null check (jsonb_typeof(data) = 'object' and octet_length(data::text) <= 4096),
  occurred_at timestamptz not null default now()
);

create index webhook_events_occurred_at on private.webhook_events (occurred_at);

alter table private.webhook_events enable row level security;
revoke all on table private.webhook_events from public, anon, authenticated, service_role;

create sequence private.webhook_positions;
revoke all on sequence private.webhook_positions from public, anon, authenticated, service_role;

create table public.webhook_deliveries (
  endpoint_id uuid not null references public.webhook_endpoints (id) on delete cascade,
  event_id uuid not null references private.webhook_events (id) on delete cascade,
  -- The order in which an endpoint hears of an integration. Whoever changes an integration holds its row, so this order is that of the
  -- commits.
  position bigint not null unique default nextval('private.webhook_positions'),
  -- Of the event, so that members read all of a delivery in one place.
  organization_id uuid not null,
  integration_id uuid not null,
  type text not null,
  occurred_at timestamptz not null,
  state text not null default 'pending' check (state in ('pending', 'delivered', 'failed')),
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default now(),
  -- Pending for no longer than this.
  expires_at timestamptz not null default now() + interval '3 days',
  last_attempt_at timestamptz,
  last_status integer,
  last_error text check (char_length(last_error) between 1 and 64),
  delivered_at timestamptz,
  -- Who is delivering it. A lease that has ended is nobody's.
  owner uuid,
  leased_until timestamptz,
  primary key (endpoint_id, event_id),
  check ((owner is null) = (leased_until is null))
);

comment on column public.webhook_deliveries.last_status is 'The status that the receiver answered last. Null: it gave none.';
comment on column public.webhook_deliveries.last_error is
  'A short code: why the last attempt was no success (status, redirect, timeout, unreachable, refused, unreadable), or expired, or overflow. Null after a success.';

create index webhook_deliveries_event on public.webhook_deliveries (event_id);
create index webhook_deliveries_endpoint on public.webhook_deliveries (endpoint_id, position);
create index webhook_deliveries_due on public.webhook_deliveries (endpoint_id, next_attempt_at) where state = 'pending';
create index webhook_deliveries_order
  on public.webhook_deliveries (endpoint_id, integration_id, position) where state = 'pending';
create index webhook_deliveries_leased on public.webhook_deliveries (endpoint_id) where owner is not null;
create index webhook_deliveries_expiry on public.webhook_deliveries (expires_at) where state = 'pending';

alter table public.webhook_deliveries enable row level security;
revoke all on table public.webhook_deliveries from public, anon, authenticated, service_role;
grant select (
  endpoint_id, event_id, position, organization_id, integration_id, type, occurred_at, state, attempts, next_attempt_at, last_attempt_at,
  last_status, last_error, delivered_at
) on table public.webhook_deliveries to authenticated;

create policy "Members can read their organisation's deliveries"
  on public.webhook_deliveries
  for select to authenticated
  using (private.can_access_organization(organization_id));

-- Called in the transaction of what it tells of. Where nobody wants to hear of it nothing is written.
create function private.enqueue_event(p_organization_id uuid, p_integration_id uuid, p_type text, p_data jsonb) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_endpoints uuid[];
  v_event private.webhook_events;
begin
  -- Held, so that none is deleted before its delivery is written. In the order of ids, as everybody who locks several.
  select array_agg(e.id) into v_endpoints from (
    select w.id from public.webhook_endpoints w
    where w.organization_id = p_organization_id and w.enabled and (w.events is null or p_type = any (w.events))
    order by w.id
    for key share
  ) e;
  if v_endpoints is null then
    return;
  end if;

  insert into private.webhook_events (organization_id, integration_id, type, data)
    values (p_organization_id, p_integration_id, p_type, p_data)
    returning * into v_event;
  -- What is pending is bounded: beyond 10,000 deliveries that wait for an endpoint the next ones have failed from the start, and can be
  -- sent again on request.
  insert into public.webhook_deliveries (endpoint_id, event_id, organization_id, integration_id, type, occurred_at, state, last_error)
    select e.id, v_event.id, v_event.organization_id, v_event.integration_id, v_event.type, v_event.occurred_at,
      case when b.is_full then 'failed' else 'pending' end, case when b.is_full then 'overflow' end
    from unnest(v_endpoints) e (id)
    cross join lateral (
      select count(*) >= 10000 as is_full from (
        select from public.webhook_deliveries d where d.endpoint_id = e.id and d.state = 'pending' limit 10000
      ) p
    ) b;
end
$$;

-- What is told of an integration, within bounds whatever other writers put into the row. Never anything of config.
create function private.webhook_data(p_row public.integrations, p_reason text) returns jsonb
language sql immutable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'organization_id', p_row.organization_id,
    'integration_id', p_row.id,
    'integration_type', left(p_row.integration_type, 64),
    'name', left(p_row.name, 200),
    'status', left(p_row.status, 64),
    'reason', p_reason
  );
$$;

-- A connection is made, removed, or needs its user: whoever writes the row, so also the source's own application.
create function private.announce_integration() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  case tg_op
    when 'INSERT' then
      perform private.enqueue_event(new.organization_id, new.id, 'connection.created', private.webhook_data(new, null));
    when 'DELETE' then
      perform private.enqueue_event(old.organization_id, old.id, 'connection.deleted', private.webhook_data(old, null));
    else
      perform private.enqueue_event(
        new.organization_id, new.id, 'connection.' || case new.status when 'degraded' then 'degraded' else 'reconnect_required' end,
        private.webhook_data(new, new.status_reason)
      );
  end case;
  return null;
end
$$;

create trigger announce_change
  after insert or delete on public.integrations
  for each row
  execute function private.announce_integration();

-- Of status alone: neither a refresh nor a rotation comes here.
create trigger announce_end
  after update of status on public.integrations
  for each row
  when (new.status in ('reconnect_required', 'revoked') and old.status not in ('reconnect_required', 'revoked'))
  execute function private.announce_integration();

create trigger announce_degradation
  after update of status on public.integrations
  for each row
  when (new.status = 'degraded' and old.status is distinct from 'degraded')
  execute function private.announce_integration();

-- What a row does not show: that its credential is another one now, or should be and is not. The trail has it, whoever writes it.
create function private.announce_event() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row public.integrations;
begin
  select * into v_row from public.integrations i where i.id = new.integration_id;
  if found then
    perform private.enqueue_event(
      v_row.organization_id, v_row.id, 'connection.' || new.action, private.webhook_data(v_row, new.reason)
    );
  end if;
  return null;
end
$$;

create trigger announce_event
  after insert on public.credential_events
  for each row
  when (new.action in ('reconnected', 'refreshed') or (new.action = 'refresh_failed' and new.outcome = 'failed'))
  execute function private.announce_event();

-- Both as before, without the outbox: the triggers write it.
create or replace function private.tell(
  p_row public.integrations, p_user_id uuid, p_action text, p_outcome text, p_reason text, p_request_id text
) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  select private.write_event(
    case when p_user_id is null then 'service' else 'user' end, p_user_id, p_row.organization_id, p_row.id,
    p_row.integration_type, p_row.external_account_id, p_action, p_outcome, p_reason, p_request_id
  );
$$;

revoke all on function private.enqueue_event(uuid, uuid, text, jsonb) from public, anon, authenticated, service_role;
revoke all on function private.webhook_data(public.integrations, text) from public, anon, authenticated, service_role;
revoke all on function private.announce_integration() from public, anon, authenticated, service_role;
revoke all on function private.announce_event() from public, anon, authenticated, service_role;
