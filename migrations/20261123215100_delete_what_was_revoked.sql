-- A disconnection revokes what it has read, then deletes the row. A refresh in between may have put another credential there, which
-- nobody has revoked: so the row goes only as it was read.

create function private.version_of(p_config jsonb) returns text
language sql immutable security definer set search_path = pg_catalog, pg_temp as $$
  select encode(sha256(convert_to(p_config::text, 'UTF8')), 'hex');
$$;

-- The newest credential of an integration: what a refresh brought and could not yet write, or else the config.
create function private.newest_config(p_row public.integrations) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce((select l.journal from public.credential_leases l where l.integration_id = p_row.id), p_row.config);
$$;

revoke all on function private.version_of(jsonb) from public, anon, authenticated, service_role;
revoke all on function private.newest_config(public.integrations) from public, anon, authenticated, service_role;

-- As before, with the newest credential and its version.
create or replace function public.find_integration(
  p_id uuid, p_user_id uuid, p_reason text default 'disconnect', p_request_id text default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row public.integrations;
  v_config jsonb;
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
  v_config := private.newest_config(v_row);
  return jsonb_build_object(
    'outcome', 'found',
    'organization_id', v_row.organization_id,
    'integration_type', v_row.integration_type,
    'config', v_config,
    'version', private.version_of(v_config)
  );
end
$$;

-- disconnect_integration, if the credential is still the one that find_integration gave under this version; or else changed, and nothing
-- is deleted.
create function public.disconnect_as_read(p_id uuid, p_user_id uuid, p_revoked text, p_request_id text, p_version text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row public.integrations;
begin
  select * into v_row from public.integrations i where i.id = p_id;
  if not found or not private.lock_membership(p_user_id, v_row.organization_id) then
    return jsonb_build_object('outcome', 'unknown');
  end if;

  select * into v_row from public.integrations i where i.id = p_id for update;
  if found and private.version_of(private.newest_config(v_row)) is distinct from p_version then
    return jsonb_build_object('outcome', 'changed');
  end if;
  return public.disconnect_integration(p_id, p_user_id, p_revoked, p_request_id);
end
$$;

revoke all on function public.disconnect_as_read(uuid, uuid, text, text, text) from public, anon, authenticated;
grant execute on function public.disconnect_as_read(uuid, uuid, text, text, text) to service_role;

notify pgrst, 'reload schema';
