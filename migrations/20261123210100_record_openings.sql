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

revoke all on function public.record_rotation(uuid[], text, text) from public, anon, authenticated;
grant execute on function public.record_rotation(uuid[], text, text) to service_role;
