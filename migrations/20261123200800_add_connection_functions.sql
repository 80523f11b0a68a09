-- Finishing a connection, at once or after the user has chosen one of a grant's accounts.

create function public.park_connection(
  p_id uuid, p_user_id uuid, p_organization_id uuid, p_integration_type text, p_config jsonb, p_accounts jsonb, p_return_to text
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  if not private.lock_membership(p_user_id, p_organization_id) then
    return jsonb_build_object('outcome', 'not_a_member');
  end if;

  delete from public.parked_connections p
    where p.id in (
      select e.id from public.parked_connections e
      where e.expires_at <= now() order by e.expires_at limit 200 for update skip locked
    );

  insert into public.parked_connections (id, user_id, organization_id, integration_type, config, accounts, return_to)
    values (p_id, p_user_id, p_organization_id, p_integration_type, p_config, p_accounts, p_return_to);
  return jsonb_build_object('outcome', 'parked');
end
$$;

create function public.parked_connection(p_id uuid, p_user_id uuid) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(
    (
      select jsonb_build_object(
        'outcome', 'parked',
        'organization_id', p.organization_id,
        'integration_type', p.integration_type,
        'config', p.config,
        'accounts', p.accounts,
        'return_to', p.return_to,
        'expires_at', p.expires_at
      )
      from public.parked_connections p
      where p.id = p_id and p.user_id = p_user_id and p.expires_at > now()
        and private.is_member(p_user_id, p.organization_id)
    ),
    jsonb_build_object('outcome', 'unknown')
  );
$$;

create function public.discard_connection(p_id uuid, p_user_id uuid) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  delete from public.parked_connections p where p.id = p_id and p.user_id = p_user_id and p.expires_at > now();
  return jsonb_build_object('outcome', case when found then 'discarded' else 'unknown' end);
end
$$;

-- Writes the row p_id, for which p_config was sealed, and no other. The account may stand under another id already: then nothing is
-- written and the answer names that id, for which the caller seals again. A row p_id that stands for anything else (another
-- organisation, type or account) is left alone and answered as unknown.
create function public.complete_connection(
  p_id uuid, p_user_id uuid, p_organization_id uuid, p_integration_type text, p_external_account_id text, p_name text,
  p_config jsonb, p_request_id text, p_parked_id uuid default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row public.integrations;
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

  -- Each turn has its own snapshot. A conflict means that another transaction's row came in between: the next turn sees it, or
  -- inserts because it has gone again.
  loop
    select * into v_row from public.integrations i
      where i.organization_id = p_organization_id and i.integration_type = p_integration_type
        and i.external_account_id = p_external_account_id
      for update;
    if found and v_row.id <> p_id then
      return jsonb_build_object('outcome', 'exists', 'id', v_row.id);
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

    if found then
      update public.integrations i
        set external_account_id = p_external_account_id, name = p_name, config = p_config, status = 'active'
        where i.id = p_id;
      v_outcome := 'updated';
      exit;
    end if;

    insert into public.integrations (id, organization_id, integration_type, external_account_id, name, config, status)
      values (p_id, p_organization_id, p_integration_type, p_external_account_id, p_name, p_config, 'active')
      on conflict do nothing;
    if found then
      v_outcome := 'created';
      exit;
    end if;
  end loop;

  delete from public.parked_connections p where p.id = p_parked_id;

  insert into public.credential_events (
    user_id, organization_id, integration_id, integration_type, external_account_id, action, outcome, request_id
  ) values (
    p_user_id, p_organization_id, p_id, p_integration_type, p_external_account_id,
    case v_outcome when 'created' then 'connected' else 'reconnected' end, 'succeeded', p_request_id
  );
  return jsonb_build_object('outcome', v_outcome, 'id', p_id);
end
$$;

revoke all on function public.park_connection(uuid, uuid, uuid, text, jsonb, jsonb, text) from public, anon, authenticated;
revoke all on function public.parked_connection(uuid, uuid) from public, anon, authenticated;
revoke all on function public.discard_connection(uuid, uuid) from public, anon, authenticated;
revoke all on function public.complete_connection(uuid, uuid, uuid, text, text, text, jsonb, text, uuid)
  from public, anon, authenticated;
grant execute on function public.park_connection(uuid, uuid, uuid, text, jsonb, jsonb, text) to service_role;
grant execute on function public.parked_connection(uuid, uuid) to service_role;
grant execute on function public.discard_connection(uuid, uuid) to service_role;
grant execute on function public.complete_connection(uuid, uuid, uuid, text, text, text, jsonb, text, uuid) to service_role;
