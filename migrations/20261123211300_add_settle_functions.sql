-- The end of a refresh: the fresh config is written, or the failure. By compare-and-swap on the lease, so that nothing is written over a
-- config that somebody else has put there meanwhile.

-- Locks the integration and its lease. Null: the lease is the caller's. Otherwise why not: gone, changed (the config was written by
-- somebody else, or the lease was taken over), or, where the caller has ended this generation before, as what.
create function private.lock_lease(p_id uuid, p_owner uuid, p_generation bigint) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_lease public.credential_leases;
begin
  perform from public.integrations i where i.id = p_id for no key update;
  if not found then
    return 'gone';
  end if;
  select * into v_lease from public.credential_leases l
    where l.integration_id = p_id and l.generation = p_generation for update;
  if v_lease.owner = p_owner then
    return null;
  end if;
  return case when v_lease.ended_by = p_owner then v_lease.ended_as else 'changed' end;
end
$$;

-- The end of a refresh, in the trail and, where the database has an outbox, to the organisation.
create function private.tell(
  p_row public.integrations, p_user_id uuid, p_action text, p_outcome text, p_reason text, p_request_id text
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform private.write_event(
    case when p_user_id is null then 'service' else 'user' end, p_user_id, p_row.organization_id, p_row.id,
    p_row.integration_type, p_row.external_account_id, p_action, p_outcome, p_reason, p_request_id
  );
  if to_regprocedure('private.enqueue_event(uuid, uuid, text, jsonb)') is not null then
    perform private.enqueue_event(
      p_row.organization_id, p_row.id,
      'connection.' || case p_outcome when 'reconnect_required' then p_outcome else p_action end,
      jsonb_build_object('integration_type', p_row.integration_type, 'name', p_row.name, 'reason', p_reason)
    );
  end if;
end
$$;

create function private.settle_refresh(
  p_id uuid, p_owner uuid, p_generation bigint, p_config jsonb, p_user_id uuid, p_request_id text
) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_ended text;
  v_row public.integrations;
begin
  begin
    v_ended := private.lock_lease(p_id, p_owner, p_generation);
    if v_ended is not null then
      return v_ended;
    end if;
    perform set_config('integrations.settle', 'on', true);
    update public.integrations i set config = p_config, status = 'active', status_reason = null
      where i.id = p_id
      returning * into v_row;
    perform set_config('integrations.settle', 'off', true);
    update public.credential_leases l
      set owner = null, expires_at = null, attempted_at = null, unsettled = 0, failures = 0, failed_at = null, retry_at = null,
        refused_as = null, refused_since = null, refusals = 0, settled_at = now(), ended_by = p_owner, ended_as = 'settled', journal = null
      where l.integration_id = p_id;
    perform private.note_success(v_row.integration_type, 'refresh');
    perform private.tell(v_row, p_user_id, 'refreshed', 'succeeded', null, p_request_id);
    return 'settled';
  exception when sqlstate 'IK001' or lock_not_available or deadlock_detected then
    -- A rotation has fenced this worker's key out, or holds the table. The tokens exist nowhere else: they wait here, sealed, for a
    -- worker that may write.
    update public.credential_leases l
      set owner = null, expires_at = null, attempted_at = null, retry_at = now() + interval '30 seconds', ended_by = p_owner,
        ended_as = 'journalled', journal = p_config
      where l.integration_id = p_id and l.owner = p_owner and l.generation = p_generation;
    return case when found then 'journalled' else 'changed' end;
  end;
end
$$;

-- Ends up to 500 refreshes that p_owner has claimed, each for itself. p_results: [{"id", "generation", "config"}] for what was refreshed,
-- [{"id", "generation", "fault", "retry_after"?}] for what was not. Answers by id: settled, journalled (the config is kept, and written
-- later), backed_off, reconnect_required, released, changed, gone. May be repeated.
create function public.settle_refreshes(
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
      as r (id uuid, generation bigint, config jsonb, fault text, retry_after integer)
    order by r.id
  loop
    if (v_result.config is null) = (v_result.fault is null)
      or v_result.fault not in ('unsettled', 'refused', 'unreadable', 'invalid_grant', 'not_refreshable', 'released')
      or jsonb_typeof(v_result.config) <> 'object'
      or octet_length(v_result.config::text) > 262144
    then
      raise exception 'a result is neither a config of at most 256 KiB nor a known fault' using
        errcode = 'invalid_parameter_value';
    end if;
    begin
      v_end := case
        when v_result.config is not null then private.settle_refresh(
          v_result.id, p_owner, v_result.generation, v_result.config, p_user_id, p_request_id)
        else private.fail_refresh(
          v_result.id, p_owner, v_result.generation, v_result.fault, v_result.retry_after, p_user_id, p_request_id)
      end;
    exception when lock_not_available or deadlock_detected then
      -- One row that cannot be had must not undo the others. Its lease ends by itself, with the attempt on record.
      v_end := 'backed_off';
    end;
    v_ends := v_ends || jsonb_build_object(v_result.id::text, v_end);
  end loop;
  return jsonb_build_object('outcome', 'ended', 'ends', v_ends);
end
$$;

revoke all on function private.lock_lease(uuid, uuid, bigint) from public, anon, authenticated, service_role;
revoke all on function private.tell(public.integrations, uuid, text, text, text, text)
  from public, anon, authenticated, service_role;
revoke all on function private.settle_refresh(uuid, uuid, bigint, jsonb, uuid, text) from public, anon, authenticated, service_role;
revoke all on function public.settle_refreshes(uuid, jsonb, uuid, text) from public, anon, authenticated;
grant execute on function public.settle_refreshes(uuid, jsonb, uuid, text) to service_role;
