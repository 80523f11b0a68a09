-- Imports: a program stores a grant, or other credentials, that it already has.
--
-- Until an import has succeeded, the grant is the source application's. So it is never a pending connection, and nothing here queues a revocation.

create function public.admit_import(p_service_key uuid, p_organization_id uuid, p_integration_type text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_seconds integer;
  v_paused_until timestamptz := private.paused_until(null, p_integration_type, 'api');
begin
  if not private.lock_access(null, p_service_key, 'connections:import', p_organization_id) then
    return jsonb_build_object('outcome', 'foreign_organization');
  end if;
  if v_paused_until is not null then
    return jsonb_build_object('outcome', 'paused', 'seconds', ceil(extract(epoch from v_paused_until - now()))::integer);
  end if;
  v_seconds := private.admit('import', p_service_key::text, 600, '1 minute');
  if v_seconds > 0 then
    return jsonb_build_object('outcome', 'too_many', 'seconds', v_seconds);
  end if;
  return jsonb_build_object('outcome', 'admitted', 'at', now());
end
$$;

comment on function public.admit_import(uuid, uuid, text) is
  'Counts an import of a service key, before the provider is asked: 600 in a minute. Returns admitted with the time, '
  'foreign_organization (the key acts for another, or is no longer valid), paused (the provider accepts no requests of this type for '
  'seconds), or too_many with seconds.';

create function public.import_connection(
  p_id uuid, p_service_key uuid, p_organization_id uuid, p_integration_type text, p_external_account_id text, p_name text,
  p_config jsonb, p_granted_at timestamptz, p_replace boolean, p_is_grant boolean, p_external_user_id text, p_request_id text
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '5s' as $$
declare
  v_row public.integrations;
begin
  if p_replace is null or p_is_grant is null or p_granted_at is null then
    raise exception 'p_replace, p_is_grant or p_granted_at is null' using errcode = 'invalid_parameter_value';
  end if;
  if not private.lock_access(null, p_service_key, 'connections:import', p_organization_id) then
    return jsonb_build_object('outcome', 'foreign_organization');
  end if;
  -- Whoever stores a connection locks the names first, so no other can store this account meanwhile.
  perform private.lock_names(p_organization_id, p_integration_type);

  select * into v_row from public.integrations i
    where i.organization_id = p_organization_id and i.integration_type = p_integration_type
      and i.external_account_id = p_external_account_id
    for update;
  if not found then
    -- A row of an earlier application, which stored the account in the config only.
    select * into v_row from public.integrations i
      where i.organization_id = p_organization_id and i.integration_type = p_integration_type
        and i.external_account_id is null and private.account_of(i) = p_external_account_id
      order by i.created_at desc, i.id desc limit 1
      for update;
  end if;
  if found then
    if v_row.id = p_id and v_row.config = p_config then
      -- A repeated call whose first response was lost.
      return jsonb_build_object('outcome', case when p_replace then 'updated' else 'created' end, 'id', p_id);
    end if;
    if not p_replace then
      return jsonb_build_object('outcome', 'already_connected');
    end if;
    if v_row.id <> p_id then
      return jsonb_build_object('outcome', 'exists', 'id', v_row.id);
    end if;
    -- The imported grant may be the one that the row has. Then the refresh in progress redeems its refresh token, and what the refresh
    -- returns would be lost.
    if exists (
      select from public.credential_leases l
      where l.integration_id = p_id and (l.owner is not null and l.expires_at > now() or l.journal is not null)
    ) then
      return jsonb_build_object('outcome', 'refreshing');
    end if;
  end if;
  -- The imported grant may be the one that is queued. It would end soon after it was stored.
  if exists (
    select from private.pending_revocations r
    where r.organization_id = p_organization_id and r.integration_type = p_integration_type
      and r.external_account_id = p_external_account_id
  ) then
    return jsonb_build_object('outcome', 'revoking');
  end if;

  -- Nobody knows what the imported grant does to the earlier one: they may be the same. So the earlier one is not queued for revocation.
  return public.complete_connection(
    p_id => p_id, p_user_id => null, p_organization_id => p_organization_id, p_integration_type => p_integration_type,
    p_external_account_id => p_external_account_id, p_name => p_name, p_config => p_config, p_request_id => p_request_id,
    p_second_grant => case when not p_is_grant then 'replaces' end, p_granted_at => p_granted_at, p_service_key => p_service_key,
    p_external_user_id => p_external_user_id
  );
end
$$;

comment on function public.import_connection(uuid, uuid, uuid, text, text, text, jsonb, timestamptz, boolean, boolean, text, text) is
  'Stores an imported connection in the row p_id, for which p_config was sealed. Without p_replace an account that has a row is not touched '
  '(already_connected). With it, that row gets the credentials; the answer exists names it if it is not p_id, and the caller seals again. '
  'The earlier credentials are not revoked: of a grant (p_is_grant) the row records that it may still exist. Other answers: created, '
  'updated, foreign_organization, outdated (the row has newer credentials), refreshing (a refresh of the row is in progress), revoking (a '
  'grant of the account is queued for revocation) or unknown (a repeated call, whose row was deleted). May be repeated.';

revoke all on function
  public.admit_import(uuid, uuid, text),
  public.import_connection(uuid, uuid, uuid, text, text, text, jsonb, timestamptz, boolean, boolean, text, text)
from public, anon, authenticated, service_role;

grant execute on function
  public.admit_import(uuid, uuid, text),
  public.import_connection(uuid, uuid, uuid, text, text, text, jsonb, timestamptz, boolean, boolean, text, text)
to service_role;
