-- A client of the user's own that the provider refuses: there is nothing to wait for but other credentials, as with a grant that is over.
-- It had no token to lose, so whatever came before, the reason is the refusal.

-- p_fault: unsettled (the provider may have redeemed the token: no answer, or an unreadable one), refused (it has not, and may later),
-- unreadable (what is stored does not open here), invalid_grant (the token is no longer valid), invalid_client (the user's own client is
-- no longer valid, or may not have tokens), not_refreshable (there is no refresh token), released (nothing was asked).
--
-- p_refusal: how a refused one was refused, {"alike", "may_be_ours", "tries"}. Once the token has ended such refusals are counted. When as
-- many as tries were alike, the first of them a day ago, the grant is over. One that may be our client's fault, or the endpoint's, is what
-- every connection of the type would get: there another one must have been refreshed since the first.
create function private.fail_refresh(
  p_id uuid, p_owner uuid, p_generation bigint, p_fault text, p_retry_after integer, p_refusal jsonb, p_user_id uuid, p_request_id text
) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_ended text;
  v_row public.integrations;
  v_lease public.credential_leases;
  v_reason text := p_fault;
  v_has_expired boolean;
begin
  v_ended := private.lock_lease(p_id, p_owner, p_generation);
  -- Here a config that was written meanwhile shows: what was refused is not the token that stands there now.
  if v_ended is not null then
    return v_ended;
  end if;
  select * into v_row from public.integrations i where i.id = p_id;
  v_has_expired := coalesce(v_row.token_expires_at <= now(), false);

  if p_fault = 'refused' and p_refusal is not null and v_has_expired then
    update public.credential_leases l
      set refused_as = p_refusal->>'alike',
        refused_since = case when l.refused_as = p_refusal->>'alike' then l.refused_since else now() end,
        refusals = case when l.refused_as = p_refusal->>'alike' then l.refusals + 1 else 1 end
      where l.integration_id = p_id;
  end if;
  select * into v_lease from public.credential_leases l where l.integration_id = p_id;

  v_ended := case
    when p_fault = 'released' then 'released'
    when p_fault in ('invalid_grant', 'invalid_client') then 'reconnect_required'
    when p_fault = 'not_refreshable' and v_has_expired then 'reconnect_required'
    when p_fault = 'refused' and v_has_expired
      and v_lease.refusals >= (p_refusal->>'tries')::integer
      and v_lease.refused_since <= now() - interval '1 day'
      and (
        not (p_refusal->>'may_be_ours')::boolean
        or private.has_succeeded(v_row.integration_type, 'refresh', v_lease.refused_since)
      )
      then 'reconnect_required'
    else 'backed_off'
  end;
  update public.credential_leases l
    set owner = null, expires_at = null, attempted_at = null, ended_by = p_owner, ended_as = v_ended,
      unsettled = l.unsettled + (p_fault = 'unsettled')::integer,
      failures = l.failures + (v_ended = 'backed_off')::integer,
      failed_at = case when p_fault in ('released', 'not_refreshable') then l.failed_at else now() end,
      retry_at = case
        when v_ended <> 'backed_off' then l.retry_at
        when p_fault = 'not_refreshable' then coalesce(v_row.token_expires_at, 'infinity')
        else now() + make_interval(
          secs => greatest(least(30 * 2 ^ least(l.failures, 7), 3600), least(coalesce(p_retry_after, 0), 86400))
        )
      end
    where l.integration_id = p_id;

  if p_fault in ('released', 'not_refreshable') and v_ended <> 'reconnect_required' then
    return v_ended;
  end if;
  if v_ended = 'reconnect_required' then
    -- A grant that ended after a redemption whose answer was lost may have been ended by that: a provider that sees a token twice
    -- takes it for stolen.
    v_reason := case
      when p_fault = 'invalid_grant' and v_lease.unsettled > 0 then 'refresh_lost'
      when p_fault = 'refused' then 'refresh_refused'
      else p_fault
    end;
    update public.integrations i set status = 'reconnect_required', status_reason = v_reason where i.id = p_id;
  elsif v_row.status = 'active' and (v_has_expired or p_fault = 'unreadable') then
    -- Its token has ended, or nobody can open it: it does not work now, and may again.
    update public.integrations i
      set status = 'degraded', status_reason = case p_fault when 'unreadable' then p_fault else 'refresh_failed' end
      where i.id = p_id;
  end if;
  perform private.tell(
    v_row, p_user_id, 'refresh_failed', case v_ended when 'backed_off' then 'failed' else v_ended end, v_reason, p_request_id
  );
  return v_ended;
end
$$;

revoke all on function private.fail_refresh(uuid, uuid, bigint, text, integer, jsonb, uuid, text)
  from public, anon, authenticated, service_role;

-- As before, with that fault.
create or replace function public.settle_refreshes(
  p_owner uuid, p_results jsonb, p_user_id uuid default null, p_request_id text default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
declare
  v_result record;
  v_end text;
  v_ends jsonb := '{}';
begin
  if p_owner is null or jsonb_typeof(p_results) is distinct from 'array' or jsonb_array_length(p_results) > 500 then
    raise exception 'p_results is no list of at most 500' using errcode = 'invalid_parameter_value';
  end if;
  -- In the order of ids, as everybody who locks several.
  for v_result in
    select * from jsonb_to_recordset(p_results)
      as r (
        id uuid, generation bigint, config jsonb, fault text, retry_after integer, refusal jsonb, organization_id uuid,
        integration_type text
      )
    order by r.id
  loop
    if (v_result.config is null) = (v_result.fault is null)
      or v_result.fault not in ('unsettled', 'refused', 'unreadable', 'invalid_grant', 'invalid_client', 'not_refreshable', 'released')
      or jsonb_typeof(v_result.config) <> 'object'
      or octet_length(v_result.config::text) > 262144
    then
      raise exception 'a result is neither a config of at most 256 KiB nor a known fault' using
        errcode = 'invalid_parameter_value';
    end if;
    if v_result.refusal is not null and (
      coalesce(char_length(v_result.refusal->>'alike') not between 1 and 128, true)
      or coalesce(jsonb_typeof(v_result.refusal->'may_be_ours') <> 'boolean', true)
      or coalesce((v_result.refusal->>'tries')::integer not between 2 and 1000, true)
    ) then
      raise exception 'a refusal is not {"alike", "may_be_ours", "tries"} within bounds' using errcode = 'invalid_parameter_value';
    end if;
    begin
      v_end := case
        when v_result.config is not null then private.settle_refresh(
          v_result.id, p_owner, v_result.generation, v_result.config, p_user_id, p_request_id)
        else private.fail_refresh(
          v_result.id, p_owner, v_result.generation, v_result.fault, v_result.retry_after, v_result.refusal, p_user_id, p_request_id)
      end;
    exception when lock_not_available or deadlock_detected then
      -- One row that cannot be had must not undo the others. Its lease ends by itself, with the attempt on record.
      v_end := 'backed_off';
    end;
    if v_end = 'gone' and v_result.config is not null and v_result.organization_id is not null then
      -- The integration was deleted while its token was refreshed. Nobody else knows of the new tokens.
      insert into private.pending_revocations (id, organization_id, sealed_for, integration_type, config, reason)
        values (
          md5(v_result.id || v_result.config::text)::uuid, v_result.organization_id, v_result.id, v_result.integration_type,
          v_result.config, 'late'
        )
        on conflict (id) do nothing;
    end if;
    v_ends := v_ends || jsonb_build_object(v_result.id::text, v_end);
  end loop;
  return jsonb_build_object('outcome', 'ended', 'ends', v_ends);
end
$$;
