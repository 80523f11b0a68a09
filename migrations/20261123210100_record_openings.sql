-- A function that hands out a config writes the event first, in the same transaction: whoever holds a credential has left a trace,
-- and where the trace cannot be written nothing is handed out.
--
-- The running version calls both without the new arguments, by name: that goes on working.

drop function public.find_integration(uuid, uuid);
drop function public.parked_connection(uuid, uuid);

-- Finds an integration for a user, with its credentials. p_reason says what for.
create function public.find_integration(
  p_id uuid, p_user_id uuid, p_reason text default 'disconnect', p_request_id text default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row public.integrations;
begin
  select * into v_row from public.integrations i
    where i.id = p_id and private.is_member(p_user_id, i.organization_id);
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;

  perform private.write_event(
    'user', p_user_id, v_row.organization_id, v_row.id, v_row.integration_type, v_row.external_account_id, 'opened',
    p_reason => p_reason, p_request_id => p_request_id
  );
  return jsonb_build_object(
    'outcome', 'found',
    'organization_id', v_row.organization_id,
    'integration_type', v_row.integration_type,
    'config', v_row.config
  );
end
$$;

-- Reads a grant that waits for its account. Without p_reason (what its credentials are wanted for) they stay here: then what there is
-- to choose from is read as often as one likes, and opens nothing.
create function public.parked_connection(
  p_id uuid, p_user_id uuid, p_reason text default 'choose', p_request_id text default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row public.parked_connections;
begin
  select * into v_row from public.parked_connections p
    where p.id = p_id and p.user_id = p_user_id and p.expires_at > now()
      and private.is_member(p_user_id, p.organization_id);
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;

  if p_reason is not null then
    perform private.write_event(
      'user', p_user_id, v_row.organization_id, v_row.id, v_row.integration_type, null, 'opened',
      p_reason => p_reason, p_request_id => p_request_id
    );
  end if;
  return jsonb_build_object(
    'outcome', 'parked',
    'organization_id', v_row.organization_id,
    'integration_type', v_row.integration_type,
    'config', case when p_reason is not null then v_row.config else '{}' end,
    'accounts', v_row.accounts,
    'return_to', v_row.return_to,
    'expires_at', v_row.expires_at
  );
end
$$;

-- For keytool, which opens and seals many rows at once: an event for each that is still there, after the batch is written. Of ids that
-- are gone there is nothing to tell. p_kid is the key that the rows are sealed with now.
create function public.record_rotation(p_ids uuid[], p_kid text, p_request_id text default null) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_count bigint;
begin
  if p_ids is null or cardinality(p_ids) > 5000 or p_kid is null or p_kid !~ '^[0-9a-f]{16}$' then
    raise exception 'not at most 5000 ids and a key id' using
      errcode = 'invalid_parameter_value', hint = 'a key id is 16 lower-case hexadecimal digits';
  end if;

  insert into public.credential_events (
    actor, organization_id, integration_id, integration_type, external_account_id, action, outcome, reason, request_id
  )
    select 'keytool', i.organization_id, i.id, i.integration_type, i.external_account_id, 'rotated', 'succeeded', p_kid, p_request_id
    from public.integrations i where i.id = any (p_ids);
  get diagnostics v_count = row_count;
  return v_count;
end
$$;

revoke all on function public.find_integration(uuid, uuid, text, text) from public, anon, authenticated;
revoke all on function public.parked_connection(uuid, uuid, text, text) from public, anon, authenticated;
revoke all on function public.record_rotation(uuid[], text, text) from public, anon, authenticated;
grant execute on function public.find_integration(uuid, uuid, text, text) to service_role;
grant execute on function public.parked_connection(uuid, uuid, text, text) to service_role;
grant execute on function public.record_rotation(uuid[], text, text) to service_role;

-- PostgREST runs a function that it remembers as stable in a read-only transaction: it must look again.
notify pgrst, 'reload schema';
