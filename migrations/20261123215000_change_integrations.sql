-- What a user may change about an integration: its name, and when it is checked.

-- p_changes holds what changes: name (the user's own from now on), scan_schedule and next_check_at (null: not checked any more). A
-- change to what stands already leaves no event.
create function public.change_integration(p_id uuid, p_user_id uuid, p_changes jsonb, p_request_id text default null) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row public.integrations;
begin
  if jsonb_typeof(p_changes) is distinct from 'object'
    or p_changes - array['name', 'scan_schedule', 'next_check_at'] <> '{}'
    or (p_changes ? 'name' and char_length(coalesce(p_changes->>'name', '')) not between 1 and 200)
    or char_length(p_changes->>'scan_schedule') > 200
  then
    raise exception 'p_changes holds something else, or out of bounds' using
      errcode = 'invalid_parameter_value',
      hint = 'name of 1 to 200 characters, scan_schedule of at most 200, next_check_at';
  end if;

  select * into v_row from public.integrations i where i.id = p_id;
  if not found or not private.lock_membership(p_user_id, v_row.organization_id) then
    return jsonb_build_object('outcome', 'unknown');
  end if;

  -- The organisation once more: it is the one whose membership is locked.
  perform private.lock_names(v_row.organization_id, v_row.integration_type);
  select * into v_row from public.integrations i
    where i.id = p_id and i.organization_id = v_row.organization_id and i.integration_type = v_row.integration_type
    for update;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;

  if p_changes ? 'name' and exists (
    select from public.integrations i
    where i.organization_id = v_row.organization_id and i.integration_type = v_row.integration_type
      and i.id <> p_id and i.name = p_changes->>'name'
  ) then
    return jsonb_build_object('outcome', 'name_taken');
  end if;

  update public.integrations i
    set name = coalesce(p_changes->>'name', i.name),
      name_is_custom = i.name_is_custom or p_changes ? 'name',
      scan_schedule = case when p_changes ? 'scan_schedule' then p_changes->>'scan_schedule' else i.scan_schedule end,
      next_check_at = case when p_changes ? 'next_check_at' then (p_changes->>'next_check_at')::timestamptz else i.next_check_at end
    where i.id = p_id;

  if p_changes->>'name' <> v_row.name then
    perform private.write_event(
      'user', p_user_id, v_row.organization_id, v_row.id, v_row.integration_type, v_row.external_account_id, 'renamed',
      p_request_id => p_request_id
    );
  end if;
  if p_changes ? 'scan_schedule' and p_changes->>'scan_schedule' is distinct from v_row.scan_schedule then
    perform private.write_event(
      'user', p_user_id, v_row.organization_id, v_row.id, v_row.integration_type, v_row.external_account_id, 'rescheduled',
      p_request_id => p_request_id
    );
  end if;
  return jsonb_build_object('outcome', 'changed');
end
$$;

revoke all on function public.change_integration(uuid, uuid, jsonb, text) from public, anon, authenticated;
grant execute on function public.change_integration(uuid, uuid, jsonb, text) to service_role;
