-- Names: several accounts of one provider tell themselves apart, and the name that a user gave stays.

alter table public.integrations add column name_is_custom boolean not null default false;

comment on column public.integrations.name_is_custom is
  'A user gave the name: connecting the account again leaves it. Otherwise it follows the provider''s.';

-- Whoever gives a name queues here first, before any row is locked: two that choose at once would both find it free. No unique index
-- instead: an older version, or the service key, may have written a name twice.
create function private.lock_names(p_organization_id uuid, p_integration_type text) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  select pg_advisory_xact_lock(hashtextextended('names ' || p_organization_id || ' ' || p_integration_type, 0));
$$;

-- The first that no other integration of the type has in the organisation: the name; the name with the account in brackets, which is
-- what tells two accounts of one name apart; the name with a number.
create function private.free_name(
  p_organization_id uuid, p_integration_type text, p_id uuid, p_name text, p_external_account_id text
) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_name text := p_name;
  v_mark text := left(p_external_account_id, 64);
  v_next integer := 2;
begin
  while exists (
    select from public.integrations i
    where i.organization_id = p_organization_id and i.integration_type = p_integration_type and i.id <> p_id and i.name = v_name
  ) loop
    v_name := left(p_name, 200 - char_length(v_mark) - 3) || ' (' || v_mark || ')';
    v_mark := v_next::text;
    v_next := v_next + 1;
  end loop;
  return v_name;
end
$$;

revoke all on function private.lock_names(uuid, text) from public, anon, authenticated, service_role;
revoke all on function private.free_name(uuid, text, uuid, text, text) from public, anon, authenticated, service_role;

-- Which account of the provider a row stands for. The source's own writer left it in the config only.
create function private.account_of(p_row public.integrations) returns text
language sql immutable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(
    p_row.external_account_id,
    case when jsonb_typeof(p_row.config->'project_id') = 'string' then p_row.config->>'project_id' end
  );
$$;

revoke all on function private.account_of(public.integrations) from public, anon, authenticated, service_role;
