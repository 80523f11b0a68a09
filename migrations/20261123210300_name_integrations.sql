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

-- As before, and: names are chosen, one that a user gave stays, the event goes through write_event. With p_reconnect the row p_id is
-- the only one that may be written: gone, it is answered as unknown; standing for another account, or having its account under another
-- row already, as mismatch. A row whose account stands in its config alone is given it here. The running version calls without the
-- new argument, by name.
drop function public.complete_connection(uuid, uuid, uuid, text, text, text, jsonb, text, uuid);

create function public.complete_connection(
  p_id uuid, p_user_id uuid, p_organization_id uuid, p_integration_type text, p_external_account_id text, p_name text,
  p_config jsonb, p_request_id text, p_parked_id uuid default null, p_reconnect boolean default false
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row public.integrations;
  v_name text;
  v_outcome text;
begin
  if p_external_account_id is null
    or char_length(p_integration_type) not between 1 and 64
    or char_length(p_name) not between 1 and 200
    or jsonb_typeof(p_config) is distinct from 'object'
    or octet_length(p_config::text) > 262144
  then
    raise exception 'an argument is missing or out of bounds' using
      errcode = 'invalid_parameter_value',
      hint = 'type 1 to 64 characters, name 1 to 200, account not null, config an object of at most 256 KiB';
  end if;

  if not private.lock_membership(p_user_id, p_organization_id) then
    return jsonb_build_object('outcome', 'not_a_member');
  end if;

  perform private.lock_names(p_organization_id, p_integration_type);

  if p_parked_id is not null then
    -- Locked, not yet deleted: after exists the caller comes again for it.
    perform from public.parked_connections p
      where p.id = p_parked_id and p.user_id = p_user_id and p.organization_id = p_organization_id
        and p.integration_type = p_integration_type and p.expires_at > now()
      for update;
    if not found then
      return jsonb_build_object('outcome', 'unknown');
    end if;
  end if;

  if p_reconnect then
    select * into v_row from public.integrations i
      where i.id = p_id and i.organization_id = p_organization_id and i.integration_type = p_integration_type
      for update;
    if not found then
      return jsonb_build_object('outcome', 'unknown');
    end if;
    if private.account_of(v_row) is distinct from p_external_account_id then
      return jsonb_build_object('outcome', 'mismatch');
    end if;
  end if;

  -- Each turn has its own snapshot. A conflict means that another transaction's row came in between: the next turn sees it, or
  -- inserts because it has gone again.
  loop
    select * into v_row from public.integrations i
      where i.organization_id = p_organization_id and i.integration_type = p_integration_type
        and i.external_account_id = p_external_account_id
      for update;
    if found and v_row.id <> p_id then
      return case
        when p_reconnect then jsonb_build_object('outcome', 'mismatch')
        else jsonb_build_object('outcome', 'exists', 'id', v_row.id)
      end;
    end if;

    if not found then
      select * into v_row from public.integrations i where i.id = p_id for update;
      if found and (
        v_row.organization_id <> p_organization_id or v_row.integration_type <> p_integration_type
        or v_row.external_account_id <> p_external_account_id
      ) then
        return jsonb_build_object('outcome', 'unknown');
      end if;
    end if;

    v_name := private.free_name(p_organization_id, p_integration_type, p_id, p_name, p_external_account_id);
    if v_row.id is not null then
      update public.integrations i
        set external_account_id = p_external_account_id,
          name = case when i.name_is_custom then i.name else v_name end,
          config = p_config,
          status = 'active'
        where i.id = p_id;
      v_outcome := 'updated';
      exit;
    end if;

    insert into public.integrations (id, organization_id, integration_type, external_account_id, name, config, status)
      values (p_id, p_organization_id, p_integration_type, p_external_account_id, v_name, p_config, 'active')
      on conflict do nothing;
    if found then
      v_outcome := 'created';
      exit;
    end if;
  end loop;

  delete from public.parked_connections p where p.id = p_parked_id;

  perform private.write_event(
    'user', p_user_id, p_organization_id, p_id, p_integration_type, p_external_account_id,
    case v_outcome when 'created' then 'connected' else 'reconnected' end,
    p_reason => case when p_reconnect then 'requested' end, p_request_id => p_request_id
  );
  return jsonb_build_object('outcome', v_outcome, 'id', p_id);
end
$$;

revoke all on function public.complete_connection(uuid, uuid, uuid, text, text, text, jsonb, text, uuid, boolean)
  from public, anon, authenticated;
grant execute on function public.complete_connection(uuid, uuid, uuid, text, text, text, jsonb, text, uuid, boolean) to service_role;
