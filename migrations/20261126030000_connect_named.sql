-- Connecting an account under a name that the user gives: what an account that is connected with credentials may have from the start.

-- complete_connection, and then the name is p_custom_name, the user's own from now on. name_taken, and nothing is written, where
-- another integration of the type in the organisation has it.
create function public.connect_named(
  p_id uuid, p_user_id uuid, p_organization_id uuid, p_integration_type text, p_external_account_id text, p_name text,
  p_config jsonb, p_request_id text, p_custom_name text, p_parked_id uuid default null, p_reconnect boolean default false
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_answer jsonb;
  v_old text;
begin
  if p_custom_name is null or char_length(p_custom_name) not between 1 and 200 then
    raise exception 'p_custom_name is missing or out of bounds' using
      errcode = 'invalid_parameter_value', hint = 'a name of 1 to 200 characters';
  end if;

  -- Membership first, then the names: everybody who gives one takes both in this order.
  if not private.lock_membership(p_user_id, p_organization_id) then
    return jsonb_build_object('outcome', 'not_a_member');
  end if;
  perform private.lock_names(p_organization_id, p_integration_type);

  if exists (
    select from public.integrations i
    where i.organization_id = p_organization_id and i.integration_type = p_integration_type and i.name = p_custom_name
      and i.external_account_id is distinct from p_external_account_id
  ) then
    return jsonb_build_object('outcome', 'name_taken');
  end if;
  select i.name into v_old from public.integrations i
    where i.organization_id = p_organization_id and i.integration_type = p_integration_type
      and i.external_account_id = p_external_account_id;

  v_answer := public.complete_connection(
    p_id => p_id, p_user_id => p_user_id, p_organization_id => p_organization_id, p_integration_type => p_integration_type,
    p_external_account_id => p_external_account_id, p_name => p_name, p_config => p_config, p_request_id => p_request_id,
    p_parked_id => p_parked_id, p_reconnect => p_reconnect
  );
  if v_answer->>'outcome' not in ('created', 'updated') then
    return v_answer;
  end if;
  update public.integrations i set name = p_custom_name, name_is_custom = true where i.id = p_id;
  if v_old <> p_custom_name then
    perform private.write_event(
      'user', p_user_id, p_organization_id, p_id, p_integration_type, p_external_account_id, 'renamed', p_request_id => p_request_id
    );
  end if;
  return v_answer;
end
$$;

revoke all on function public.connect_named(uuid, uuid, uuid, text, text, text, jsonb, text, text, uuid, boolean)
  from public, anon, authenticated;
grant execute on function public.connect_named(uuid, uuid, uuid, text, text, text, jsonb, text, text, uuid, boolean) to service_role;

notify pgrst, 'reload schema';
