-- Identifies a config, for compare-and-swap.
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
