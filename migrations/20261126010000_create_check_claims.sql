-- Health checks: who is checking what, and which provider wants no requests for a while.

-- A claim keeps others from checking the same integration at the same time, and for a moment after it: the provider's limit is shared.
--
-- Lock order, as everywhere: the integration's row first, then its claim.
create table private.check_claims (
  integration_id uuid primary key references public.integrations (id) on delete cascade,
  until timestamptz not null
);

-- The limit of a provider is the app's, so a pause that one customer's request is told holds for all.
create table private.provider_pauses (
  integration_type text primary key check (char_length(integration_type) between 1 and 64),
  until timestamptz not null
);

alter table private.check_claims enable row level security;
alter table private.provider_pauses enable row level security;
revoke all on table private.check_claims from public, anon, authenticated, service_role;
revoke all on table private.provider_pauses from public, anon, authenticated, service_role;

-- When the provider of this type may be asked again; null: now.
create function private.paused_until(p_integration_type text) returns timestamptz
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select p.until from private.provider_pauses p where p.integration_type = p_integration_type and p.until > now();
$$;

-- Those of the types whose providers may be asked.
create function private.without_paused(p_types text[]) returns text[]
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(array_agg(t.kind), '{}') from unnest(p_types) t (kind) where private.paused_until(t.kind) is null;
$$;

-- Notes that a provider wants no requests for so many seconds, an hour at the most: what it asks beyond that it can say again. A longer
-- pause that stands stays.
create function public.pause_provider(p_integration_type text, p_seconds integer) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_until timestamptz;
begin
  if p_seconds is null or p_seconds not between 1 and 3600 then
    raise exception 'p_seconds is not between 1 and 3600' using errcode = 'invalid_parameter_value';
  end if;
  insert into private.provider_pauses as p (integration_type, until)
    values (p_integration_type, now() + make_interval(secs => p_seconds))
    on conflict (integration_type) do update set until = greatest(p.until, excluded.until)
    returning p.until into v_until;
  return jsonb_build_object('outcome', 'paused', 'until', v_until);
end
$$;

revoke all on function private.paused_until(text) from public, anon, authenticated, service_role;
revoke all on function private.without_paused(text[]) from public, anon, authenticated, service_role;
revoke all on function public.pause_provider(text, integer) from public, anon, authenticated;
grant execute on function public.pause_provider(text, integer) to service_role;

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
