-- Health checks: the worker claims them, runs them and settles them with a verdict.
--
-- Lock order: the integration's row first, then its claim.

-- A claim prevents a second check of an integration at the same time and shortly afterwards, because the provider's limit is shared.
create table private.check_claims (
  integration_id uuid primary key references public.integrations (id) on delete cascade,
  until timestamptz not null
);

alter table private.check_claims enable row level security;

revoke all on table private.check_claims from public, anon, authenticated, service_role;

create function private.schedule_next_check() returns trigger
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

comment on function private.schedule_next_check() is
  'Stops scheduled checks of an integration that needs a reconnection, and makes it due once it is reconnected. Rows without a '
  'schedule are left alone: an earlier application may use next_check_at itself.';

create trigger schedule_next_check
  before update of status, next_check_at on public.integrations
  for each row
  when (new.scan_schedule is not null)
  execute function private.schedule_next_check();

-- Due checks by type: a claim skips a type whose provider is paused without reading its rows. A rotation writes none of these columns, so
-- its updates stay HOT.
create index integrations_due_for_check on public.integrations (integration_type, next_check_at)
  where oauth_app_id is null and scan_schedule is not null and next_check_at is not null and status in ('active', 'degraded');

-- The same for organizations' own apps, which have pauses of their own.
create index integrations_of_apps_due_for_check on public.integrations (next_check_at)
  where oauth_app_id is not null and scan_schedule is not null and next_check_at is not null and status in ('active', 'degraded');

create function private.take_check(
  p_row public.integrations, p_soon integer, p_user_id uuid, p_request_id text, p_service_key uuid
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_is_current boolean;
begin
  -- Longer than a check can take, including its refresh.
  insert into private.check_claims as c (integration_id, until)
    values (p_row.id, now() + interval '10 minutes')
    on conflict (integration_id) do update set until = excluded.until where c.until <= now();
  if not found then
    return null;
  end if;

  v_is_current := coalesce(p_row.token_expires_at > now() + make_interval(secs => p_soon), true) and not exists (
    select from public.credential_leases l where l.integration_id = p_row.id and l.journal is not null
  );
  if v_is_current then
    perform private.write_event(
      private.actor(p_user_id, p_service_key), p_user_id, p_row.organization_id, p_row.id, p_row.integration_type,
      p_row.external_account_id, 'opened', p_reason => 'check', p_request_id => p_request_id,
      p_details => private.named_key(p_service_key)
    );
  end if;
  return jsonb_build_object(
    'id', p_row.id,
    'organization_id', p_row.organization_id,
    'integration_type', p_row.integration_type,
    'account_id', private.account_of(p_row),
    'scan_schedule', p_row.scan_schedule,
    'version', private.version_of(p_row.config),
    'config', case when v_is_current then p_row.config::text end
  ) || private.oauth_app(p_row.oauth_app_id);
end
$$;

comment on function private.take_check(integrations, integer, uuid, text, uuid) is
  'Claims the check of a locked integration. Returns null if another worker checks it or has just checked it. Returns no config '
  'if its token expires within p_soon seconds or a refreshed one is not written yet: then claim_refresh returns it. The version '
  'identifies the config that the verdict will be about.';

create function private.health_of(p_row public.integrations) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'status', p_row.status,
    'status_reason', p_row.status_reason,
    'last_checked_at', p_row.last_checked_at,
    'next_check_at', p_row.next_check_at
  );
$$;

comment on function private.health_of(integrations) is
  'The result of a check as the API returns it.';

create function public.claim_check(
  p_id uuid, p_user_id uuid, p_soon integer, p_request_id text default null, p_service_key uuid default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '5s' as $$
declare
  v_row public.integrations;
  v_claim jsonb;
  v_paused_until timestamptz;
begin
  if p_soon is null then
    raise exception 'p_soon is null' using errcode = 'invalid_parameter_value';
  end if;
  select * into v_row from public.integrations i where i.id = p_id;
  if not found
    or (coalesce(p_user_id, p_service_key) is not null and not private.has_write_access(p_user_id, p_service_key, 'connections:write', v_row.organization_id))
  then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  select * into v_row from public.integrations i where i.id = p_id and i.organization_id = v_row.organization_id for no key update;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;

  if v_row.last_checked_at > now() - interval '10 seconds' then
    return jsonb_build_object('outcome', 'recent') || private.health_of(v_row);
  end if;
  v_paused_until := private.paused_until(p_id, private.client_of(v_row), 'api');
  if v_paused_until is not null then
    return jsonb_build_object('outcome', 'paused', 'seconds', ceil(extract(epoch from v_paused_until - now()))::integer);
  end if;
  v_claim := private.take_check(v_row, p_soon, p_user_id, p_request_id, p_service_key);
  if v_claim is null then
    return jsonb_build_object('outcome', 'busy');
  end if;
  return jsonb_build_object('outcome', 'claimed') || v_claim;
end
$$;

comment on function public.claim_check(uuid, uuid, integer, text, uuid) is
  'Claims the check of one integration for a user or a service key, or with neither for the worker itself. Returns claimed, recent (checked '
  'less than 10 seconds ago, with the result), busy, paused with seconds, or unknown.';

create function private.due_checks(p_limit integer, p_types text[]) returns table (id uuid, turn integer)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select t.id, t.turn from private.in_turns(
    replace(
      $q$
        select d.* from (
          select u.* from unnest($1) t (kind)
          cross join lateral (
            select c.id, c.organization_id, c.next_check_at as due_at from public.integrations c
            where c.oauth_app_id is null and c.integration_type = t.kind and c.is_due
            order by c.next_check_at
            limit $4
          ) u
          union all
          (
            select c.id, c.organization_id, c.next_check_at as due_at from public.integrations c
            where c.oauth_app_id is not null and c.is_due
              and not exists (
                select from private.provider_pauses p
                where p.client = c.oauth_app_id::text and p.endpoint = 'api' and p.until > now()
              )
            order by c.next_check_at
            limit $4
          )
        ) d
        order by d.due_at
        limit $4
      $q$,
      'c.is_due',
      $q$
        c.next_check_at <= $2
        and c.scan_schedule is not null and c.next_check_at is not null and c.status in ('active', 'degraded')
        and c.organization_id <> all ($3)
        and not exists (select from private.check_claims k where k.integration_id = c.id and k.until > now())
        and not exists (
          select from private.integration_pauses p
          where p.integration_id = c.id and p.endpoint = 'api' and p.until > now()
        )
        and not exists (
          select from public.credential_leases l
          where l.integration_id = c.id and l.owner is not null and l.expires_at > now()
        )
      $q$
    ),
    p_types, now(), p_limit
  ) t;
$$;

comment on function private.due_checks(integer, text[]) is
  'The rows of these types, and of organizations'' own apps, that are due for a check, by turns of their organizations.';

create function public.claim_due_checks(p_limit integer, p_types text[], p_soon integer, p_request_id text default null) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = 'force_custom_plan' as $$
declare
  v_row public.integrations;
  v_claim jsonb;
  v_claims jsonb[] := '{}';
  v_room integer := 1048576;
begin
  if p_limit is null or p_limit not between 1 and 100 or p_types is null or p_soon is null then
    raise exception 'p_limit is not between 1 and 100, or an argument is null' using errcode = 'invalid_parameter_value';
  end if;

  for v_row in
    select i.* from private.due_checks(p_limit, private.without_paused(p_types, 'api')) d
    join public.integrations i on i.id = d.id
    -- Again, for a row that was checked between the read and the lock.
    where i.next_check_at <= now() and i.scan_schedule is not null and i.status in ('active', 'degraded')
    order by d.turn, i.next_check_at
    limit p_limit
    for no key update of i skip locked
  loop
    exit when v_room <= 0;
    v_claim := private.take_check(v_row, p_soon, null, p_request_id, null);
    continue when v_claim is null;
    v_claims := v_claims || v_claim;
    v_room := v_room - octet_length(v_claim::text);
  end loop;
  return jsonb_build_object('outcome', 'claimed', 'claims', to_jsonb(v_claims));
end
$$;

comment on function public.claim_due_checks(integer, text[], integer, text) is
  'Claims up to p_limit due checks of these types and of organizations'' own apps. Organizations take turns, each with its longest due row first, so none waits '
  'for another''s whole backlog. It leaves out rows of a paused provider, and rows that another worker checks or refreshes. '
  'Together the configs are at most about a megabyte.';

create function public.settle_checks(
  p_results jsonb, p_user_id uuid default null, p_request_id text default null, p_scan_types text[] default '{}',
  p_service_key uuid default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
declare
  v_result record;
  v_end jsonb;
  v_ends jsonb := '{}';
begin
  if jsonb_typeof(p_results) is distinct from 'array' or jsonb_array_length(p_results) > 100 then
    raise exception 'p_results is no list of at most 100' using errcode = 'invalid_parameter_value';
  end if;
  -- In the order of ids, as every function that locks several rows.
  for v_result in
    select * from jsonb_to_recordset(p_results)
      as r (id uuid, version text, status text, reason text, forbidden_days integer, schedule text, next_check_at timestamptz)
    order by r.id
  loop
    if v_result.id is null
      or v_result.status not in ('active', 'degraded', 'reconnect_required', 'revoked')
      or (v_result.reason is null) <> (coalesce(v_result.status, 'active') = 'active')
      or v_result.forbidden_days not between 0 and 365
    then
      raise exception 'a result is no known status with a reason where it is not active' using
        errcode = 'invalid_parameter_value';
    end if;
    begin
      v_end := private.settle_check(
        v_result.id, v_result.version, v_result.status, v_result.reason, v_result.forbidden_days, v_result.schedule, v_result.next_check_at, p_user_id,
        p_request_id, p_scan_types, p_service_key
      );
    exception when lock_not_available or deadlock_detected then
      -- A row that cannot be locked must not undo the others. Its claim expires.
      v_end := jsonb_build_object('end', 'busy');
    end;
    v_ends := v_ends || jsonb_build_object(v_result.id::text, v_end);
  end loop;
  return jsonb_build_object('outcome', 'ended', 'ends', v_ends);
end
$$;

comment on function public.settle_checks(jsonb, uuid, text, text[], uuid) is
  'Settles up to 100 checks, each by itself: [{id, version, status, reason?, schedule?, next_check_at?}]; without a status the '
  'claim is released. next_check_at follows from the schedule that was claimed. p_scan_types: the types that the scanner has checks '
  'for. When a slot of the schedule passes, an active integration of these types is queued for the scanner; for another one a run '
  'is recorded that did not run. Returns the outcome of each: checked with the result, changed (another config is stored; nothing was written), released, gone, or busy.';

create function private.settle_check(
  p_id uuid, p_version text, p_status text, p_reason text, p_forbidden_days integer, p_schedule text, p_next_check_at timestamptz,
  p_user_id uuid, p_request_id text, p_scan_types text[], p_service_key uuid
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_old public.integrations;
  v_row public.integrations;
  v_since timestamptz;
  v_slot timestamptz;
begin
  select * into v_old from public.integrations i where i.id = p_id for no key update;
  if not found
    or (coalesce(p_user_id, p_service_key) is not null and not private.has_access(p_user_id, p_service_key, 'connections:write', v_old.organization_id))
  then
    return jsonb_build_object('end', 'gone');
  end if;

  -- A schedule that was changed since the claim has its own next time.
  if v_old.scan_schedule is null or v_old.scan_schedule is distinct from p_schedule then
    p_next_check_at := v_old.next_check_at;
  end if;
  -- A slot passes when a due check is rescheduled, also by a check that a user asked for.
  if v_old.scan_schedule is not null and v_old.next_check_at <= now() and p_next_check_at is distinct from v_old.next_check_at
    and v_old.integration_type = any (p_scan_types)
  then
    v_slot := v_old.next_check_at;
  end if;

  if p_status is null then
    delete from private.check_claims c where c.integration_id = p_id;
    update public.integrations i set next_check_at = p_next_check_at
      where i.id = p_id and i.next_check_at is distinct from p_next_check_at;
    if v_slot is not null then
      perform private.record_not_run(v_old, v_slot, 'not_checked');
    end if;
    return jsonb_build_object('end', 'released');
  end if;

  if private.version_of(v_old.config) is distinct from p_version then
    delete from private.check_claims c where c.integration_id = p_id;
    return jsonb_build_object('end', 'changed');
  end if;

  if p_reason = 'forbidden' and p_status = 'degraded' then
    insert into private.forbidden_checks (integration_id) values (p_id) on conflict (integration_id) do nothing;
    select f.since into v_since from private.forbidden_checks f where f.integration_id = p_id;
    if v_since <= now() - make_interval(days => coalesce(p_forbidden_days, 7)) and (
      private.has_succeeded(private.client_of(v_old), 'check', v_since)
      or not exists (
        select from private.forbidden_checks f join public.integrations i on i.id = f.integration_id
        where private.client_of(i) = private.client_of(v_old) and i.id <> p_id
      )
    ) then
      p_status := 'reconnect_required';
    end if;
  elsif p_status = 'active' then
    delete from private.forbidden_checks f where f.integration_id = p_id;
    perform private.note_success(private.client_of(v_old), 'check');
  end if;

  -- An outage says nothing about an ended grant. And a token that is still valid does not repair a grant that cannot be refreshed.
  if v_old.status in ('reconnect_required', 'revoked') and (
    p_status = 'degraded'
    or (p_status <> 'revoked' and v_old.status_reason in ('invalid_grant', 'invalid_client', 'refresh_lost', 'refresh_refused', 'not_refreshable'))
  ) then
    p_status := v_old.status;
    p_reason := v_old.status_reason;
  end if;

  update public.integrations i
    set status = p_status, status_reason = p_reason, last_checked_at = now(), next_check_at = p_next_check_at
    where i.id = p_id
    returning * into v_row;
  update private.check_claims c set until = now() + interval '10 seconds' where c.integration_id = p_id;
  perform private.write_event(
    private.actor(p_user_id, p_service_key), p_user_id, v_row.organization_id, v_row.id, v_row.integration_type,
    v_row.external_account_id, 'checked', p_status, p_reason, p_request_id, private.named_key(p_service_key)
  );
  if v_slot is not null then
    perform private.settle_slot(v_row, v_slot);
  end if;
  return jsonb_build_object('end', 'checked') || private.health_of(v_row);
end
$$;

comment on function private.settle_check(uuid, text, text, text, integer, text, timestamp with time zone, uuid, text, text[], uuid) is
  'Settles one check. The verdict is about the config of p_version: if another config is stored by now (a reconnection, a refresh) '
  'it is ignored. forbidden proves nothing: it may be a gatekeeper''s page, or a provider''s word for an ended grant. After '
  'p_forbidden_days (7 if null) without a success it becomes reconnect_required, unless all rows of the client are forbidden: '
  'then the cause is not this grant.';

-- Since when the checks of an integration have been forbidden, without a success in between.
create table private.forbidden_checks (
  integration_id uuid primary key references public.integrations (id) on delete cascade,
  since timestamptz not null default now()
);

alter table private.forbidden_checks enable row level security;

revoke all on table private.forbidden_checks from public, anon, authenticated, service_role;

revoke all on function 
  private.schedule_next_check(),
  private.take_check(integrations, integer, uuid, text, uuid),
  private.health_of(integrations),
  private.due_checks(integer, text[]),
  private.settle_check(uuid, text, text, text, integer, text, timestamp with time zone, uuid, text, text[], uuid),
  public.claim_check(uuid, uuid, integer, text, uuid),
  public.claim_due_checks(integer, text[], integer, text),
  public.settle_checks(jsonb, uuid, text, text[], uuid)
from public, anon, authenticated, service_role;
grant execute on function 
  public.claim_check(uuid, uuid, integer, text, uuid),
  public.claim_due_checks(integer, text[], integer, text),
  public.settle_checks(jsonb, uuid, text, text[], uuid)
to service_role;
