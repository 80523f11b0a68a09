-- Finding an integration to revoke, and removing it. A row that the user may not touch is answered like one that does not exist.

create function public.find_integration(p_id uuid, p_user_id uuid) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(
    (
      select jsonb_build_object(
        'outcome', 'found',
        'organization_id', i.organization_id,
        'integration_type', i.integration_type,
        'config', i.config
      )
      from public.integrations i
      where i.id = p_id and private.is_member(p_user_id, i.organization_id)
    ),
    jsonb_build_object('outcome', 'unknown')
  );
$$;

create function public.disconnect_integration(p_id uuid, p_user_id uuid, p_revoked text, p_request_id text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_organization_id uuid;
  v_row public.integrations;
begin
  if p_revoked is null or p_revoked not in ('true', 'false', 'unsupported') then
    raise exception 'p_revoked is none of true, false, unsupported' using errcode = 'invalid_parameter_value';
  end if;

  select i.organization_id into v_organization_id from public.integrations i where i.id = p_id;
  if not found or not private.lock_membership(p_user_id, v_organization_id) then
    return jsonb_build_object('outcome', 'unknown');
  end if;

  -- The organisation once more: it is the one whose membership is locked.
  delete from public.integrations i where i.id = p_id and i.organization_id = v_organization_id returning * into v_row;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;

  insert into public.credential_events (
    user_id, organization_id, integration_id, integration_type, external_account_id, action, outcome, request_id
  ) values (
    p_user_id, v_row.organization_id, v_row.id, v_row.integration_type, v_row.external_account_id, 'disconnected',
    case p_revoked when 'true' then 'revoked' when 'false' then 'not_revoked' else 'unsupported' end, p_request_id
  );
  return jsonb_build_object('outcome', 'disconnected');
end
$$;

revoke all on function public.find_integration(uuid, uuid) from public, anon, authenticated;
revoke all on function public.disconnect_integration(uuid, uuid, text, text) from public, anon, authenticated;
grant execute on function public.find_integration(uuid, uuid) to service_role;
grant execute on function public.disconnect_integration(uuid, uuid, text, text) to service_role;
