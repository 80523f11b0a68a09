-- Taking the lease of a refresh: of one integration, or of those that are due.

-- Takes the lease of a locked integration, records the attempt, and hands out what is to be refreshed (or, where an earlier refresh
-- could not be written, that). Null where somebody else has it. p_row is locked by the caller. The config goes out as text: whatever
-- another writer has put there, it does not keep the worker from reading the answer.
create function private.take_lease(p_row public.integrations, p_owner uuid) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_lease public.credential_leases;
begin
  -- Longer than the worker can take: a start up to 45 s after the claim, 20 s at the provider, 20 s for the write and its repetitions.
  insert into public.credential_leases as l (integration_id, owner, expires_at, attempted_at)
    values (p_row.id, p_owner, now() + interval '90 seconds', now())
    on conflict (integration_id) do update
      set owner = p_owner,
        expires_at = excluded.expires_at,
        generation = excluded.generation,
        unsettled = l.unsettled + (l.attempted_at is not null)::integer,
        attempted_at = case when l.journal is null then now() end,
        ended_by = null,
        ended_as = null
      where l.owner is null or l.expires_at <= now()
    returning * into v_lease;
  if not found then
    return null;
  end if;
  return jsonb_build_object(
    'id', p_row.id,
    'organization_id', p_row.organization_id,
    'integration_type', p_row.integration_type,
    'generation', v_lease.generation,
    'config', coalesce(v_lease.journal, p_row.config)::text,
    'refreshed', v_lease.journal is not null
  );
end
$$;

-- Whether a refreshed config would still fit: with tokens of 16 KiB each it is at most 256 KiB.
create function private.leaves_room(p_config jsonb) returns boolean
language sql immutable security definer set search_path = pg_catalog, pg_temp as $$
  select octet_length(p_config::text) <= 196608;
$$;

-- Claims the refresh of one integration. With p_within it is wanted only if the access token ends within so many seconds; without, in any
-- case, save what was refreshed less than 30 seconds ago. p_user_id null: the worker for itself. With p_read, the credential that
-- stands is handed out where there is nothing to refresh, or nobody to refresh it with.
--
-- claimed: the caller redeems and settles. busy: somebody else does; ask again. failed: just now, and retry_at says when it is worth
-- another try. current: the credential is as it should be, or as good as it gets (status, expires_at).
create function public.claim_refresh(
  p_id uuid, p_owner uuid, p_user_id uuid default null, p_within integer default null, p_read boolean default false,
  p_reason text default 'refresh', p_request_id text default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '5s' as $$
declare
  v_row public.integrations;
  v_lease public.credential_leases;
  v_wanted boolean;
  v_claim jsonb;
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
    'status', v_row.status,
    'expires_at', v_row.token_expires_at,
    'settled', coalesce(v_lease.settled_at > now() - interval '30 seconds', false)
  );
end
$$;

-- Claims up to p_limit refreshes for the schedule: what could not be written before, then what ends within p_within seconds, the soonest
-- first, of these types. Rows that others hold are passed by. Together the configs are at most about a megabyte.
create function public.claim_due_refreshes(
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
    select i.* from public.integrations i
    where i.id in (
        (
          select l.integration_id from public.credential_leases l
          where l.journal is not null and (l.owner is null or l.expires_at <= now()) and coalesce(l.retry_at <= now(), true)
          limit p_limit
        )
        union
        (
          select d.id from public.integrations d
          left join public.credential_leases l on l.integration_id = d.id
          where d.token_expires_at <= now() + make_interval(secs => p_within)
            and d.token_expires_at is not null and d.status in ('active', 'degraded')
            and d.integration_type = any (p_types)
            and (l.owner is null or l.expires_at <= now())
            and coalesce(l.retry_at <= now(), true)
            and private.leaves_room(d.config)
          order by d.token_expires_at
          limit p_limit
        )
      )
    order by i.token_expires_at
    limit p_limit
    for no key update skip locked
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

revoke all on function private.leaves_room(jsonb) from public, anon, authenticated, service_role;
revoke all on function private.take_lease(public.integrations, uuid) from public, anon, authenticated, service_role;
revoke all on function public.claim_refresh(uuid, uuid, uuid, integer, boolean, text, text) from public, anon, authenticated;
revoke all on function public.claim_due_refreshes(uuid, integer, integer, text[], text) from public, anon, authenticated;
grant execute on function public.claim_refresh(uuid, uuid, uuid, integer, boolean, text, text) to service_role;
grant execute on function public.claim_due_refreshes(uuid, integer, integer, text[], text) to service_role;
