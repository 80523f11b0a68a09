-- Connections, from the authorization request to the stored row, and revocations.
--
-- A grant is stored, sealed, as soon as it is received. From then on the database decides whether it is stored in integrations or revoked, so no
-- worker has to guess the outcome of a write whose response was lost.
--
-- A connection is made by a user, or by a connect session in the user's place (connect_session_id instead of user_id).
--
-- Lock order: membership or connect session, names, the pending connection, the integration, its lease.

create table public.oauth_transactions (
  id uuid primary key,
  state_hash text not null unique check (char_length(state_hash) between 1 and 128),
  binding_hash text not null check (char_length(binding_hash) between 1 and 128),
  user_id uuid,
  connect_session_id uuid,
  organization_id uuid not null,
  integration_type text not null check (char_length(integration_type) between 1 and 64),
  issuer text check (char_length(issuer) <= 512),
  redirect_uri text not null check (char_length(redirect_uri) between 1 and 2048),
  verifier jsonb not null check (octet_length(verifier::text) <= 4096),
  return_to text check (char_length(return_to) <= 2048),
  created_at timestamptz not null default now(),
  expires_at timestamptz not null default now() + interval '10 minutes',
  integration_id uuid,
  oauth_app_id uuid,
  check (num_nonnulls(user_id, connect_session_id) = 1),
  foreign key (organization_id, integration_type, oauth_app_id)
    references private.oauth_apps (organization_id, integration_type, id) on delete cascade
);

create index oauth_transactions_user_id on public.oauth_transactions (user_id);

create index oauth_transactions_connect_session_id on public.oauth_transactions (connect_session_id) where connect_session_id is not null;

create index oauth_transactions_organization_id on public.oauth_transactions (organization_id);

create index oauth_transactions_oauth_app_id on public.oauth_transactions (oauth_app_id) where oauth_app_id is not null;

create index oauth_transactions_expires_at on public.oauth_transactions (expires_at);

alter table public.oauth_transactions enable row level security;

revoke all on table public.oauth_transactions from public, anon, authenticated, service_role;

-- Every grant, from its receipt until it is stored or given up.
create table public.pending_connections (
  id uuid primary key,
  user_id uuid,
  connect_session_id uuid,
  organization_id uuid not null,
  integration_type text not null check (char_length(integration_type) between 1 and 64),
  config jsonb not null check (jsonb_typeof(config) = 'object' and octet_length(config::text) <= 262144),
  -- The accounts to choose from. Null: there is no choice. One: the account with which a connect session waits for its completion.
  accounts jsonb check (
    jsonb_typeof(accounts) = 'array'
    and jsonb_array_length(accounts) between 1 and 1000
    and octet_length(accounts::text) <= 262144
  ),
  return_to text check (char_length(return_to) <= 2048),
  created_at timestamptz not null default now(),
  -- After this the schedule revokes the grant. It is longer than a callback can take.
  expires_at timestamptz not null default now() + interval '5 minutes',
  oauth_app_id uuid,
  check (num_nonnulls(user_id, connect_session_id) = 1),
  foreign key (organization_id, integration_type, oauth_app_id) references private.oauth_apps (organization_id, integration_type, id)
);

create index pending_connections_expires_at on public.pending_connections (expires_at);

create index pending_connections_connect_session_id on public.pending_connections (connect_session_id) where connect_session_id is not null;

create index pending_connections_organization_id on public.pending_connections (organization_id);

create index pending_connections_user_id on public.pending_connections (user_id);

create index pending_connections_oauth_app_id on public.pending_connections (oauth_app_id) where oauth_app_id is not null;

alter table public.pending_connections enable row level security;

revoke all on table public.pending_connections from public, anon, authenticated, service_role;

-- The ids of ended pending connections and disconnected integrations: a call that arrives late must not store one of them again.
create table private.ended_connections (
  id uuid primary key,
  ended_at timestamptz not null default now()
);

create index ended_connections_ended_at on private.ended_connections (ended_at);

alter table private.ended_connections enable row level security;

revoke all on table private.ended_connections from public, anon, authenticated, service_role;

create function private.record_ended_connection() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  insert into private.ended_connections (id) values (old.id) on conflict (id) do nothing;
  return null;
end
$$;

comment on function private.record_ended_connection() is
  'Records that a pending connection has ended, whether it was stored, given up or expired.';

create trigger record_ended_connection
  after delete on public.pending_connections
  for each row
  execute function private.record_ended_connection();

-- Grants to be revoked at the provider. The schedule repeats a revocation that fails, for a day.
create table private.pending_revocations (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null,
  -- The row id that the config is sealed for.
  sealed_for uuid not null,
  integration_type text not null,
  external_account_id text,
  -- The user who received the grant or ended it. Null: the worker itself.
  user_id uuid,
  -- The end user whose connect session received the grant.
  external_user_id text,
  config jsonb not null,
  -- abandoned: it could not be stored. expired: the user never chose an account. discarded: the user canceled it. disconnected: its
  -- integration was deleted. replaced: another grant replaced it. late: a refresh returned after its integration was deleted.
  reason text not null check (reason in ('abandoned', 'expired', 'discarded', 'disconnected', 'replaced', 'late')),
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default now(),
  owner uuid,
  leased_until timestamptz,
  give_up_at timestamptz not null default now() + interval '1 day',
  -- The generation of a refresh that was in progress when the grant was replaced: its tokens are the ones to revoke.
  refresh_generation bigint,
  created_at timestamptz not null default now(),
  oauth_app_id uuid,
  check ((owner is null) = (leased_until is null)),
  foreign key (organization_id, integration_type, oauth_app_id) references private.oauth_apps (organization_id, integration_type, id)
);

create index pending_revocations_due on private.pending_revocations (next_attempt_at);

create index pending_revocations_organization on private.pending_revocations (organization_id, next_attempt_at);

create index pending_revocations_oauth_app_id on private.pending_revocations (oauth_app_id) where oauth_app_id is not null;

alter table private.pending_revocations enable row level security;

revoke all on table private.pending_revocations from public, anon, authenticated, service_role;

create function private.lock_connector(p_user_id uuid, p_connect_session_id uuid, p_organization_id uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  if p_connect_session_id is null then
    return private.lock_admin(p_user_id, p_organization_id);
  end if;
  perform from private.connect_sessions s
    where s.id = p_connect_session_id and s.organization_id = p_organization_id and p_user_id is null
    for update;
  return found;
end
$$;

comment on function private.lock_connector(uuid, uuid, uuid) is
  'Whether this user, or this connect session, may connect for the organization. Locks the membership, or the session.';

create function private.write_connector_event(
  p_user_id uuid, p_connect_session_id uuid, p_organization_id uuid, p_integration_id uuid, p_integration_type text,
  p_external_account_id text, p_action text, p_reason text, p_request_id text
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform private.write_event(
    case when p_connect_session_id is null then 'user' else 'service_key' end, p_user_id, p_organization_id, p_integration_id,
    p_integration_type, p_external_account_id, p_action, p_reason => p_reason, p_request_id => p_request_id,
    p_details => private.connect_session_details(p_connect_session_id)
  );
end
$$;

comment on function private.write_connector_event(uuid, uuid, uuid, uuid, text, text, text, text, text) is
  'Writes an event of a user, or of the service key behind a connect session.';

create function public.begin_connection(
  p_id uuid, p_state_hash text, p_binding_hash text, p_user_id uuid, p_organization_id uuid, p_integration_type text,
  p_issuer text, p_redirect_uri text, p_verifier jsonb, p_return_to text, p_integration_id uuid default null,
  p_connect_session_id uuid default null, p_oauth_app_id uuid default null, p_keeps_app boolean default false
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row public.integrations;
  v_app_id uuid := p_oauth_app_id;
begin
  -- Concurrent calls of a user queue here. If they counted at the same time, each would see room for one more.
  perform pg_advisory_xact_lock(hashtextextended('begin_connection ' || coalesce(p_user_id, p_connect_session_id), 0));

  if not private.lock_connector(p_user_id, p_connect_session_id, p_organization_id) then
    return jsonb_build_object('outcome', 'not_a_member');
  end if;
  -- The row exists: it was locked just now. A session has one transaction, the newest.
  if p_connect_session_id is not null then
    if not private.connect_session_is_open(p_connect_session_id) then
      return jsonb_build_object('outcome', 'over');
    end if;
    delete from public.oauth_transactions t where t.connect_session_id = p_connect_session_id;
  end if;

  if p_integration_id is not null then
    select * into v_row from public.integrations i
      where i.id = p_integration_id and i.organization_id = p_organization_id and i.integration_type = p_integration_type;
    if not found then
      return jsonb_build_object('outcome', 'unknown');
    end if;
    if private.account_of(v_row) is null or exists (
      select from public.integrations i
      where i.organization_id = p_organization_id and i.integration_type = p_integration_type
        and i.external_account_id = private.account_of(v_row) and i.id <> p_integration_id
    ) then
      return jsonb_build_object('outcome', 'no_account');
    end if;
    if p_keeps_app then
      v_app_id := v_row.oauth_app_id;
    end if;
  end if;
  -- Locked, so that it cannot be deleted before the transaction refers to it.
  perform from private.oauth_apps a
    where a.id = v_app_id and a.organization_id = p_organization_id and a.integration_type = p_integration_type
    for key share;
  if not found and v_app_id is not null then
    return jsonb_build_object('outcome', 'unknown_app');
  end if;

  if (select count(*) from public.oauth_transactions t where t.user_id = p_user_id and t.expires_at > now())
    + (select count(*) from public.pending_connections p where p.user_id = p_user_id) >= 50
    or (select count(*) from public.oauth_transactions t where t.organization_id = p_organization_id and t.expires_at > now())
    + (select count(*) from public.pending_connections p where p.organization_id = p_organization_id) >= 500
  then
    return jsonb_build_object('outcome', 'too_many');
  end if;

  insert into public.oauth_transactions (
    id, state_hash, binding_hash, user_id, organization_id, integration_type, issuer, redirect_uri, verifier, return_to,
    integration_id, connect_session_id, oauth_app_id
  ) values (
    p_id, p_state_hash, p_binding_hash, p_user_id, p_organization_id, p_integration_type, p_issuer, p_redirect_uri, p_verifier,
    p_return_to, p_integration_id, p_connect_session_id, v_app_id
  );
  if p_connect_session_id is not null then
    perform private.extend_connect_session(p_connect_session_id);
  end if;
  return jsonb_build_object('outcome', 'begun') || private.oauth_app(v_app_id);
end
$$;

comment on function public.begin_connection(uuid, text, text, uuid, uuid, text, text, text, jsonb, text, uuid, uuid, uuid, boolean) is
  'Starts a connection: stores the hashes and the sealed PKCE verifier of one authorization request. p_oauth_app_id: the organization''s own '
  'app, or null for the deployment''s; with p_keeps_app that of the integration to reconnect. Returns begun with the app, not_a_member, '
  'too_many, unknown (the integration to reconnect does not exist), unknown_app, or over (the connect session no longer accepts a connection).';

create function public.consume_transaction(p_state_hash text, p_binding_hash text, p_user_id uuid) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_transaction public.oauth_transactions;
  v_session_id uuid;
begin
  if p_user_id is null then
    -- The session before its transaction, as in begin_connection.
    select s.id into v_session_id from private.connect_sessions s
      where s.id = (select t.connect_session_id from public.oauth_transactions t where t.state_hash = p_state_hash)
      for update;
  end if;

  -- Of several concurrent callbacks one deletes the row. The others wait for its commit and find none.
  delete from public.oauth_transactions t
    where t.state_hash = p_state_hash and t.binding_hash = p_binding_hash and t.expires_at > now()
      and (t.user_id = p_user_id or t.connect_session_id = v_session_id)
    returning * into v_transaction;

  if not found then
    if exists (
      select from public.oauth_transactions t where t.state_hash = p_state_hash and t.expires_at > now()
    ) then
      return jsonb_build_object('outcome', 'foreign');
    end if;
    return jsonb_build_object('outcome', 'unknown');
  end if;

  if p_user_id is null then
    if not private.connect_session_is_open(v_session_id) then
      return jsonb_build_object('outcome', 'unknown');
    end if;
    -- From here on the session ends connected or failed: it has one authorization.
    update private.connect_sessions s set is_used = true where s.id = v_session_id;
  elsif not private.lock_admin(p_user_id, v_transaction.organization_id) then
    return jsonb_build_object('outcome', 'not_a_member');
  end if;

  return jsonb_build_object(
    'outcome', 'consumed',
    'connect_session', private.return_of(v_session_id),
    'id', v_transaction.id,
    'organization_id', v_transaction.organization_id,
    'integration_type', v_transaction.integration_type,
    'issuer', v_transaction.issuer,
    'redirect_uri', v_transaction.redirect_uri,
    'verifier', v_transaction.verifier,
    'return_to', v_transaction.return_to,
    'integration_id', v_transaction.integration_id,
    'account_id', (
      select private.account_of(i) from public.integrations i
      where i.id = v_transaction.integration_id and i.organization_id = v_transaction.organization_id
        and i.integration_type = v_transaction.integration_type
    )
  ) || private.oauth_app(v_transaction.oauth_app_id);
end
$$;

comment on function public.consume_transaction(text, text, uuid) is
  'Consumes an authorization transaction, once. p_user_id null: the transaction of a connect session. Returns consumed with its '
  'parameters, foreign (another browser or user), not_a_member, or unknown (not found, expired, or already used).';

comment on column public.oauth_transactions.integration_id is
  'The integration that is reconnected. Null: any account may be connected.';

create function public.check_credential_attempts(
  p_user_id uuid, p_organization_id uuid, p_connect_session_id uuid default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_seconds integer;
begin
  if not private.lock_connector(p_user_id, p_connect_session_id, p_organization_id) then
    return jsonb_build_object('outcome', 'not_a_member');
  end if;
  v_seconds := private.admit(
    'credentials', coalesce(p_user_id, p_connect_session_id)::text, case when p_user_id is null then 10 else 60 end, '10 minutes'
  );
  -- Who may start sessions could otherwise start another one for the next ten.
  if v_seconds = 0 and p_connect_session_id is not null then
    v_seconds := private.admit(
      'credentials of an end user',
      encode(sha256(convert_to(p_organization_id || ' ' || private.external_user_of(p_connect_session_id), 'UTF8')), 'hex'), 60, '10 minutes'
    );
  end if;
  if v_seconds > 0 then
    return jsonb_build_object('outcome', 'too_many', 'seconds', v_seconds);
  end if;
  return jsonb_build_object('outcome', 'admitted', 'at', now());
end
$$;

comment on function public.check_credential_attempts(uuid, uuid, uuid) is
  'Counts an attempt to connect with credentials, before the provider is asked: sixty in ten minutes for a user, or for the end user of '
  'connect sessions in an organization, and ten for a connect session. Without a limit anybody with an account could test stolen keys through the worker. '
  'Returns admitted with the time, not_a_member, or too_many '
  'with seconds.';

-- For finding integrations that share a grant, if a provider keeps one grant for a user and an app.
create index integrations_account on public.integrations (integration_type, external_account_id);

create index credential_events_connections on public.credential_events (user_id, integration_type)
  where action in ('connected', 'reconnected');

create function public.add_pending_connection(
  p_id uuid, p_user_id uuid, p_organization_id uuid, p_integration_type text, p_config jsonb, p_return_to text,
  p_connect_session_id uuid default null, p_oauth_app_id uuid default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  insert into public.pending_connections (
    id, user_id, connect_session_id, organization_id, integration_type, config, return_to, oauth_app_id
  )
    values (p_id, p_user_id, p_connect_session_id, p_organization_id, p_integration_type, p_config, p_return_to, p_oauth_app_id)
    on conflict (id) do nothing;
  -- A separate statement, so that it sees what ended while the one before was waiting.
  delete from public.pending_connections p
    where p.id = p_id and exists (select from private.ended_connections e where e.id = p_id);
  return jsonb_build_object('outcome', 'pending');
end
$$;

comment on function public.add_pending_connection(uuid, uuid, uuid, text, jsonb, text, uuid, uuid) is
  'Stores a grant that was just received, sealed, until it is stored as an integration or given up. May be repeated, '
  'and writes nothing once that has happened: a call may arrive long after its repetition.';

create function public.offer_accounts(
  p_id uuid, p_user_id uuid, p_accounts jsonb, p_connect_session_id uuid default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '5s' as $$
declare
  v_row public.pending_connections;
begin
  select * into v_row from public.pending_connections p
    where p.id = p_id and (p.user_id = p_user_id or p.connect_session_id = p_connect_session_id);
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  if not private.lock_connector(p_user_id, p_connect_session_id, v_row.organization_id) then
    return jsonb_build_object('outcome', 'not_a_member');
  end if;
  if p_connect_session_id is not null and not private.extend_connect_session(p_connect_session_id) then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  update public.pending_connections p set accounts = p_accounts, expires_at = now() + interval '10 minutes' where p.id = p_id;
  return jsonb_build_object('outcome', case when found then 'waiting' else 'unknown' end);
end
$$;

comment on function public.offer_accounts(uuid, uuid, jsonb, uuid) is
  'Makes a pending connection wait ten minutes for its user to select one of the grant''s accounts.';

create function public.pending_connection(
  p_id uuid, p_user_id uuid, p_reason text default 'choose', p_request_id text default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row public.pending_connections;
begin
  select * into v_row from public.pending_connections p
    where p.id = p_id and p.user_id = p_user_id and p.accounts is not null and p.expires_at > now();
  if not found or not private.may_change(p_user_id, v_row.organization_id) then
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

comment on function public.pending_connection(uuid, uuid, text, text) is
  'Reads a pending connection that waits for its user to select an account. It returns the config only with p_reason, which says '
  'what the config is opened for and is written to the event.';

create function public.complete_connection(
  p_id uuid, p_user_id uuid, p_organization_id uuid, p_integration_type text, p_external_account_id text, p_name text,
  p_config jsonb, p_request_id text, p_pending_id uuid default null, p_reconnect boolean default false,
  p_second_grant text default null, p_granted_at timestamptz default null, p_connect_session_id uuid default null,
  p_service_key uuid default null, p_external_user_id text default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row public.integrations;
  v_granted_at timestamptz := p_granted_at;
  v_app_id uuid;
  v_external_user_id text := coalesce(p_external_user_id, private.external_user_of(p_connect_session_id));
  v_name text;
  v_outcome text;
  v_action text;
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

  if not (
    case
      when p_service_key is null then private.lock_connector(p_user_id, p_connect_session_id, p_organization_id)
      else private.lock_access(null, p_service_key, 'connections:import', p_organization_id)
    end
  ) then
    return jsonb_build_object('outcome', 'not_a_member');
  end if;

  perform private.lock_names(p_organization_id, p_integration_type);

  if p_pending_id is not null then
    -- Locked, not yet deleted: after the outcome exists the caller calls again with this row.
    select p.created_at, p.oauth_app_id into v_granted_at, v_app_id from public.pending_connections p
      where p.id = p_pending_id and (p.user_id = p_user_id or p.connect_session_id = p_connect_session_id)
        and p.organization_id = p_organization_id and p.integration_type = p_integration_type and p.expires_at > now()
      for update;
    if not found then
      -- A repeated call whose first response was lost.
      perform from public.integrations i
        where i.id = p_id and i.organization_id = p_organization_id and i.config = p_config;
      return case
        when found then jsonb_build_object('outcome', 'updated', 'id', p_id)
        else jsonb_build_object('outcome', 'unknown')
      end;
    end if;
  elsif exists (select from private.ended_connections e where e.id = p_id) then
    return jsonb_build_object('outcome', 'unknown');
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

  -- Each iteration has its own snapshot. A conflict means that another transaction has inserted a row: the next iteration sees it, or
  -- inserts because that row was deleted again.
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
    -- Two calls at the same time have no order.
    if v_row.granted_at > v_granted_at + interval '5 seconds' then
      return jsonb_build_object('outcome', 'outdated');
    end if;

    v_name := private.unique_name(p_organization_id, p_integration_type, p_id, p_name, p_external_account_id);
    if v_row.id is not null then
      -- Grants of two clients are separate, whatever the provider makes of two grants of one.
      if p_second_grant = 'separate' or (p_pending_id is not null and not private.same_client(v_row.oauth_app_id, v_app_id)) then
        perform private.queue_replaced(v_row);
      end if;
      -- An earlier grant of this client may be queued since the row had another client. It may be this grant, or its revocation may end this one.
      if p_second_grant is distinct from 'separate' then
        perform private.end_revocation(r, 'kept', p_request_id) from private.pending_revocations r
          where r.sealed_for = p_id and r.reason = 'replaced' and (r.leased_until is null or r.leased_until <= now())
            and private.same_client(r.oauth_app_id, v_app_id);
      end if;
      perform set_config('integrations.connect', 'on', true);
      update public.integrations i
        set external_account_id = p_external_account_id,
          name = case when i.name_is_custom then i.name else v_name end,
          config = p_config,
          oauth_app_id = v_app_id,
          status = 'active',
          granted_at = coalesce(v_granted_at, now()),
          external_user_id = coalesce(v_external_user_id, i.external_user_id),
          connected_by = private.connected_by(p_user_id, p_connect_session_id, p_service_key),
          tags = coalesce(private.tags_of_session(p_connect_session_id), i.tags),
          may_have_earlier_grant = i.may_have_earlier_grant or p_second_grant is null
        where i.id = p_id;
      perform set_config('integrations.connect', 'off', true);
      v_outcome := 'updated';
      exit;
    end if;

    insert into public.integrations (
      id, organization_id, integration_type, external_account_id, name, config, status, granted_at, external_user_id, oauth_app_id,
      connected_by, tags
    ) values (
      p_id, p_organization_id, p_integration_type, p_external_account_id, v_name, p_config, 'active', coalesce(v_granted_at, now()),
      v_external_user_id, v_app_id,
      private.connected_by(p_user_id, p_connect_session_id, p_service_key), coalesce(private.tags_of_session(p_connect_session_id), '{}')
    )
      on conflict do nothing;
    if found then
      v_outcome := 'created';
      exit;
    end if;
  end loop;

  delete from public.pending_connections p where p.id = p_pending_id;
  if p_connect_session_id is not null then
    perform private.end_connect_session(p_connect_session_id, p_id);
  end if;

  v_action := case v_outcome when 'created' then 'connected' else 'reconnected' end;
  if p_service_key is null then
    perform private.write_connector_event(
      p_user_id, p_connect_session_id, p_organization_id, p_id, p_integration_type, p_external_account_id, v_action,
      case when p_reconnect then 'requested' end, p_request_id
    );
  else
    perform private.write_event(
      'service_key', null, p_organization_id, p_id, p_integration_type, p_external_account_id, v_action, p_reason => 'import',
      p_request_id => p_request_id, p_details => private.named_key(p_service_key)
    );
  end if;
  return jsonb_build_object('outcome', v_outcome, 'id', p_id);
end
$$;

comment on function public.complete_connection(uuid, uuid, uuid, text, text, text, jsonb, text, uuid, boolean, text, timestamptz, uuid, uuid, text) is
  'Writes the row p_id, for which p_config was sealed, and no other. If the account already has another row, nothing is written '
  'and the answer names that row; the caller seals again for it. With p_pending_id the pending connection is deleted in the same '
  'transaction. If it is gone, the answer is unknown and nothing is written: the grant was given up. So a grant is '
  'always either stored or still pending, never both. With p_reconnect no other row than p_id may be written: the answer is '
  'unknown if it is gone, and mismatch if it has another account or another row has this account. p_second_grant says what this '
  'grant does to the one that it replaces: replaces (the provider ended it), separate (it is queued for revocation), null '
  '(unknown: the row records that it may still exist). The grant of another app is always separate; if the row returns to that app, the queued one is kept. p_granted_at says when the user entered the credentials; a grant has the time '
  'of its pending connection. If the row has newer ones, the answer is outdated and nothing is written. With p_connect_session_id '
  '(p_user_id null) the same transaction completes the session, and the row gets its end user and, if the session has any, its tags. '
  'p_service_key imports: see import_connection.';

create function public.connect_named(
  p_id uuid, p_user_id uuid, p_organization_id uuid, p_integration_type text, p_external_account_id text, p_name text,
  p_config jsonb, p_request_id text, p_custom_name text, p_pending_id uuid default null, p_reconnect boolean default false,
  p_second_grant text default null, p_granted_at timestamptz default null
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

  -- Membership first, then the names: every caller that chooses a name locks both in this order.
  if not private.lock_admin(p_user_id, p_organization_id) then
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
    p_pending_id => p_pending_id, p_reconnect => p_reconnect, p_second_grant => p_second_grant,
    p_granted_at => p_granted_at
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

comment on function public.connect_named(uuid, uuid, uuid, text, text, text, jsonb, text, text, uuid, boolean, text, timestamptz) is
  'Like complete_connection, with a name that the user chose and that stays. Returns name_taken, and writes nothing, if '
  'another integration of the type in the organization has the name.';

create function private.grant_is_shared(
  p_integration_type text, p_oauth_app_id uuid, p_external_account_id text, p_user_id uuid, p_organization_id uuid, p_external_user_id text
) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select exists (
    select from public.integrations i
    where i.integration_type = p_integration_type and i.external_account_id = p_external_account_id
      and private.same_client(i.oauth_app_id, p_oauth_app_id)
  ) or exists (
    select from public.credential_events e
    join public.integrations i on i.id = e.integration_id
    where e.user_id = p_user_id and e.integration_type = p_integration_type and e.action in ('connected', 'reconnected')
      and private.same_client(i.oauth_app_id, p_oauth_app_id)
  ) or exists (
    select from public.integrations i
    where i.organization_id = p_organization_id and i.external_user_id = p_external_user_id
      and i.integration_type = p_integration_type
      and private.same_client(i.oauth_app_id, p_oauth_app_id)
  );
$$;

comment on function private.grant_is_shared(text, uuid, text, uuid, uuid, text) is
  'Whether an integration uses this grant. A provider may know one grant for a user and an app, so it looks, among the '
  'integrations of this app, for the same account, and for the same user here, or the same end user of the organization''s backend, whose other account may be part of that grant.';

create function private.revocation_claim(p_row private.pending_revocations) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'id', p_row.id,
    'organization_id', p_row.organization_id,
    'sealed_for', p_row.sealed_for,
    'integration_type', p_row.integration_type,
    'config', p_row.config::text
  ) || private.oauth_app(p_row.oauth_app_id);
$$;

comment on function private.revocation_claim(private.pending_revocations) is
  'What the worker needs for a revocation. The config is returned as text, so that one that the worker cannot read does not '
  'affect the others.';

create function private.queue_replaced(p_row public.integrations) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_config jsonb := private.newest_config(p_row);
  v_lease record;
begin
  select l.generation, l.expires_at into v_lease from public.credential_leases l where l.integration_id = p_row.id and l.owner is not null;
  insert into private.pending_revocations (
    id, organization_id, sealed_for, integration_type, oauth_app_id, external_account_id, user_id, external_user_id, config, reason,
    refresh_generation, next_attempt_at
  ) values (
    md5(p_row.id || v_config::text)::uuid, p_row.organization_id, p_row.id, p_row.integration_type, p_row.oauth_app_id,
    private.account_of(p_row),
    (
      select e.user_id from public.credential_events e
      where e.integration_id = p_row.id and e.action in ('connected', 'reconnected') order by e.id desc limit 1
    ),
    p_row.external_user_id, v_config, 'replaced', v_lease.generation, coalesce(v_lease.expires_at, now())
  )
  on conflict (id) do nothing;
end
$$;

comment on function private.queue_replaced(integrations) is
  'Queues the credential of an integration for revocation because another grant replaces it. While a refresh of it is in '
  'progress, the revocation waits for the tokens that the refresh returns, at most until its lease expires. The same credential '
  'is queued once.';

create function private.end_revocation(p_row private.pending_revocations, p_outcome text, p_request_id text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  delete from private.pending_revocations r where r.id = p_row.id;
  perform private.write_event(
    'service', null, p_row.organization_id, p_row.sealed_for, p_row.integration_type, p_row.external_account_id, 'revoked', p_outcome,
    p_row.reason, p_request_id
  );
end
$$;

comment on function private.end_revocation(private.pending_revocations, text, text) is
  'Ends a revocation and records the result.';

create function public.abandon_connection(
  p_id uuid, p_user_id uuid, p_owner uuid, p_reason text, p_external_account_id text, p_wide boolean, p_request_id text,
  p_connect_session_id uuid default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '5s' as $$
declare
  v_pending public.pending_connections;
  v_row private.pending_revocations;
begin
  if p_owner is null or p_wide is null then
    raise exception 'p_owner or p_wide is null' using errcode = 'invalid_parameter_value';
  end if;
  delete from public.pending_connections p
    where p.id = p_id and (p.user_id = p_user_id or p.connect_session_id = p_connect_session_id)
    returning * into v_pending;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  insert into private.pending_revocations (
    id, organization_id, sealed_for, integration_type, oauth_app_id, external_account_id, user_id, external_user_id, config, reason,
    owner, leased_until
  ) values (
    v_pending.id, v_pending.organization_id, v_pending.id, v_pending.integration_type, v_pending.oauth_app_id, p_external_account_id,
    p_user_id, private.external_user_of(p_connect_session_id), v_pending.config, p_reason, p_owner, now() + interval '60 seconds'
  ) returning * into v_row;
  if p_wide and private.grant_is_shared(
    v_row.integration_type, v_row.oauth_app_id, p_external_account_id, p_user_id, v_row.organization_id, v_row.external_user_id
  ) then
    perform private.end_revocation(v_row, 'kept', p_request_id);
    return jsonb_build_object('outcome', 'kept');
  end if;
  perform private.write_connector_event(
    p_user_id, p_connect_session_id, v_row.organization_id, v_row.id, v_row.integration_type, p_external_account_id, 'opened', 'revoke',
    p_request_id
  );
  return jsonb_build_object('outcome', 'abandoned', 'revocation', private.revocation_claim(v_row));
end
$$;

comment on function public.abandon_connection(uuid, uuid, uuid, text, text, boolean, text, uuid) is
  'Gives up a pending connection, and leases its revocation to p_owner. p_reason: abandoned, or discarded by its user. p_wide: a '
  'revocation ends everything that the user has granted. Returns abandoned (the caller revokes, then settles), kept (another '
  'integration uses the grant, so nobody revokes it) or unknown (it is not pending: it was stored, or given up before).';

create function public.disconnect_integration(
  p_id uuid, p_user_id uuid, p_owner uuid, p_wide_types text[], p_request_id text, p_service_key uuid default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '5s' as $$
declare
  v_organization_id uuid;
  v_integration public.integrations;
  v_row private.pending_revocations;
begin
  if p_owner is null or p_wide_types is null then
    raise exception 'p_owner or p_wide_types is null' using errcode = 'invalid_parameter_value';
  end if;
  select i.organization_id into v_organization_id from public.integrations i where i.id = p_id;
  if not found or not private.lock_access(p_user_id, p_service_key, 'connections:write', v_organization_id) then
    return jsonb_build_object('outcome', 'unknown');
  end if;

  -- The organization again: it is the one whose membership is locked.
  select * into v_integration from public.integrations i where i.id = p_id and i.organization_id = v_organization_id for update;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  insert into private.pending_revocations (
    organization_id, sealed_for, integration_type, oauth_app_id, external_account_id, user_id, config, reason, owner, leased_until
  ) values (
    v_integration.organization_id, p_id, v_integration.integration_type, v_integration.oauth_app_id, private.account_of(v_integration),
    -- A service key has no grants at the provider: the user who connected has.
    coalesce(p_user_id, (
      select e.user_id from public.credential_events e
      where e.integration_id = p_id and e.action in ('connected', 'reconnected') order by e.id desc limit 1
    )),
    private.newest_config(v_integration), 'disconnected', p_owner, now() + interval '60 seconds'
  ) returning * into v_row;
  delete from public.integrations i where i.id = p_id;
  insert into private.ended_connections (id) values (p_id) on conflict (id) do nothing;
  perform private.write_event(
    private.actor(p_user_id, p_service_key), p_user_id, v_row.organization_id, p_id, v_row.integration_type,
    v_integration.external_account_id, 'opened', p_reason => 'disconnect', p_request_id => p_request_id,
    p_details => private.named_key(p_service_key)
  );
  perform private.write_event(
    private.actor(p_user_id, p_service_key), p_user_id, v_row.organization_id, p_id, v_row.integration_type,
    v_integration.external_account_id, 'disconnected', p_request_id => p_request_id, p_details => private.named_key(p_service_key)
  );
  return jsonb_build_object(
    'outcome', 'disconnected',
    'revocation', private.revocation_claim(v_row),
    'earlier_grant', v_integration.may_have_earlier_grant,
    'shared', coalesce(
      (
        select jsonb_agg(jsonb_build_object('id', s.id, 'visible', private.has_access(p_user_id, p_service_key, 'connections:write', s.organization_id)))
        from (
          select i.id, i.organization_id from public.integrations i
          where v_row.integration_type = any (p_wide_types) and i.integration_type = v_row.integration_type
            and i.external_account_id = v_row.external_account_id and private.same_client(i.oauth_app_id, v_row.oauth_app_id)
          limit 100
        ) s
      ),
      '[]'
    )
  );
end
$$;

comment on function public.disconnect_integration(uuid, uuid, uuid, text[], text, uuid) is
  'Deletes an integration, whatever its config contains, and leases the revocation of its newest credential to p_owner. Returns '
  'earlier_grant if a replaced grant may still exist, and shared: at most 100 other integrations that a revocation of everything '
  'that the user has granted (p_wide_types) ends, each with its id and whether the caller may see it.';

create function public.claim_revocations(
  p_owner uuid, p_limit integer, p_types text[], p_wide_types text[], p_request_id text
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row private.pending_revocations;
  v_claim jsonb;
  v_claims jsonb[] := '{}';
  v_room integer := 1048576;
begin
  if p_owner is null or p_limit is null or p_limit not between 1 and 100 or p_types is null or p_wide_types is null then
    raise exception 'p_limit is not between 1 and 100, or an argument is null' using errcode = 'invalid_parameter_value';
  end if;

  with expired as (
    delete from public.pending_connections p
      where p.id in (
        select e.id from public.pending_connections e
        where e.expires_at <= now() order by e.expires_at limit 500 for update skip locked
      )
      returning *
  )
  insert into private.pending_revocations (
    id, organization_id, sealed_for, integration_type, oauth_app_id, external_account_id, user_id, external_user_id, config, reason
  )
    select e.id, e.organization_id, e.id, e.integration_type, e.oauth_app_id,
      case when jsonb_array_length(e.accounts) = 1 then e.accounts->0->>'id' end, e.user_id,
      private.external_user_of(e.connect_session_id), e.config, case when e.accounts is null then 'abandoned' else 'expired' end
    from expired e
    on conflict (id) do nothing;

  for v_row in
    select * from private.pending_revocations r
    where r.give_up_at <= now() and (r.leased_until is null or r.leased_until <= now())
    limit 500 for update skip locked
  loop
    perform private.end_revocation(v_row, 'failed', p_request_id);
  end loop;

  for v_row in
    select r.* from private.pending_revocations r
    join (
      select d.id, row_number() over (partition by d.organization_id order by d.next_attempt_at) as turn
      from private.pending_revocations d
      where d.next_attempt_at <= now() and (d.leased_until is null or d.leased_until <= now())
        and (d.integration_type = any (p_types) or d.oauth_app_id is not null)
    ) due on due.id = r.id
    where r.leased_until is null or r.leased_until <= now()
    order by due.turn, r.next_attempt_at
    limit p_limit
    for update of r skip locked
  loop
    exit when v_room <= 0;
    if v_row.integration_type = any (p_wide_types)
      and private.grant_is_shared(
        v_row.integration_type, v_row.oauth_app_id, v_row.external_account_id, v_row.user_id, v_row.organization_id,
        v_row.external_user_id
      )
    then
      perform private.end_revocation(v_row, 'kept', p_request_id);
      continue;
    end if;
    update private.pending_revocations r set owner = p_owner, leased_until = now() + interval '60 seconds' where r.id = v_row.id;
    perform private.write_event(
      'service', null, v_row.organization_id, v_row.sealed_for, v_row.integration_type, v_row.external_account_id, 'opened',
      p_reason => 'revoke', p_request_id => p_request_id
    );
    v_claim := private.revocation_claim(v_row);
    v_claims := v_claims || v_claim;
    v_room := v_room - octet_length(v_claim::text);
  end loop;
  return jsonb_build_object('outcome', 'claimed', 'claims', to_jsonb(v_claims));
end
$$;

comment on function public.claim_revocations(uuid, integer, text[], text[], text) is
  'Claims up to p_limit due revocations of these types, and of organizations'' own apps, in turns between organizations. First it queues the grants of expired '
  'pending connections, gives up what has failed for a day, and keeps grants of p_wide_types that another integration now uses.';

create function public.settle_revocation(p_id uuid, p_owner uuid, p_result text, p_request_id text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '5s' as $$
declare
  v_row private.pending_revocations;
begin
  if p_result is null or p_result not in ('revoked', 'unsupported', 'unreadable', 'failed') then
    raise exception 'p_result is not revoked, unsupported, unreadable or failed' using errcode = 'invalid_parameter_value';
  end if;
  select * into v_row from private.pending_revocations r where r.id = p_id and r.owner = p_owner for update;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  if p_result = 'failed' then
    update private.pending_revocations r
      set owner = null, leased_until = null, attempts = r.attempts + 1,
        next_attempt_at = now() + make_interval(secs => least(30 * 2 ^ least(r.attempts, 7), 3600))
      where r.id = p_id;
  else
    perform private.end_revocation(
      v_row, case p_result when 'revoked' then 'succeeded' when 'unreadable' then 'failed' else p_result end, p_request_id
    );
  end if;
  return jsonb_build_object('outcome', 'settled');
end
$$;

comment on function public.settle_revocation(uuid, uuid, text, text) is
  'Ends a leased revocation: revoked, unsupported (the provider has no endpoint for it), unreadable (the config will never open), '
  'or failed, which is retried later.';

revoke all on function 
  private.lock_connector(uuid, uuid, uuid),
  private.write_connector_event(uuid, uuid, uuid, uuid, text, text, text, text, text),
  private.record_ended_connection(),
  private.grant_is_shared(text, uuid, text, uuid, uuid, text),
  private.revocation_claim(private.pending_revocations),
  private.queue_replaced(integrations),
  private.end_revocation(private.pending_revocations, text, text),
  public.begin_connection(uuid, text, text, uuid, uuid, text, text, text, jsonb, text, uuid, uuid, uuid, boolean),
  public.consume_transaction(text, text, uuid),
  public.check_credential_attempts(uuid, uuid, uuid),
  public.add_pending_connection(uuid, uuid, uuid, text, jsonb, text, uuid, uuid),
  public.offer_accounts(uuid, uuid, jsonb, uuid),
  public.pending_connection(uuid, uuid, text, text),
  public.complete_connection(uuid, uuid, uuid, text, text, text, jsonb, text, uuid, boolean, text, timestamptz, uuid, uuid, text),
  public.connect_named(uuid, uuid, uuid, text, text, text, jsonb, text, text, uuid, boolean, text, timestamptz),
  public.abandon_connection(uuid, uuid, uuid, text, text, boolean, text, uuid),
  public.disconnect_integration(uuid, uuid, uuid, text[], text, uuid),
  public.claim_revocations(uuid, integer, text[], text[], text),
  public.settle_revocation(uuid, uuid, text, text)
from public, anon, authenticated, service_role;
grant execute on function 
  public.begin_connection(uuid, text, text, uuid, uuid, text, text, text, jsonb, text, uuid, uuid, uuid, boolean),
  public.consume_transaction(text, text, uuid),
  public.check_credential_attempts(uuid, uuid, uuid),
  public.add_pending_connection(uuid, uuid, uuid, text, jsonb, text, uuid, uuid),
  public.offer_accounts(uuid, uuid, jsonb, uuid),
  public.pending_connection(uuid, uuid, text, text),
  public.complete_connection(uuid, uuid, uuid, text, text, text, jsonb, text, uuid, boolean, text, timestamptz, uuid, uuid, text),
  public.connect_named(uuid, uuid, uuid, text, text, text, jsonb, text, text, uuid, boolean, text, timestamptz),
  public.abandon_connection(uuid, uuid, uuid, text, text, boolean, text, uuid),
  public.disconnect_integration(uuid, uuid, uuid, text[], text, uuid),
  public.claim_revocations(uuid, integer, text[], text[], text),
  public.settle_revocation(uuid, uuid, text, text)
to service_role;
