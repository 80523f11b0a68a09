-- Webhooks: endpoints, the outbox of events, and deliveries.
--
-- Lock order: an endpoint's row first, then its deliveries.

create function private.webhook_types() returns text[]
language sql immutable security definer set search_path = pg_catalog, pg_temp as $$
  select array[
    'connection.created', 'connection.reconnected', 'connection.refreshed', 'connection.refresh_failed',
    'connection.degraded', 'connection.reconnect_required', 'connection.deleted',
    'finding.opened', 'finding.reopened', 'finding.resolved', 'finding.mute_ended', 'assessment.completed', 'assessment.incomplete'
  ];
$$;

comment on function private.webhook_types() is
  'Every event type. A new type is a new definition of this function.';

create table public.webhook_endpoints (
  -- Chosen by the worker, because the sealed secrets are bound to it.
  id uuid primary key,
  -- Null: it receives the events of all organizations. Only a service key of all can create it.
  organization_id uuid,
  url text not null check (char_length(url) between 1 and 2048),
  events text[] check (cardinality(events) between 1 and 32 and events <@ private.webhook_types()),
  min_severity text check (min_severity in ('critical', 'high', 'medium', 'low', 'info')),
  enabled boolean not null default true,
  disabled_reason text check (disabled_reason = 'gone'),
  config jsonb not null check (jsonb_typeof(config) = 'object' and octet_length(config::text) <= 4096),
  previous_secret_ends_at timestamptz,
  failing_since timestamptz,
  slow_until timestamptz not null default 'infinity',
  rests_until timestamptz not null default '-infinity',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  deleted_at timestamptz,
  check (disabled_reason is null or not enabled),
  check (deleted_at is null or not enabled)
);

comment on column public.webhook_endpoints.events is 'The event types that the endpoint receives. Null: all, including future ones.';

comment on column public.webhook_endpoints.min_severity is
  'The least severity of the findings that the endpoint receives. Null: any.';

comment on column public.webhook_endpoints.disabled_reason is
  'gone: the receiver answered 410. Null if a user disabled it, or if it is enabled.';

comment on column public.webhook_endpoints.config is
  'The signing secrets, sealed as docs/format.md says for (organization, endpoint): secret, and during a change previous_secret.';

comment on column public.webhook_endpoints.failing_since is
  'The first failure since the last success.';

comment on column public.webhook_endpoints.slow_until is
  'Until then it shares the lanes of slow endpoints. infinity: it has not responded in time yet.';

comment on column public.webhook_endpoints.rests_until is
  'Nothing is sent before then: a slow receiver pauses for as long as its response took.';

comment on column public.webhook_endpoints.deleted_at is
  'When it was deleted. Nobody sees it, it gets no more events, and clean_up deletes its deliveries and then the row.';

create index webhook_endpoints_deleted_at on public.webhook_endpoints (deleted_at) where deleted_at is not null;

create index webhook_endpoints_organization on public.webhook_endpoints (organization_id);

alter table public.webhook_endpoints enable row level security;

revoke all on table public.webhook_endpoints from public, anon, authenticated, service_role;

grant select (id, organization_id, url, events, min_severity, enabled, disabled_reason, previous_secret_ends_at, created_at)
  on table public.webhook_endpoints to authenticated;

create policy "Members can read their organization's endpoints"
  on public.webhook_endpoints
  for select to authenticated
  using (deleted_at is null and private.can_access_organization(organization_id));

create function private.shown_endpoint(p_row public.webhook_endpoints) returns jsonb
language sql immutable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'id', p_row.id,
    'organization_id', p_row.organization_id,
    'url', p_row.url,
    'events', p_row.events,
    'min_severity', p_row.min_severity,
    'enabled', p_row.enabled,
    'disabled_reason', p_row.disabled_reason,
    'previous_secret_ends_at', p_row.previous_secret_ends_at,
    'created_at', p_row.created_at
  );
$$;

comment on function private.shown_endpoint(webhook_endpoints) is
  'An endpoint as members of its organization see it.';

create function private.sealing_organization(p_organization_id uuid) returns uuid
language sql immutable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(p_organization_id, '00000000-0000-0000-0000-000000000000');
$$;

comment on function private.sealing_organization(uuid) is
  'The organization to which an endpoint''s secrets are bound: its own, or the nil UUID for one of the whole deployment.';

create function private.lock_endpoints_of(p_organization_id uuid, p_user_id uuid, p_service_key uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  if p_organization_id is null then
    return private.service_key_covers_all(p_service_key, 'webhooks:manage');
  end if;
  return private.lock_access(p_user_id, p_service_key, 'webhooks:manage', p_organization_id);
end
$$;

comment on function private.lock_endpoints_of(uuid, uuid, uuid) is
  'Whether a caller may manage the endpoints of an organization, like lock_access; null: those of the whole deployment.';

create function private.lock_endpoint(p_id uuid, p_user_id uuid, p_service_key uuid) returns public.webhook_endpoints
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row public.webhook_endpoints;
begin
  select * into v_row from public.webhook_endpoints e where e.id = p_id and e.deleted_at is null;
  if not found or not private.lock_endpoints_of(v_row.organization_id, p_user_id, p_service_key) then
    return null;
  end if;
  -- The organization again: it is the one whose membership is locked.
  select * into v_row from public.webhook_endpoints e
    where e.id = p_id and e.organization_id is not distinct from v_row.organization_id and e.deleted_at is null
    for no key update;
  return v_row;
end
$$;

comment on function private.lock_endpoint(uuid, uuid, uuid) is
  'Locks and returns an endpoint if the caller has access to its organization; null otherwise.';

create function public.create_webhook_endpoint(
  p_id uuid, p_user_id uuid, p_organization_id uuid, p_url text, p_events text[], p_config jsonb, p_min_severity text default null,
  p_service_key uuid default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row public.webhook_endpoints;
begin
  -- Concurrent calls of an organization queue here. If they counted at the same time, each would see room for one more.
  perform pg_advisory_xact_lock(hashtextextended('webhook_endpoints ' || coalesce(p_organization_id::text, ''), 0));

  if not private.lock_endpoints_of(p_organization_id, p_user_id, p_service_key) then
    return jsonb_build_object('outcome', 'not_a_member');
  end if;
  if (
    select count(*) from public.webhook_endpoints e where e.organization_id is not distinct from p_organization_id and e.deleted_at is null
  ) >= 10 then
    return jsonb_build_object('outcome', 'too_many');
  end if;

  insert into public.webhook_endpoints (id, organization_id, url, events, min_severity, config)
    values (p_id, p_organization_id, p_url, p_events, p_min_severity, p_config)
    returning * into v_row;
  return jsonb_build_object('outcome', 'created', 'endpoint', private.shown_endpoint(v_row));
end
$$;

comment on function public.create_webhook_endpoint(uuid, uuid, uuid, text, text[], jsonb, text, uuid) is
  'Creates an endpoint. p_organization_id null: for the events of all organizations, by a service key of all. Returns created, '
  'not_a_member or too_many (ten an organization, and ten of the whole deployment).';

create function public.change_webhook_endpoint(p_id uuid, p_user_id uuid, p_changes jsonb, p_service_key uuid default null) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row public.webhook_endpoints;
begin
  if jsonb_typeof(p_changes) is distinct from 'object'
    or p_changes - array['url', 'events', 'min_severity', 'enabled'] <> '{}'
    or (p_changes ? 'url' and jsonb_typeof(p_changes->'url') <> 'string')
    or (p_changes ? 'events' and jsonb_typeof(p_changes->'events') not in ('array', 'null'))
    or (p_changes ? 'min_severity' and jsonb_typeof(p_changes->'min_severity') not in ('string', 'null'))
    or (p_changes ? 'enabled' and jsonb_typeof(p_changes->'enabled') <> 'boolean')
  then
    raise exception 'p_changes holds something else' using
      errcode = 'invalid_parameter_value', hint = 'url a text, events a list or null, min_severity a text or null, enabled true or false';
  end if;

  v_row := private.lock_endpoint(p_id, p_user_id, p_service_key);
  if v_row.id is null then
    return jsonb_build_object('outcome', 'unknown');
  end if;

  update public.webhook_endpoints e
    set url = coalesce(p_changes->>'url', e.url),
      events = case
        when jsonb_typeof(p_changes->'events') = 'array'
          then array(select w.type from jsonb_array_elements_text(p_changes->'events') w (type))
        when p_changes ? 'events' then null
        else e.events
      end,
      min_severity = case when p_changes ? 'min_severity' then p_changes->>'min_severity' else e.min_severity end,
      enabled = coalesce((p_changes->>'enabled')::boolean, e.enabled),
      disabled_reason = case when not p_changes ? 'enabled' then e.disabled_reason end,
      failing_since = null,
      -- The speed of a new receiver is unknown.
      slow_until = case when p_changes->>'url' <> e.url then 'infinity' else e.slow_until end,
      updated_at = now()
    where e.id = p_id
    returning * into v_row;
  return jsonb_build_object('outcome', 'changed', 'endpoint', private.shown_endpoint(v_row));
end
$$;

comment on function public.change_webhook_endpoint(uuid, uuid, jsonb, uuid) is
  'Changes an endpoint. p_changes holds url, events (null: all), min_severity (null: any) and enabled, each optional. Enabling clears '
  'disabled_reason. Returns changed or unknown.';

create function public.delete_webhook_endpoint(p_id uuid, p_user_id uuid, p_service_key uuid default null) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row public.webhook_endpoints;
begin
  v_row := private.lock_endpoint(p_id, p_user_id, p_service_key);
  -- Its deliveries may be millions. Deleting them here would take long, and whoever writes an event would wait for the row meanwhile.
  update public.webhook_endpoints e
    set deleted_at = now(), enabled = false, disabled_reason = null, config = '{}', previous_secret_ends_at = null, updated_at = now()
    where e.id = v_row.id;
  return jsonb_build_object('outcome', case when found then 'deleted' else 'unknown' end);
end
$$;

comment on function public.delete_webhook_endpoint(uuid, uuid, uuid) is
  'Deletes an endpoint and its secrets: nobody sees it and its deliveries any more, and nothing more is sent. clean_up deletes the rows. '
  'Returns deleted or unknown.';

create function public.find_webhook_endpoint(p_id uuid, p_user_id uuid, p_service_key uuid default null) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row public.webhook_endpoints;
begin
  v_row := private.lock_endpoint(p_id, p_user_id, p_service_key);
  if v_row.id is null then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  return jsonb_build_object(
    'outcome', 'found', 'organization_id', private.sealing_organization(v_row.organization_id), 'config', v_row.config
  );
end
$$;

comment on function public.find_webhook_endpoint(uuid, uuid, uuid) is
  'Reads an endpoint''s sealed secrets for a change of the secret. Returns found or unknown.';

create function public.change_webhook_secret(
  p_id uuid, p_user_id uuid, p_read jsonb, p_config jsonb, p_service_key uuid default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row public.webhook_endpoints;
begin
  v_row := private.lock_endpoint(p_id, p_user_id, p_service_key);
  if v_row.id is null then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  if v_row.config is distinct from p_read then
    return jsonb_build_object('outcome', 'changed');
  end if;

  update public.webhook_endpoints e
    set config = p_config,
      previous_secret_ends_at = case when p_config ? 'previous_secret' then now() + interval '24 hours' end,
      updated_at = now()
    where e.id = p_id
    returning * into v_row;
  return jsonb_build_object('outcome', 'rotated', 'endpoint', private.shown_endpoint(v_row));
end
$$;

comment on function public.change_webhook_secret(uuid, uuid, jsonb, jsonb, uuid) is
  'Replaces the secrets that were read (p_read). Returns rotated, changed (other secrets are stored by now; nothing was written) '
  'or unknown. A previous_secret among the new ones also signs for a day.';

create table private.webhook_events (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null,
  integration_id uuid not null,
  type text not null check (type = any (private.webhook_types())),
  data jsonb not null check (jsonb_typeof(data) = 'object' and octet_length(data::text) <= 8192),
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
  -- The order of an integration's events at an endpoint. A writer of an integration holds its row lock, so this is the order of the
  -- commits.
  position bigint not null unique default nextval('private.webhook_positions'),
  -- The endpoint's, so that those who see the endpoint can read a delivery in one place.
  organization_id uuid,
  integration_id uuid not null,
  type text not null,
  occurred_at timestamptz not null,
  state text not null default 'pending' check (state in ('pending', 'delivered', 'failed')),
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default now(),
  -- The delivery is given up after this.
  expires_at timestamptz not null default now() + interval '3 days',
  last_attempt_at timestamptz,
  last_status integer,
  last_error text check (char_length(last_error) between 1 and 64),
  delivered_at timestamptz,
  -- The lease of the worker that delivers it. An expired lease has no owner.
  owner uuid,
  leased_until timestamptz,
  primary key (endpoint_id, event_id),
  check ((owner is null) = (leased_until is null))
);

comment on column public.webhook_deliveries.last_status is 'The last status of the receiver. Null: there was no response.';

comment on column public.webhook_deliveries.last_error is
  'A short code: why the last attempt failed (status, redirect, timeout, unreachable, refused, unreadable), or expired, or overflow. Null after a success.';

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

create policy "Members can read their organization's deliveries"
  on public.webhook_deliveries
  for select to authenticated
  -- The reader sees no deleted endpoint.
  using (private.can_access_organization(organization_id) and exists (select from public.webhook_endpoints e where e.id = endpoint_id));

create function private.enqueue_event(
  p_organization_id uuid, p_integration_id uuid, p_type text, p_data jsonb, p_severity text default null
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  c_severities constant text[] := '{info,low,medium,high,critical}';
  v_endpoints uuid[];
  v_event private.webhook_events;
begin
  -- Locked, so that no endpoint's row is deleted before its delivery is written. In the order of ids, as every function that locks several rows.
  select array_agg(e.id) into v_endpoints from (
    select w.id from public.webhook_endpoints w
    where (w.organization_id = p_organization_id or w.organization_id is null) and w.enabled and (w.events is null or p_type = any (w.events))
      and (
        p_severity is null or w.min_severity is null
        or array_position(c_severities, p_severity) >= array_position(c_severities, w.min_severity)
      )
    order by w.id
    for key share
  ) e;
  if v_endpoints is null then
    return;
  end if;

  insert into private.webhook_events (organization_id, integration_id, type, data)
    values (p_organization_id, p_integration_id, p_type, p_data)
    returning * into v_event;
  -- The outbox is bounded: beyond 10,000 waiting deliveries of an endpoint the next ones are stored as failed, and can be sent again on
  -- request.
  insert into public.webhook_deliveries (endpoint_id, event_id, organization_id, integration_id, type, occurred_at, state, last_error)
    select e.id, v_event.id, e.organization_id, v_event.integration_id, v_event.type, v_event.occurred_at,
      case when b.is_full then 'failed' else 'pending' end, case when b.is_full then 'overflow' end
    from public.webhook_endpoints e
    cross join lateral (
      select count(*) >= 10000 as is_full from (
        select from public.webhook_deliveries d where d.endpoint_id = e.id and d.state = 'pending' limit 10000
      ) p
    ) b
    where e.id = any (v_endpoints);
end
$$;

comment on function private.enqueue_event(uuid, uuid, text, jsonb, text) is
  'Puts an event into the outbox in the caller''s transaction. Writes nothing if no endpoint receives it.';

create function private.webhook_data(p_row public.integrations, p_reason text) returns jsonb
language sql immutable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'organization_id', p_row.organization_id,
    'integration_id', p_row.id,
    'integration_type', left(p_row.integration_type, 64),
    'name', left(p_row.name, 200),
    'status', left(p_row.status, 64),
    'external_user_id', p_row.external_user_id,
    'reason', p_reason
  );
$$;

comment on function private.webhook_data(integrations, text) is
  'An event''s data about an integration, of bounded size whatever an earlier application has stored. It never contains '
  'anything from config.';

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

comment on function private.announce_integration() is
  'Announces that a connection was created or deleted, or needs its user, for every writer of the row.';

create trigger announce_change
  after insert or delete on public.integrations
  for each row
  execute function private.announce_integration();

-- Fires for a change of status only, not for a refresh or a rotation.
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

comment on function private.announce_event() is
  'Announces what the row does not show: a refresh, or a failed refresh.';

create trigger announce_event
  after insert on public.credential_events
  for each row
  when (new.action in ('reconnected', 'refreshed') or (new.action = 'refresh_failed' and new.outcome = 'failed'))
  execute function private.announce_event();

create function private.webhook_pause(p_attempts integer) returns interval
language sql immutable security definer set search_path = pg_catalog, pg_temp as $$
  select (array[
    interval '30 seconds', interval '5 minutes', interval '30 minutes', interval '2 hours', interval '5 hours', interval '10 hours',
    interval '14 hours', interval '20 hours'
  ])[least(greatest(p_attempts, 1), 8)];
$$;

comment on function private.webhook_pause(integer) is
  'How long a delivery waits after this many attempts. There are ten attempts within three days.';

create function private.clean_up_webhooks() returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_expired integer;
  v_old integer;
  v_deleted integer;
begin
  update public.webhook_deliveries d
    set state = 'failed', last_error = coalesce(d.last_error, 'expired'), owner = null, leased_until = null
    where (d.endpoint_id, d.event_id) in (
      select p.endpoint_id, p.event_id from public.webhook_deliveries p
      where p.state = 'pending' and p.expires_at <= now() and coalesce(p.leased_until <= now(), true)
      order by p.expires_at limit 1000 for update skip locked
    );
  get diagnostics v_expired = row_count;

  delete from private.webhook_events w
    where w.id in (
      select e.id from private.webhook_events e
      where e.occurred_at <= now() - interval '14 days'
        and not exists (select from public.webhook_deliveries d where d.event_id = e.id and d.state = 'pending')
      order by e.occurred_at limit 1000 for update skip locked
    );
  get diagnostics v_old = row_count;

  update public.webhook_endpoints e
    set config = e.config - 'previous_secret', previous_secret_ends_at = null
    where e.id in (
      select p.id from public.webhook_endpoints p
      where p.previous_secret_ends_at <= now() limit 100 for no key update skip locked
    );

  delete from public.webhook_deliveries d
    where (d.endpoint_id, d.event_id) in (
      select p.endpoint_id, p.event_id
      from public.webhook_endpoints e
      cross join lateral (
        select w.endpoint_id, w.event_id from public.webhook_deliveries w where w.endpoint_id = e.id limit 1000 for update skip locked
      ) p
      where e.deleted_at is not null
      limit 1000
    );
  get diagnostics v_deleted = row_count;
  -- Whoever writes an event just now still holds the row.
  delete from public.webhook_endpoints e
    where e.id in (
      select p.id from public.webhook_endpoints p
      where p.deleted_at is not null and not exists (select from public.webhook_deliveries d where d.endpoint_id = p.id)
      limit 1000 for update skip locked
    );
  return greatest(v_expired, v_old, v_deleted) = 1000;
end
$$;

comment on function private.clean_up_webhooks() is
  'Gives up deliveries after three days, and deletes settled ones after two weeks, and those of deleted endpoints; a bounded number of each. '
  'Returns whether there may be more.';

create function public.claim_webhook_deliveries(
  p_owner uuid, p_limit integer, p_slow integer default 100, p_skip uuid[] default '{}'
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = 'force_custom_plan' as $$
declare
  v_claims jsonb;
begin
  if p_owner is null or p_limit is null or p_limit not between 1 and 100 or p_slow is null or p_slow not between 0 and 100 or p_skip is null
  then
    raise exception 'p_limit is not between 1 and 100, p_slow not between 0 and 100, or an argument is null' using
      errcode = 'invalid_parameter_value';
  end if;

  -- The endpoints with waiting deliveries, each found by one index lookup.
  with recursive waiting (endpoint_id) as (
    (select d.endpoint_id from public.webhook_deliveries d where d.state = 'pending' order by d.endpoint_id limit 1)
    union all
    select (
      select d.endpoint_id from public.webhook_deliveries d
      where d.state = 'pending' and d.endpoint_id > w.endpoint_id
      order by d.endpoint_id limit 1
    )
    from waiting w where w.endpoint_id is not null
  ), endpoints as materialized (
    select e.id, e.organization_id, e.failing_since is not null as is_failing, e.slow_until = 'infinity' as is_new,
      e.failing_since is not null or e.slow_until > now() as is_slow,
      e.enabled and e.rests_until <= now() and e.id <> all (p_skip) as is_open,
      f.in_flight, (sum(f.in_flight) over (partition by e.organization_id))::integer as organization_in_flight
    from waiting w
    join public.webhook_endpoints e on e.id = w.endpoint_id
    cross join lateral (
      select count(*)::integer as in_flight from public.webhook_deliveries l
      where l.endpoint_id = e.id and l.owner is not null and l.leased_until > now()
    ) f
  ), heads as (
    select e.*, c.event_id, c.position, e.in_flight + c.turn as turn
    from endpoints e
    cross join lateral (
      select d.event_id, d.position, row_number() over (order by d.next_attempt_at, d.position) as turn
      from public.webhook_deliveries d
      where d.endpoint_id = e.id and d.state = 'pending' and d.next_attempt_at <= now() and d.expires_at > now()
        and coalesce(d.leased_until <= now(), true)
        and not exists (
          select from public.webhook_deliveries earlier
          where earlier.endpoint_id = d.endpoint_id and earlier.integration_id = d.integration_id
            and earlier.position < d.position and earlier.state = 'pending'
        )
      order by d.next_attempt_at, d.position
      limit greatest(case when e.is_failing or (e.is_slow and not e.is_new) then 1 else 10 end - e.in_flight, 0)
    ) c
    where e.is_open and e.organization_in_flight < 20
  ), shares as (
    select h.*, h.organization_in_flight + row_number() over (
        partition by h.organization_id order by h.is_slow, h.is_failing, h.turn, h.position
      ) as share
    from heads h
  ), places as (
    select s.id as endpoint_id, s.event_id, s.is_slow,
      row_number() over (
        partition by s.is_slow
        -- Equals are in random order: an older backlog gives no precedence.
        order by s.share, s.is_failing, not s.is_new, random()
      ) as place
    from shares s
    where s.share <= 20
  ), candidates as (
    select p.endpoint_id, p.event_id from places p
    where not p.is_slow or p.place <= p_slow
    order by p.is_slow, p.place
    limit p_limit
  ), taken as (
    select d.endpoint_id, d.event_id
    from public.webhook_deliveries d
    where (d.endpoint_id, d.event_id) in (select c.endpoint_id, c.event_id from candidates c)
      and d.state = 'pending' and d.next_attempt_at <= now() and coalesce(d.leased_until <= now(), true)
    for update skip locked
  ), claimed as (
    -- Longer than the worker needs: its lanes finish a claim within a minute, with 10 s for each request.
    update public.webhook_deliveries d
      set owner = p_owner, leased_until = now() + interval '2 minutes'
      from taken t
      where d.endpoint_id = t.endpoint_id and d.event_id = t.event_id
      returning d.*
  )
  select jsonb_agg(
    jsonb_build_object(
      'endpoint_id', e.id,
      'organization_id', private.sealing_organization(e.organization_id),
      'url', e.url,
      'config', e.config,
      'both', coalesce(e.previous_secret_ends_at > now(), false),
      'slow', e.failing_since is not null or e.slow_until > now(),
      'event_id', w.id,
      'type', w.type,
      'occurred_at', w.occurred_at,
      'data', w.data
    )
    order by p.is_slow, p.place
  ) into v_claims
    from claimed c
    join places p on p.endpoint_id = c.endpoint_id and p.event_id = c.event_id
    join public.webhook_endpoints e on e.id = c.endpoint_id
    join private.webhook_events w on w.id = c.event_id;
  return jsonb_build_object('outcome', 'claimed', 'deliveries', coalesce(v_claims, '[]'));
end
$$;

comment on function public.claim_webhook_deliveries(uuid, integer, integer, uuid[]) is
  'Claims up to p_limit deliveries to endpoints that are not in p_skip. Of each integration it claims only the earliest '
  'undelivered event for an endpoint, so that events of one integration are delivered in order. Shares are fair: the organization '
  'with fewer deliveries in flight comes first, whatever the age of its backlog, and within it the endpoint with fewer. An '
  'organization has at most 20 in flight, an endpoint 10. An endpoint that is slow, failing or new comes last, '
  'and p_slow bounds how many deliveries for those one claim holds. A slow or failing one has a single delivery in flight, and a slow one '
  'pauses in between.';

create function public.settle_webhook_deliveries(p_owner uuid, p_results jsonb) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
declare
  v_result record;
  v_endpoint public.webhook_endpoints;
  v_delivery public.webhook_deliveries;
  v_next timestamptz;
begin
  if p_owner is null or jsonb_typeof(p_results) is distinct from 'array' or jsonb_array_length(p_results) > 100 then
    raise exception 'p_results is no list of at most 100' using errcode = 'invalid_parameter_value';
  end if;

  -- In the order of ids, as every function that locks several rows.
  for v_result in
    select * from jsonb_to_recordset(p_results)
      as r (endpoint_id uuid, event_id uuid, status integer, error text, retry_after integer, url text, took_ms integer)
    order by r.endpoint_id, r.event_id
  loop
    select * into v_endpoint from public.webhook_endpoints e where e.id = v_result.endpoint_id for no key update;
    continue when not found;
    select * into v_delivery from public.webhook_deliveries d
      where d.endpoint_id = v_result.endpoint_id and d.event_id = v_result.event_id and d.owner = p_owner
      for update;
    continue when not found;

    if v_result.error = 'released' then
      update public.webhook_deliveries d set owner = null, leased_until = null
        where d.endpoint_id = v_result.endpoint_id and d.event_id = v_result.event_id;
      continue;
    end if;

    -- A random bit before the pause's end, so that deliveries that failed together are not retried together.
    v_next := now() + greatest(
      private.webhook_pause(v_delivery.attempts + 1) * (0.9 + 0.1 * random()),
      make_interval(secs => least(coalesce(v_result.retry_after, 0), 86400))
    );
    update public.webhook_deliveries d
      set owner = null, leased_until = null, attempts = d.attempts + 1, last_attempt_at = now(), last_status = v_result.status,
        last_error = v_result.error,
        state = case
          when v_result.error is null then 'delivered'
          when v_result.status = 410 or v_next > d.expires_at then 'failed'
          else 'pending'
        end,
        delivered_at = case when v_result.error is null then now() else d.delivered_at end,
        next_attempt_at = v_next
      where d.endpoint_id = v_result.endpoint_id and d.event_id = v_result.event_id;

    if v_result.took_ms >= 2000 then
      update public.webhook_endpoints e
        set slow_until = now() + interval '15 minutes',
          rests_until = now() + make_interval(secs => least(v_result.took_ms, 60000) / 1000.0)
        where e.id = v_endpoint.id;
    elsif v_result.error is null and v_result.took_ms is not null and v_endpoint.slow_until = 'infinity' then
      update public.webhook_endpoints e set slow_until = '-infinity' where e.id = v_endpoint.id;
    end if;

    if v_result.error is null then
      update public.webhook_endpoints e set failing_since = null where e.id = v_endpoint.id and e.failing_since is not null;
      -- After an outage the waiting deliveries need not wait any longer. One event that a healthy receiver rejects is not an
      -- outage.
      update public.webhook_deliveries d set next_attempt_at = now()
        where d.endpoint_id = v_endpoint.id and d.state = 'pending' and d.next_attempt_at > now()
          and v_endpoint.failing_since <= now() - interval '5 minutes';
    elsif v_result.status = 410 and v_result.url = v_endpoint.url then
      update public.webhook_endpoints e set enabled = false, disabled_reason = 'gone', updated_at = now()
        where e.id = v_endpoint.id and e.enabled;
    else
      update public.webhook_endpoints e set failing_since = now() where e.id = v_endpoint.id and e.failing_since is null;
    end if;
  end loop;
  return jsonb_build_object('outcome', 'settled');
end
$$;

comment on function public.settle_webhook_deliveries(uuid, jsonb) is
  'Settles up to 100 deliveries that p_owner has leased: [{endpoint_id, event_id, status?, error?, retry_after?, url?}]. Without '
  'error it is delivered; released means that nothing was sent. A 410 from the endpoint''s url disables the endpoint. Deliveries '
  'that p_owner no longer holds are skipped, so a call may be repeated.';

create function public.replay_webhook_delivery(
  p_endpoint_id uuid, p_event_id uuid, p_user_id uuid, p_service_key uuid default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_endpoint public.webhook_endpoints;
begin
  v_endpoint := private.lock_endpoint(p_endpoint_id, p_user_id, p_service_key);
  if v_endpoint.id is null then
    return jsonb_build_object('outcome', 'unknown');
  end if;

  update public.webhook_deliveries d
    set state = 'pending', next_attempt_at = now(), expires_at = now() + interval '3 days',
      attempts = case d.state when 'pending' then d.attempts else 0 end,
      position = case d.state when 'pending' then d.position else nextval('private.webhook_positions') end
    where d.endpoint_id = p_endpoint_id and d.event_id = p_event_id and v_endpoint.enabled;
  if found then
    return jsonb_build_object('outcome', 'replayed');
  end if;
  perform from public.webhook_deliveries d where d.endpoint_id = p_endpoint_id and d.event_id = p_event_id;
  return jsonb_build_object('outcome', case when found then 'disabled' else 'unknown' end);
end
$$;

comment on function public.replay_webhook_delivery(uuid, uuid, uuid, uuid) is
  'Delivers an event again, after what is already undelivered, within three more days. Returns replayed, disabled or unknown.';

revoke all on function 
  private.webhook_types(),
  private.shown_endpoint(webhook_endpoints),
  private.sealing_organization(uuid),
  private.lock_endpoints_of(uuid, uuid, uuid),
  private.lock_endpoint(uuid, uuid, uuid),
  private.enqueue_event(uuid, uuid, text, jsonb, text),
  private.webhook_data(integrations, text),
  private.announce_integration(),
  private.announce_event(),
  private.webhook_pause(integer),
  private.clean_up_webhooks(),
  public.create_webhook_endpoint(uuid, uuid, uuid, text, text[], jsonb, text, uuid),
  public.change_webhook_endpoint(uuid, uuid, jsonb, uuid),
  public.delete_webhook_endpoint(uuid, uuid, uuid),
  public.find_webhook_endpoint(uuid, uuid, uuid),
  public.change_webhook_secret(uuid, uuid, jsonb, jsonb, uuid),
  public.claim_webhook_deliveries(uuid, integer, integer, uuid[]),
  public.settle_webhook_deliveries(uuid, jsonb),
  public.replay_webhook_delivery(uuid, uuid, uuid, uuid)
from public, anon, authenticated, service_role;
grant execute on function 
  public.create_webhook_endpoint(uuid, uuid, uuid, text, text[], jsonb, text, uuid),
  public.change_webhook_endpoint(uuid, uuid, jsonb, uuid),
  public.delete_webhook_endpoint(uuid, uuid, uuid),
  public.find_webhook_endpoint(uuid, uuid, uuid),
  public.change_webhook_secret(uuid, uuid, jsonb, jsonb, uuid),
  public.claim_webhook_deliveries(uuid, integer, integer, uuid[]),
  public.settle_webhook_deliveries(uuid, jsonb),
  public.replay_webhook_delivery(uuid, uuid, uuid, uuid)
to service_role;
