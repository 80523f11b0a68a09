-- Health checks: who is checking what, and which provider wants no requests for a while.

-- A claim keeps others from checking the same integration at the same time, and for a moment after it: the provider's limit is shared.
--
-- Lock order, as everywhere: the integration's row first, then its claim.
create table private.check_claims (
  integration_id uuid primary key references public.integrations (id) on delete cascade,
  until timestamptz not null
);

-- A provider has asked one integration to wait, at its token endpoint or at its API. That holds for this integration, and is evidence of its
-- organization for a pause of the whole type.
create table private.integration_pauses (
  integration_id uuid not null references public.integrations (id) on delete cascade,
  endpoint text not null check (endpoint in ('token', 'api')),
  organization_id uuid not null,
  integration_type text not null check (char_length(integration_type) between 1 and 64),
  noted_at timestamptz not null default now(),
  until timestamptz not null,
  primary key (integration_id, endpoint)
);

create index integration_pauses_noted_at on private.integration_pauses (integration_type, endpoint, noted_at);

-- All integrations of a type wait, at one endpoint.
create table private.provider_pauses (
  integration_type text not null check (char_length(integration_type) between 1 and 64),
  endpoint text not null check (endpoint in ('token', 'api')),
  until timestamptz not null,
  primary key (integration_type, endpoint)
);

alter table private.check_claims enable row level security;
alter table private.integration_pauses enable row level security;
alter table private.provider_pauses enable row level security;
revoke all on table private.check_claims from public, anon, authenticated, service_role;
revoke all on table private.integration_pauses from public, anon, authenticated, service_role;
revoke all on table private.provider_pauses from public, anon, authenticated, service_role;

-- When this integration may ask this endpoint again; null: now.
create function private.paused_until(p_id uuid, p_integration_type text, p_endpoint text) returns timestamptz
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select greatest(
    (select p.until from private.provider_pauses p
      where p.integration_type = p_integration_type and p.endpoint = p_endpoint and p.until > now()),
    (select p.until from private.integration_pauses p
      where p.integration_id = p_id and p.endpoint = p_endpoint and p.until > now())
  );
$$;

-- Those of the types that are not paused at this endpoint as a whole.
create function private.without_paused(p_types text[], p_endpoint text) returns text[]
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(array_agg(t.kind), '{}') from unnest(p_types) t (kind)
  where not exists (
    select from private.provider_pauses p
    where p.integration_type = t.kind and p.endpoint = p_endpoint and p.until > now()
  );
$$;

-- Notes that a provider has asked an integration to wait for so many seconds, an hour at the most: what it asks beyond that it can say again.
-- p_organizations: how many organizations must have been told so within ten minutes before all of the type wait; null: no number of them.
-- The type waits for as long as that many of them have to, so none of them alone makes its wait any longer. A longer pause that stands stays.
--
-- paused: the integration waits. type_paused: all of its type do. unknown: the integration is gone.
create function public.pause_provider(p_id uuid, p_endpoint text, p_seconds integer, p_organizations integer) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row public.integrations;
  v_until timestamptz;
begin
  if p_seconds is null or p_seconds not between 1 and 3600 or p_organizations not between 1 and 100 then
    raise exception 'p_seconds is not between 1 and 3600, or p_organizations not between 1 and 100' using
      errcode = 'invalid_parameter_value';
  end if;
  select * into v_row from public.integrations i where i.id = p_id for key share;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  insert into private.integration_pauses as p (integration_id, endpoint, organization_id, integration_type, until)
    values (p_id, p_endpoint, v_row.organization_id, v_row.integration_type, now() + make_interval(secs => p_seconds))
    on conflict (integration_id, endpoint) do update set
      organization_id = excluded.organization_id,
      integration_type = excluded.integration_type,
      noted_at = now(),
      until = greatest(p.until, excluded.until);

  select o.until into v_until
    from (
      select max(p.until) as until from private.integration_pauses p
      where p.integration_type = v_row.integration_type and p.endpoint = p_endpoint
        and p.noted_at > now() - interval '10 minutes' and p.until > now()
      group by p.organization_id
    ) o
    where p_organizations is not null
    order by o.until desc
    offset p_organizations - 1 limit 1;
  if v_until is null then
    return jsonb_build_object('outcome', 'paused');
  end if;
  insert into private.provider_pauses as p (integration_type, endpoint, until)
    values (v_row.integration_type, p_endpoint, v_until)
    on conflict (integration_type, endpoint) do update set until = greatest(p.until, excluded.until)
    returning p.until into v_until;
  return jsonb_build_object('outcome', 'type_paused', 'until', v_until);
end
$$;

revoke all on function private.paused_until(uuid, text, text) from public, anon, authenticated, service_role;
revoke all on function private.without_paused(text[], text) from public, anon, authenticated, service_role;
revoke all on function public.pause_provider(uuid, text, integer, integer) from public, anon, authenticated;
grant execute on function public.pause_provider(uuid, text, integer, integer) to service_role;

-- An integration that only a reconnection helps is not checked by the schedule any more; once it is reconnected, by whomever, it is due at
-- once. Rows without a schedule are nobody's business here: the source's own writers may keep next_check_at for themselves.
create function private.follow_status() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if new.status in ('reconnect_required', 'revoked') then
    new.next_check_at := null;
  elsif old.status in ('reconnect_required', 'revoked') then
    new.next_check_at := coalesce(new.next_check_at, now());
  end if;
  return new;
end
$$;

revoke all on function private.follow_status() from public, anon, authenticated, service_role;

create trigger follow_status
  before update of status, next_check_at on public.integrations
  for each row
  when (new.scan_schedule is not null)
  execute function private.follow_status();
