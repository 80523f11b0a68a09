-- From a received grant to a stored connection or a revocation.
--
-- Lock order: membership, names, the pending connection, the integration, its lease.

alter table public.integrations add column may_have_earlier_grant boolean not null default false;

comment on column public.integrations.may_have_earlier_grant is
  'A reconnection replaced a credential whose grant may still exist at the provider: nobody documents what a second grant does to the first.';

-- Who shares a grant, where a provider knows one for a user and an app.
create index integrations_account on public.integrations (integration_type, external_account_id);
create index credential_events_connections on public.credential_events (user_id, integration_type)
  where action in ('connected', 'reconnected');

-- Writes a grant down that was just received. May be repeated.
create function public.add_pending_connection(
  p_id uuid, p_user_id uuid, p_organization_id uuid, p_integration_type text, p_config jsonb, p_return_to text
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  insert into public.pending_connections (id, user_id, organization_id, integration_type, config, return_to)
    values (p_id, p_user_id, p_organization_id, p_integration_type, p_config, p_return_to)
    on conflict (id) do nothing;
  return jsonb_build_object('outcome', 'pending');
end
$$;

-- Lets the user choose one of the grant's accounts, for ten minutes.
create function public.offer_accounts(p_id uuid, p_user_id uuid, p_accounts jsonb) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '5s' as $$
declare
  v_row public.pending_connections;
begin
  select * into v_row from public.pending_connections p where p.id = p_id and p.user_id = p_user_id;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  if not private.lock_membership(p_user_id, v_row.organization_id) then
    return jsonb_build_object('outcome', 'not_a_member');
  end if;
  update public.pending_connections p set accounts = p_accounts, expires_at = now() + interval '10 minutes' where p.id = p_id;
  return jsonb_build_object('outcome', case when found then 'waiting' else 'unknown' end);
end
$$;

-- Reads a grant that waits for the user's choice. Without p_reason (what its credentials are opened for) the config stays here, so the
-- choice can be looked at as often as one likes.
create function public.pending_connection(
  p_id uuid, p_user_id uuid, p_reason text default 'choose', p_request_id text default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row public.pending_connections;
begin
  select * into v_row from public.pending_connections p
    where p.id = p_id and p.user_id = p_user_id and p.accounts is not null and p.expires_at > now()
      and private.is_member(p_user_id, p.organization_id);
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;

  if p_reason is not null then
    perform private.write_event(
      'user', p_user_id, v_row.organization_id, v_row.id, v_row.integration_type, null, 'opened',
      p_reason => p_reason, p_request_id => p_request_id
    );
  end if;
  return jsonb_build_object(
    'outcome', 'waiting',
    'organization_id', v_row.organization_id,
    'integration_type', v_row.integration_type,
    'config', case when p_reason is not null then v_row.config else '{}' end,
    'accounts', v_row.accounts,
    'return_to', v_row.return_to,
    'expires_at', v_row.expires_at
  );
end
$$;

-- Writes the row p_id, for which p_config was sealed, and no other. The account may have another row already: then nothing is written
-- and the answer names that row, for which the caller seals again.
--
-- With p_pending_id the grant's pending row is deleted in the same transaction. Without that row the answer is unknown and nothing is
-- written: the grant was given up meanwhile. So whatever becomes of this call, a grant is either stored or still pending, never both.
--
-- With p_reconnect the row p_id is the only one that may be written: unknown if it is gone, mismatch if it stands for another account or
-- another row has its account.
--
-- p_second_grant says what this grant does to the one that it replaces: replaces (the provider ended it), separate (it is queued for
-- revocation), null (unknown: the row remembers that it may still exist).
create function public.complete_connection(
  p_id uuid, p_user_id uuid, p_organization_id uuid, p_integration_type text, p_external_account_id text, p_name text,
  p_config jsonb, p_request_id text, p_pending_id uuid default null, p_reconnect boolean default false,
  p_second_grant text default null
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
    or p_second_grant not in ('replaces', 'separate')
  then
    raise exception 'an argument is missing or out of bounds' using
      errcode = 'invalid_parameter_value',
      hint = 'type 1 to 64 characters, name 1 to 200, account not null, config an object of at most 256 KiB';
  end if;

  if not private.lock_membership(p_user_id, p_organization_id) then
    return jsonb_build_object('outcome', 'not_a_member');
  end if;

  perform private.lock_names(p_organization_id, p_integration_type);

  if p_pending_id is not null then
    -- Locked, not yet deleted: after exists the caller comes again for it.
    perform from public.pending_connections p
      where p.id = p_pending_id and p.user_id = p_user_id and p.organization_id = p_organization_id
        and p.integration_type = p_integration_type and p.expires_at > now()
      for update;
    if not found then
      -- A repetition of a call whose answer was lost.
      perform from public.integrations i
        where i.id = p_id and i.organization_id = p_organization_id and i.config = p_config;
      return case
        when found then jsonb_build_object('outcome', 'updated', 'id', p_id)
        else jsonb_build_object('outcome', 'unknown')
      end;
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
      if p_second_grant = 'separate' then
        perform private.queue_revocation(v_row, private.newest_config(v_row), null, 'replaced');
      end if;
      update public.integrations i
        set external_account_id = p_external_account_id,
          name = case when i.name_is_custom then i.name else v_name end,
          config = p_config,
          status = 'active',
          may_have_earlier_grant = i.may_have_earlier_grant or p_second_grant is null
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

  delete from public.pending_connections p where p.id = p_pending_id;

  perform private.write_event(
    'user', p_user_id, p_organization_id, p_id, p_integration_type, p_external_account_id,
    case v_outcome when 'created' then 'connected' else 'reconnected' end,
    p_reason => case when p_reconnect then 'requested' end, p_request_id => p_request_id
  );
  return jsonb_build_object('outcome', v_outcome, 'id', p_id);
end
$$;

-- complete_connection under p_custom_name, which stays the user's own. name_taken, and nothing is written, where another integration
-- of the type in the organization has it.
create function public.connect_named(
  p_id uuid, p_user_id uuid, p_organization_id uuid, p_integration_type text, p_external_account_id text, p_name text,
  p_config jsonb, p_request_id text, p_custom_name text, p_pending_id uuid default null, p_reconnect boolean default false,
  p_second_grant text default null
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
    p_pending_id => p_pending_id, p_reconnect => p_reconnect, p_second_grant => p_second_grant
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

revoke all on function public.add_pending_connection(uuid, uuid, uuid, text, jsonb, text) from public, anon, authenticated;
revoke all on function public.offer_accounts(uuid, uuid, jsonb) from public, anon, authenticated;
revoke all on function public.pending_connection(uuid, uuid, text, text) from public, anon, authenticated;
revoke all on function public.complete_connection(uuid, uuid, uuid, text, text, text, jsonb, text, uuid, boolean, text)
  from public, anon, authenticated;
revoke all on function public.connect_named(uuid, uuid, uuid, text, text, text, jsonb, text, text, uuid, boolean, text)
  from public, anon, authenticated;
grant execute on function public.add_pending_connection(uuid, uuid, uuid, text, jsonb, text) to service_role;
grant execute on function public.offer_accounts(uuid, uuid, jsonb) to service_role;
grant execute on function public.pending_connection(uuid, uuid, text, text) to service_role;
grant execute on function public.complete_connection(uuid, uuid, uuid, text, text, text, jsonb, text, uuid, boolean, text) to service_role;
grant execute on function public.connect_named(uuid, uuid, uuid, text, text, text, jsonb, text, text, uuid, boolean, text) to service_role;
