-- Refreshes wait while their provider is paused, and a credential that is read says which config it is.
--
-- Both functions as before but for that.

-- Claims the refresh of one integration. With p_within it is wanted only if the access token ends within so many seconds; without, in any
-- case, save what was refreshed less than 30 seconds ago. p_user_id null: the worker for itself. With p_read, the credential that
-- stands is handed out where there is nothing to refresh, or nobody to refresh it with.
--
-- claimed: the caller redeems and settles. busy: somebody else does; ask again. failed: just now, or, with paused_seconds, the provider
-- wants no requests for so long; retry_at says when it is worth another try. current: the credential is as it should be, or as good as it
-- gets (status, expires_at).
create or replace function public.claim_refresh(
  p_id uuid, p_owner uuid, p_user_id uuid default null, p_within integer default null, p_read boolean default false,
  p_reason text default 'refresh', p_request_id text default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '5s' as $$
declare
  v_row public.integrations;
  v_lease public.credential_leases;
  v_wanted boolean;
  v_claim jsonb;
  v_paused_until timestamptz;
begin
  select * into v_row from public.integrations i where i.id = p_id;
  if not found or (p_user_id is not null and not private.is_member(p_user_id, v_row.organization_id)) then
    return jsonb_build_object('outcome', 'unknown');
  end if;

  -- Of many at once most only wait: they take no lock.
  v_wanted := p_within is null or v_row.token_expires_at <= now() + make_interval(secs => p_within);
  if v_wanted then
    perform from public.credential_leases l where l.integration_id = p_id and l.owner is not null and l.expires_at > now();
    if found then
      return jsonb_build_object('outcome', 'busy');
    end if;
  end if;

  -- No writer of the config can come between what is read here and the lease.
  select * into v_row from public.integrations i where i.id = p_id for no key update;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  select * into v_lease from public.credential_leases l where l.integration_id = p_id;

  if v_lease.journal is not null then
    v_wanted := true;
  elsif v_row.status in ('reconnect_required', 'revoked') or not private.leaves_room(v_row.config) then
    v_wanted := false;
  elsif p_within is null then
    v_wanted := coalesce(v_lease.settled_at <= now() - interval '30 seconds', true);
  else
    v_wanted := coalesce(v_row.token_expires_at <= now() + make_interval(secs => p_within), false)
      and coalesce(v_lease.retry_at <= now(), true);
  end if;

  if v_wanted and p_within is null and v_lease.journal is null and v_lease.failed_at > now() - interval '10 seconds' then
    return jsonb_build_object('outcome', 'failed', 'retry_at', v_lease.retry_at);
  end if;

  -- What only waits to be written needs no provider.
  if v_wanted and v_lease.journal is null then
    v_paused_until := private.paused_until(p_id, v_row.integration_type, 'token');
    if v_paused_until is not null and p_within is null then
      return jsonb_build_object(
        'outcome', 'failed', 'retry_at', v_paused_until,
        'paused_seconds', ceil(extract(epoch from v_paused_until - now()))::integer
      );
    end if;
    v_wanted := v_paused_until is null;
  end if;

  if v_wanted then
    v_claim := private.take_lease(v_row, p_owner);
    if v_claim is null then
      return jsonb_build_object('outcome', 'busy');
    end if;
  end if;

  if v_wanted or p_read then
    perform private.write_event(
      case when p_user_id is null then 'service' else 'user' end, p_user_id, v_row.organization_id, v_row.id,
      v_row.integration_type, v_row.external_account_id, 'opened', p_reason => p_reason, p_request_id => p_request_id
    );
  end if;
  if v_wanted then
    return v_claim || jsonb_build_object('outcome', 'claimed');
  end if;
  return jsonb_build_object(
    'outcome', 'current',
    'organization_id', v_row.organization_id,
    'integration_type', v_row.integration_type,
    'config', case when p_read then v_row.config::text end,
    'version', case when p_read then private.version_of(v_row.config) end,
    'status', v_row.status,
    'expires_at', v_row.token_expires_at,
    'settled', coalesce(v_lease.settled_at > now() - interval '30 seconds', false)
  );
end
$$;

-- Looks at the rows whose tokens end within p_within seconds, the soonest first, a window at a time. An organization that fills its
-- share of a window is left out of the next ones, so the others are found behind its backlog. Windows are bounded in size and number.
-- Answers each row's id and its turn within its organization.
create function private.due_refreshes(p_limit integer, p_within integer, p_types text[]) returns table (id uuid, turn integer)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_custom_plan' set enable_seqscan = off as $$
declare
  c_share constant integer := greatest(1, p_limit / 10);
  -- More than are claimed: several workers see the same first ones, and each takes what the others have not locked.
  v_size integer := p_limit * 4;
  v_left_out uuid[] := '{}';
  v_window record;
begin
  for pass in 1..8 loop
    with seen as (
      select d.id, d.organization_id, d.token_expires_at from public.integrations d
      left join public.credential_leases l on l.integration_id = d.id
      where d.token_expires_at <= now() + make_interval(secs => p_within)
        and d.token_expires_at is not null and d.status in ('active', 'degraded')
        and d.organization_id <> all (v_left_out)
        and d.integration_type = any (p_types)
        and (l.owner is null or l.expires_at <= now())
        and coalesce(l.retry_at <= now(), true)
        and not exists (
          select from private.integration_pauses p
          where p.integration_id = d.id and p.endpoint = 'token' and p.until > now()
        )
      order by d.token_expires_at
      limit v_size
    ), ranked as (
      select s.id, s.organization_id, row_number() over (partition by s.organization_id order by s.token_expires_at)::integer as turn
      from seen s
    )
    select count(*) as rows, coalesce(array_agg(r.organization_id) filter (where r.turn = c_share), '{}') as full_shares,
        coalesce(array_agg(r.id) filter (where pass = 1 or r.turn <= c_share), '{}') as ids,
        coalesce(array_agg(r.turn) filter (where pass = 1 or r.turn <= c_share), '{}') as turns
      into v_window from ranked r;
    return query select w.id, w.turn from unnest(v_window.ids, v_window.turns) w (id, turn);
    v_left_out := v_left_out || v_window.full_shares;
    exit when v_window.rows < v_size or cardinality(v_window.full_shares) = 0;
    v_size := 10000;
  end loop;
end
$$;

-- Claims up to p_limit refreshes for the schedule: what could not be written before, then what ends within p_within seconds, of these
-- types. Organizations take turns, each with what ends soonest, so none waits for the whole backlog of another. Rows that others hold
-- are passed by. Together the configs are at most about a megabyte.
create or replace function public.claim_due_refreshes(
  p_owner uuid, p_limit integer, p_within integer, p_types text[], p_request_id text default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = 'force_custom_plan' as $$
declare
  v_row public.integrations;
  v_claim jsonb;
  v_claims jsonb[] := '{}';
  v_room integer := 1048576;
begin
  if p_limit is null or p_limit not between 1 and 500 or p_within is null or p_types is null then
    raise exception 'p_limit is not between 1 and 500, or an argument is null' using errcode = 'invalid_parameter_value';
  end if;

  for v_row in
    select i.*
    from (
      (
        select l.integration_id as id, 0 as turn from public.credential_leases l
        where l.journal is not null and (l.owner is null or l.expires_at <= now()) and coalesce(l.retry_at <= now(), true)
        limit p_limit
      )
      union all
      select d.id, d.turn from private.due_refreshes(p_limit, p_within, private.without_paused(p_types, 'token')) d
      where not exists (select from public.credential_leases l where l.integration_id = d.id and l.journal is not null)
    ) c
    join public.integrations i on i.id = c.id
    where c.turn = 0 or private.leaves_room(i.config)
    order by c.turn, i.token_expires_at
    limit p_limit
    for no key update of i skip locked
  loop
    exit when v_room <= 0;
    v_claim := private.take_lease(v_row, p_owner);
    continue when v_claim is null;
    perform private.write_event(
      'service', null, v_row.organization_id, v_row.id, v_row.integration_type, v_row.external_account_id, 'opened',
      p_reason => 'refresh', p_request_id => p_request_id
    );
    v_claims := v_claims || v_claim;
    v_room := v_room - octet_length(v_claim::text);
  end loop;
  return jsonb_build_object('outcome', 'claimed', 'claims', to_jsonb(v_claims));
end
$$;

revoke all on function private.due_refreshes(integer, integer, text[]) from public, anon, authenticated, service_role;
