-- Service keys, with which programs of the operator or of an organization call the API without a user; and connect sessions, with which
-- such a program lets its own users connect accounts.

create table private.service_keys (
  id uuid primary key default gen_random_uuid(),
  -- Null: all organizations. Only an operator can create such a key.
  organization_id uuid,
  name text not null check (char_length(name) between 1 and 200),
  -- The beginning of the key, so that its owner recognizes it.
  prefix text not null check (char_length(prefix) between 1 and 16),
  -- SHA-256 of the key. A key has 256 random bits, so neither guessing nor timing the lookup helps.
  hash text not null unique check (hash ~ '^[0-9a-f]{64}$'),
  scopes text[] not null check (
    cardinality(scopes) between 1 and 7
    and scopes <@ array[
      'connections:read', 'connections:credentials', 'connections:write', 'connections:import', 'connect_sessions:write',
      'webhooks:manage', 'findings:read'
    ]
  ),
  -- Null: an operator.
  created_by uuid,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  revoked_at timestamptz,
  -- Precise to the minute.
  last_used_at timestamptz
);

create index service_keys_organization on private.service_keys (organization_id);

alter table private.service_keys enable row level security;

revoke all on table private.service_keys from public, anon, authenticated, service_role;

create function private.shown_service_key(p_row private.service_keys) returns jsonb
language sql immutable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'id', p_row.id,
    'organization_id', p_row.organization_id,
    'name', p_row.name,
    'prefix', p_row.prefix,
    'scopes', to_jsonb(p_row.scopes),
    'created_by', p_row.created_by,
    'created_at', p_row.created_at,
    'expires_at', p_row.expires_at,
    'revoked_at', p_row.revoked_at,
    'last_used_at', p_row.last_used_at
  );
$$;

comment on function private.shown_service_key(private.service_keys) is
  'A service key as the API and keytool show it: without its hash.';

create function public.create_service_key(
  p_user_id uuid, p_organization_id uuid, p_name text, p_prefix text, p_hash text, p_scopes text[], p_expires_at timestamptz default null,
  p_days integer default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row private.service_keys;
begin
  if p_user_id is not null and (p_organization_id is null or not private.lock_membership(p_user_id, p_organization_id)) then
    return jsonb_build_object('outcome', 'not_a_member');
  end if;
  if p_user_id is not null and not private.is_owner(p_user_id, p_organization_id) then
    return jsonb_build_object('outcome', 'not_the_owner');
  end if;
  if p_expires_at <= now() then
    return jsonb_build_object('outcome', 'expired');
  end if;
  -- One at a time, so that the count holds.
  perform pg_advisory_xact_lock(hashtextextended('service keys ' || coalesce(p_organization_id::text, ''), 0));
  if (
    select count(*) from private.service_keys k
    where k.organization_id is not distinct from p_organization_id and k.revoked_at is null and coalesce(k.expires_at > now(), true)
  ) >= 50 then
    return jsonb_build_object('outcome', 'too_many');
  end if;
  insert into private.service_keys (organization_id, name, prefix, hash, scopes, created_by, expires_at)
    values (
      p_organization_id, p_name, p_prefix, p_hash, array(select distinct s from unnest(p_scopes) s order by s), p_user_id,
      coalesce(p_expires_at, now() + make_interval(days => p_days))
    )
    returning * into v_row;
  return jsonb_build_object('outcome', 'created', 'service_key', private.shown_service_key(v_row));
end
$$;

comment on function public.create_service_key(uuid, uuid, text, text, text, text[], timestamptz, integer) is
  'Stores the hash of a new service key. p_user_id null: an operator, who alone may make a key of all organizations '
  '(p_organization_id null). The key expires at p_expires_at, or after p_days. An organization has at most 50 keys that are valid. Returns created, not_a_member, not_the_owner, '
  'expired (p_expires_at is past) or too_many.';

create function public.list_service_keys(p_user_id uuid, p_organization_id uuid) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  if p_user_id is not null and not private.is_member(p_user_id, p_organization_id) then
    return jsonb_build_object('outcome', 'not_a_member');
  end if;
  if p_user_id is not null and not private.is_owner(p_user_id, p_organization_id) then
    return jsonb_build_object('outcome', 'not_the_owner');
  end if;
  return jsonb_build_object('outcome', 'listed', 'service_keys', coalesce(
    (
      select jsonb_agg(private.shown_service_key(k) order by k.created_at desc, k.id)
      from (
        select * from private.service_keys s
        where p_organization_id is null and p_user_id is null or s.organization_id = p_organization_id
        order by s.created_at desc, s.id limit 1000
      ) k
    ),
    '[]'
  ));
end
$$;

comment on function public.list_service_keys(uuid, uuid) is
  'The newest 1,000 service keys of an organization, for its owner; for an operator (p_user_id null) without p_organization_id those '
  'of all. Returns listed, not_a_member or not_the_owner.';

create function public.revoke_service_key(p_user_id uuid, p_id uuid) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row private.service_keys;
begin
  select * into v_row from private.service_keys k where k.id = p_id for update;
  if not found or (p_user_id is not null and not private.is_owner(p_user_id, v_row.organization_id)) then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  update private.service_keys k set revoked_at = coalesce(k.revoked_at, now()) where k.id = p_id returning * into v_row;
  return jsonb_build_object('outcome', 'revoked', 'service_key', private.shown_service_key(v_row));
end
$$;

comment on function public.revoke_service_key(uuid, uuid) is
  'Ends a service key at once. For its organization''s owner, or an operator (p_user_id null). May be repeated. Returns revoked or unknown.';

create function private.service_key_covers(p_id uuid, p_scope text, p_organization_id uuid) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select exists (
    select from private.service_keys k
    where k.id = p_id and k.revoked_at is null and coalesce(k.expires_at > now(), true) and p_scope = any (k.scopes)
      and coalesce(k.organization_id = p_organization_id, p_organization_id is not null)
  );
$$;

comment on function private.service_key_covers(uuid, text, uuid) is
  'Whether a service key is valid, has the scope and may act for the organization.';

create function private.service_key_covers_all(p_id uuid, p_scope text) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select exists (
    select from private.service_keys k
    where k.id = p_id and k.revoked_at is null and coalesce(k.expires_at > now(), true) and p_scope = any (k.scopes) and k.organization_id is null
  );
$$;

comment on function private.service_key_covers_all(uuid, text) is
  'Whether a service key is valid, has the scope and acts for all organizations.';

create function private.named_key(p_id uuid) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object('service_key', k.id, 'name', k.name) from private.service_keys k where k.id = p_id;
$$;

comment on function private.named_key(uuid) is
  'An event''s details about a service key; null without one.';

create function private.has_access(p_user_id uuid, p_service_key uuid, p_scope text, p_organization_id uuid) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select case
    when p_service_key is not null then private.service_key_covers(p_service_key, p_scope, p_organization_id)
    else private.is_member(p_user_id, p_organization_id)
  end;
$$;

comment on function private.has_access(uuid, uuid, text, uuid) is
  'Whether a caller may see what an organization has: a service key with the scope, or without one a user who is a member.';

create function private.has_write_access(p_user_id uuid, p_service_key uuid, p_scope text, p_organization_id uuid) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select case
    when p_service_key is not null then private.service_key_covers(p_service_key, p_scope, p_organization_id)
    else private.may_change(p_user_id, p_organization_id)
  end;
$$;

comment on function private.has_write_access(uuid, uuid, text, uuid) is
  'Whether a caller may change what an organization has: a service key with the scope, or without one a user who is an admin.';

create function private.lock_access(p_user_id uuid, p_service_key uuid, p_scope text, p_organization_id uuid) returns boolean
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  select case
    when p_service_key is not null then private.service_key_covers(p_service_key, p_scope, p_organization_id)
    else private.lock_admin(p_user_id, p_organization_id)
  end;
$$;

comment on function private.lock_access(uuid, uuid, text, uuid) is
  'Like has_write_access, for a function that is about to write: neither a membership nor its role can change before the caller''s '
  'transaction ends.';

create function public.authenticate_service_key(p_hash text, p_scope text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row private.service_keys;
  v_seconds integer;
begin
  select * into v_row from private.service_keys k
    where k.hash = p_hash and k.revoked_at is null and coalesce(k.expires_at > now(), true);
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  if p_scope is null or not p_scope = any (v_row.scopes) then
    return jsonb_build_object('outcome', 'missing_scope');
  end if;
  -- Sixteen counters, so that concurrent requests with one key seldom wait for each other.
  v_seconds := private.admit('service key', v_row.id || ' ' || floor(random() * 16), 400, '1 minute');
  if v_seconds > 0 then
    return jsonb_build_object('outcome', 'too_many', 'seconds', v_seconds);
  end if;
  if coalesce(v_row.last_used_at < now() - interval '1 minute', true) then
    perform from private.service_keys k where k.id = v_row.id for no key update skip locked;
    if found then
      update private.service_keys k set last_used_at = now() where k.id = v_row.id;
    end if;
  end if;
  return jsonb_build_object('outcome', 'authenticated', 'id', v_row.id, 'organization_id', v_row.organization_id);
end
$$;

comment on function public.authenticate_service_key(text, text) is
  'Finds a valid service key by its hash and counts its use: some 6,400 in a minute. Returns authenticated, unknown (not found, '
  'revoked or expired), missing_scope, or too_many with seconds.';

create function public.find_integration_of_type(p_service_key uuid, p_organization_id uuid, p_integration_type text) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_ids uuid[];
begin
  if not private.service_key_covers(p_service_key, 'connections:credentials', p_organization_id) then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  v_ids := array(
    select i.id from public.integrations i
    where i.organization_id = p_organization_id and i.integration_type = p_integration_type limit 2
  );
  return case cardinality(v_ids)
    when 0 then jsonb_build_object('outcome', 'unknown')
    when 1 then jsonb_build_object('outcome', 'found', 'id', v_ids[1])
    else jsonb_build_object('outcome', 'several')
  end;
end
$$;

comment on function public.find_integration_of_type(uuid, uuid, text) is
  'The one integration of a type that an organization has. Returns found, several, or unknown.';

create function private.clean_up_service_keys(p_days integer) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  delete from private.service_keys k where least(k.revoked_at, k.expires_at) < now() - make_interval(days => p_days);
$$;

comment on function private.clean_up_service_keys(integer) is
  'Deletes the service keys that ended more than p_days days ago. Until then the list shows the key of an event.';

-- Connect sessions. A backend starts one for an end user whom only the backend knows, and gets a link. The link works once. The browser
-- that opens it connects an account. The grant stays a pending connection until the backend completes the session.
create table private.connect_sessions (
  id uuid primary key,
  -- SHA-256 of the link's token, of the cookie of the browser that opened the link, and of the code with which that browser returned. Each
  -- has 256 random bits, so neither guessing nor timing a comparison helps.
  token_hash text not null unique check (token_hash ~ '^[0-9a-f]{64}$'),
  binding_hash text check (binding_hash ~ '^[0-9a-f]{64}$'),
  code_hash text check (code_hash ~ '^[0-9a-f]{64}$'),
  -- S256 of the verifier that the backend presents in the end.
  code_challenge text not null check (code_challenge ~ '^[A-Za-z0-9_-]{43}$'),
  -- The service key that started it, and the one that completed it.
  created_by uuid not null,
  completed_by uuid,
  organization_id uuid not null,
  -- The backend's own id of its user, and what the page calls that user.
  external_user_id text not null check (char_length(external_user_id) between 1 and 200),
  external_user_name text check (char_length(external_user_name) between 1 and 200),
  integration_types text[] not null check (cardinality(integration_types) between 1 and 100),
  -- The integration to reconnect, if any.
  reconnects uuid,
  return_url text not null check (char_length(return_url) between 1 and 2048),
  return_state text check (char_length(return_state) between 1 and 512),
  -- By type, the scopes that are requested beside the entry's own.
  scopes jsonb not null default '{}' check (jsonb_typeof(scopes) = 'object' and octet_length(scopes::text) <= 8192),
  -- By type, the organization's own app. A type that is missing is connected with the deployment's.
  oauth_apps jsonb not null default '{}' check (jsonb_typeof(oauth_apps) = 'object' and octet_length(oauth_apps::text) <= 16384),
  metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object' and octet_length(metadata::text) <= 4096),
  -- The tags that the integration gets. Null: it keeps those that it has.
  tags text[] check (
    cardinality(tags) <= 20 and array_position(tags, null) is null and '' <> all (tags) and array_to_string(tags, E'\n') !~ '[^\n]{65}'
  ),
  state text not null default 'pending'
    check (state in ('pending', 'opened', 'waiting_for_completion', 'completed', 'failed')),
  -- The browser has returned from the provider, or has entered credentials that the provider accepts: there is no second attempt.
  is_used boolean not null default false,
  pending_id uuid,
  -- Completions with a wrong code or verifier.
  wrong_completions smallint not null default 0,
  -- Of a failed session: the error's code.
  failure text check (char_length(failure) between 1 and 64),
  -- Of a completed session: the integration.
  integration_id uuid,
  created_at timestamptz not null default now(),
  -- Each step has ten minutes. All of them have an hour.
  expires_at timestamptz not null default now() + interval '10 minutes',
  check (state in ('waiting_for_completion', 'completed') or code_hash is null)
);

create index connect_sessions_organization on private.connect_sessions (organization_id)
  where state in ('pending', 'opened', 'waiting_for_completion');

create index connect_sessions_created_by on private.connect_sessions (created_by)
  where state in ('pending', 'opened', 'waiting_for_completion');

create index connect_sessions_expires_at on private.connect_sessions (expires_at);

alter table private.connect_sessions enable row level security;

revoke all on table private.connect_sessions from public, anon, authenticated, service_role;

create function private.connect_session_state(p_row private.connect_sessions) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select case when p_row.state in ('completed', 'failed') or p_row.expires_at > now() then p_row.state else 'expired' end;
$$;

comment on function private.connect_session_state(private.connect_sessions) is
  'The state of a connect session: pending (nobody has opened the link), opened, waiting_for_completion, completed, failed or expired.';

create function private.connect_session_is_open(p_id uuid) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select exists (
    select from private.connect_sessions s where s.id = p_id and s.state = 'opened' and not s.is_used and s.expires_at > now()
  );
$$;

comment on function private.connect_session_is_open(uuid) is
  'Whether the browser of a connect session may still connect an account.';

create function private.extend_connect_session(p_id uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  update private.connect_sessions s set expires_at = least(now() + interval '10 minutes', s.created_at + interval '1 hour')
    where s.id = p_id and s.state = 'opened' and s.expires_at > now();
  return found;
end
$$;

comment on function private.extend_connect_session(uuid) is
  'Gives an opened connect session ten minutes for its next step. Returns whether the session is opened.';

create function private.external_user_of(p_id uuid) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select s.external_user_id from private.connect_sessions s where s.id = p_id;
$$;

comment on function private.external_user_of(uuid) is
  'The end user of a connect session.';

create function private.tags_of_session(p_id uuid) returns text[]
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select s.tags from private.connect_sessions s where s.id = p_id;
$$;

comment on function private.tags_of_session(uuid) is
  'The tags that an integration gets from a connect session. Null: none are given.';

create function private.return_of(p_id uuid) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object('id', s.id, 'return_url', s.return_url, 'return_state', s.return_state)
  from private.connect_sessions s where s.id = p_id;
$$;

comment on function private.return_of(uuid) is
  'Where the browser of a connect session is redirected to in the end.';

create function private.connect_session_details(p_id uuid) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'service_key', k.id, 'name', k.name, 'connect_session', s.id, 'external_user_id', s.external_user_id
  )
  from private.connect_sessions s
  join private.service_keys k on k.id = coalesce(s.completed_by, s.created_by)
  where s.id = p_id;
$$;

comment on function private.connect_session_details(uuid) is
  'An event''s details about a connect session: the service key behind it, and the end user.';

create function private.connected_by(p_user_id uuid, p_connect_session_id uuid, p_service_key uuid) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select case
    when p_user_id is not null then jsonb_build_object('actor', 'user', 'user_id', p_user_id)
    else jsonb_build_object('actor', 'service_key')
      || coalesce(private.connect_session_details(p_connect_session_id), private.named_key(p_service_key), '{}')
  end;
$$;

comment on function private.connected_by(uuid, uuid, uuid) is
  'Who connects an account, as integrations.connected_by has it: a user, or the service key behind a connect session, or one itself.';

create function private.end_connect_session(p_id uuid, p_integration_id uuid) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  update private.connect_sessions s set state = 'completed', integration_id = p_integration_id
    where s.id = p_id and s.state = 'waiting_for_completion' and s.completed_by is not null;
  if not found then
    raise exception 'the connect session does not wait for its completion' using errcode = 'object_not_in_prerequisite_state';
  end if;
end
$$;

comment on function private.end_connect_session(uuid, uuid) is
  'Completes a connect session whose code and verifier were right, in the transaction that stores its integration.';

create function private.shown_connect_session(p_row private.connect_sessions) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'id', p_row.id,
    'state', private.connect_session_state(p_row),
    'failure', p_row.failure,
    'organization_id', p_row.organization_id,
    'external_user_id', p_row.external_user_id,
    'external_user_name', p_row.external_user_name,
    'integration_types', to_jsonb(p_row.integration_types),
    'scopes', p_row.scopes,
    'oauth_apps', p_row.oauth_apps,
    'return_url', p_row.return_url,
    'metadata', p_row.metadata,
    'tags', to_jsonb(p_row.tags),
    'created_at', p_row.created_at,
    'expires_at', p_row.expires_at,
    'integration', (
      select jsonb_build_object(
        'id', i.id,
        'integration_type', i.integration_type,
        'name', i.name,
        'status', i.status,
        'created_at', i.created_at,
        'organization_id', i.organization_id,
        'external_account_id', i.external_account_id,
        'external_user_id', i.external_user_id
      )
      from public.integrations i where i.id = p_row.integration_id
    )
  );
$$;

comment on function private.shown_connect_session(private.connect_sessions) is
  'A connect session as its backend sees it, with the integration once it is completed. Nothing of it opens anything.';

create function public.create_connect_session(
  p_service_key uuid, p_id uuid, p_token_hash text, p_organization_id uuid, p_external_user_id text, p_external_user_name text,
  p_integration_types text[], p_reconnects uuid, p_return_url text, p_return_state text, p_code_challenge text, p_scopes jsonb,
  p_metadata jsonb, p_oauth_apps jsonb default '{}', p_tags jsonb default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_integration public.integrations;
  v_types text[] := p_integration_types;
  v_row private.connect_sessions;
begin
  if not private.service_key_covers(p_service_key, 'connect_sessions:write', p_organization_id) then
    return jsonb_build_object('outcome', 'foreign_organization');
  end if;

  if p_reconnects is not null then
    select * into v_integration from public.integrations i
      where i.id = p_reconnects and i.organization_id = p_organization_id and (v_types is null or i.integration_type = any (v_types));
    if not found then
      return jsonb_build_object('outcome', 'unknown_integration');
    end if;
    if private.account_of(v_integration) is null then
      return jsonb_build_object('outcome', 'no_account');
    end if;
    v_types := array[v_integration.integration_type];
  end if;
  if exists (select from jsonb_object_keys(p_scopes) asked where not asked = any (v_types)) then
    return jsonb_build_object('outcome', 'foreign_scopes');
  end if;
  -- A null is the deployment's app, for the reconnection of a row with another.
  if exists (
    select from jsonb_each_text(p_oauth_apps) asked
    where not asked.key = any (v_types) or asked.value is not null and not exists (
      select from private.oauth_apps a
      where a.id::text = asked.value and a.organization_id = p_organization_id and a.integration_type = asked.key
    )
  ) then
    return jsonb_build_object('outcome', 'unknown_app');
  end if;

  -- One at a time, so that the count holds.
  perform pg_advisory_xact_lock(hashtextextended('connect sessions ' || p_service_key, 0));
  perform pg_advisory_xact_lock(hashtextextended('connect sessions ' || p_organization_id, 0));
  if (
    select count(*) from private.connect_sessions s
    where s.organization_id = p_organization_id and s.state in ('pending', 'opened', 'waiting_for_completion') and s.expires_at > now()
  ) >= 1000 or (
    select count(*) from private.connect_sessions s
    where s.organization_id = p_organization_id and s.external_user_id = p_external_user_id
      and s.state in ('pending', 'opened', 'waiting_for_completion') and s.expires_at > now()
  ) >= 50 or (
    select count(*) from private.connect_sessions s
    where s.created_by = p_service_key and s.state in ('pending', 'opened', 'waiting_for_completion') and s.expires_at > now()
  ) >= 5000 then
    return jsonb_build_object('outcome', 'too_many');
  end if;

  insert into private.connect_sessions (
    id, token_hash, created_by, organization_id, external_user_id, external_user_name, integration_types, reconnects, return_url,
    return_state, code_challenge, scopes, oauth_apps, metadata, tags
  ) values (
    p_id, p_token_hash, p_service_key, p_organization_id, p_external_user_id, p_external_user_name, v_types, p_reconnects, p_return_url,
    p_return_state, p_code_challenge, p_scopes, p_oauth_apps, p_metadata,
    case when jsonb_typeof(p_tags) = 'array' then private.tags_of(p_tags) end
  ) returning * into v_row;
  return jsonb_build_object('outcome', 'created', 'expires_at', v_row.expires_at);
end
$$;

comment on function public.create_connect_session(uuid, uuid, text, uuid, text, text, text[], uuid, text, text, text, jsonb, jsonb, jsonb, jsonb) is
  'Starts a connect session. p_reconnects: the integration whose account must be connected; then p_integration_types may be null. '
  'p_tags: the tags that the integration gets; null: it keeps its own. An '
  'organization has at most 1,000 unfinished sessions, each end user 50 of them, a service key 5,000. Returns created, foreign_organization (the key acts for another), '
  'unknown_integration, no_account (the integration has no recorded account), foreign_scopes (of a type that the session does not allow), '
  'unknown_app (p_oauth_apps names, by type, an app that the organization does not have, or a type that the session does not allow) or too_many.';

create function public.find_connect_session(p_service_key uuid, p_id uuid) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(
    (
      select jsonb_build_object('outcome', 'found', 'connect_session', private.shown_connect_session(s))
      from private.connect_sessions s
      where s.id = p_id and private.service_key_covers(p_service_key, 'connect_sessions:write', s.organization_id)
    ),
    jsonb_build_object('outcome', 'unknown')
  );
$$;

comment on function public.find_connect_session(uuid, uuid) is
  'A connect session, for any service key of its organization. Returns found or unknown.';

create function private.opened_connect_session(p_row private.connect_sessions) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'id', p_row.id,
    'state', private.connect_session_state(p_row),
    'is_used', p_row.is_used,
    'organization_id', p_row.organization_id,
    'external_user_id', p_row.external_user_id,
    'external_user_name', p_row.external_user_name,
    'integration_types', to_jsonb(p_row.integration_types),
    'reconnects', p_row.reconnects,
    'account_id', (select private.account_of(i) from public.integrations i where i.id = p_row.reconnects),
    'return', private.return_of(p_row.id),
    'scopes', p_row.scopes,
    'oauth_apps', p_row.oauth_apps,
    'expires_at', p_row.expires_at,
    'pending', (
      select jsonb_build_object('id', p.id, 'integration_type', p.integration_type, 'accounts', p.accounts)
      from public.pending_connections p
      where p.connect_session_id = p_row.id and p.accounts is not null and p.expires_at > now() and p_row.state = 'opened'
      order by p.created_at limit 1
    )
  );
$$;

comment on function private.opened_connect_session(private.connect_sessions) is
  'A connect session as the worker needs it for the browser that opened the link, with the accounts to choose from, if any.';

create function public.open_connect_session(p_token_hash text, p_binding_hash text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row private.connect_sessions;
begin
  select * into v_row from private.connect_sessions s where s.token_hash = p_token_hash for update;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  if v_row.state <> 'pending' then
    return jsonb_build_object('outcome', 'used');
  end if;
  if v_row.expires_at <= now() then
    return jsonb_build_object('outcome', 'expired');
  end if;
  update private.connect_sessions s set state = 'opened', binding_hash = p_binding_hash where s.id = v_row.id;
  perform private.extend_connect_session(v_row.id);
  select * into v_row from private.connect_sessions s where s.id = v_row.id;
  return jsonb_build_object('outcome', 'opened', 'connect_session', private.opened_connect_session(v_row));
end
$$;

comment on function public.open_connect_session(text, text) is
  'Opens the link of a connect session, once, and binds the session to the browser. Returns opened, used (it was opened before), expired or '
  'unknown.';

create function public.find_opened_connect_session(p_id uuid, p_binding_hash text) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(
    (
      select jsonb_build_object('outcome', 'opened', 'connect_session', private.opened_connect_session(s))
      from private.connect_sessions s where s.id = p_id and s.binding_hash = p_binding_hash
    ),
    jsonb_build_object('outcome', 'unknown')
  );
$$;

comment on function public.find_opened_connect_session(uuid, text) is
  'A connect session, for the browser that opened its link. Returns opened or unknown.';

create function public.park_connection(p_connect_session_id uuid, p_pending_id uuid, p_account jsonb, p_code_hash text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '5s' as $$
declare
  v_row private.connect_sessions;
begin
  select * into v_row from private.connect_sessions s where s.id = p_connect_session_id for update;
  if v_row.state = 'waiting_for_completion' and v_row.code_hash = p_code_hash then
    return jsonb_build_object('outcome', 'parked');
  end if;
  if not found or v_row.state <> 'opened' or v_row.expires_at <= now() then
    return jsonb_build_object('outcome', 'over');
  end if;
  update public.pending_connections p set accounts = jsonb_build_array(p_account), expires_at = now() + interval '10 minutes'
    where p.id = p_pending_id and p.connect_session_id = p_connect_session_id and p.expires_at > now()
      and (p.accounts is null or p.accounts @> jsonb_build_array(p_account));
  if not found then
    return jsonb_build_object('outcome', 'over');
  end if;
  update private.connect_sessions s
    set state = 'waiting_for_completion', is_used = true, pending_id = p_pending_id, code_hash = p_code_hash,
      expires_at = now() + interval '10 minutes'
    where s.id = p_connect_session_id;
  return jsonb_build_object('outcome', 'parked');
end
$$;

comment on function public.park_connection(uuid, uuid, jsonb, text) is
  'Lets a pending connection wait ten minutes, with this account, until the backend completes the connect session. After that the schedule '
  'revokes the grant. May be repeated. Returns parked, or over (the session has ended, or the connection is no longer pending).';

create function public.fail_connect_session(p_id uuid, p_failure text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '5s' as $$
begin
  update private.connect_sessions s set state = 'failed', failure = p_failure where s.id = p_id and s.state = 'opened';
  if not found then
    return jsonb_build_object('outcome', 'over');
  end if;
  -- A grant that waits for the choice of an account is revoked by the schedule.
  update public.pending_connections p set expires_at = now() where p.connect_session_id = p_id and p.accounts is not null;
  return jsonb_build_object('outcome', 'failed');
end
$$;

comment on function public.fail_connect_session(uuid, text) is
  'Ends an opened connect session without a connection. Returns failed, or over (it has ended, or waits for its completion).';

create function public.admit_completion(
  p_service_key uuid, p_id uuid, p_code_hash text, p_code_challenge text, p_request_id text
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '5s' as $$
declare
  v_row private.connect_sessions;
  v_state text;
  v_pending public.pending_connections;
begin
  select * into v_row from private.connect_sessions s where s.id = p_id for update;
  if not found or not private.service_key_covers(p_service_key, 'connect_sessions:write', v_row.organization_id) then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  v_state := private.connect_session_state(v_row);
  if v_state <> 'waiting_for_completion' then
    return jsonb_build_object('outcome', case when v_state in ('pending', 'opened') then 'not_ready' else v_state end);
  end if;

  if p_code_hash is distinct from v_row.code_hash or p_code_challenge is distinct from v_row.code_challenge then
    update private.connect_sessions s set wrong_completions = s.wrong_completions + 1 where s.id = p_id;
    if v_row.wrong_completions >= 4 then
      update private.connect_sessions s set state = 'failed', failure = 'wrong_completion', code_hash = null where s.id = p_id;
      update public.pending_connections p set expires_at = now() where p.id = v_row.pending_id;
    end if;
    return jsonb_build_object('outcome', 'wrong');
  end if;

  select * into v_pending from public.pending_connections p where p.id = v_row.pending_id and p.expires_at > now();
  if not found then
    return jsonb_build_object('outcome', 'expired');
  end if;
  update private.connect_sessions s set completed_by = p_service_key where s.id = p_id;
  perform private.write_connector_event(
    null, p_id, v_row.organization_id, v_pending.id, v_pending.integration_type, v_pending.accounts->0->>'id', 'opened', 'complete',
    p_request_id
  );
  return jsonb_build_object(
    'outcome', 'admitted',
    'pending_id', v_pending.id,
    'organization_id', v_pending.organization_id,
    'integration_type', v_pending.integration_type,
    'config', v_pending.config,
    'account', v_pending.accounts->0,
    'reconnects', v_row.reconnects
  );
end
$$;

comment on function public.admit_completion(uuid, uuid, text, text, text) is
  'Hands out the parked grant of a connect session to be stored, if the code and the verifier''s challenge are right. Returns admitted, '
  'wrong (the fifth time the session fails and its grant is revoked), not_ready, completed, failed, expired or unknown.';

create function private.clean_up_connect_sessions() returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_count integer;
begin
  delete from private.connect_sessions s
    where s.id in (
      select e.id from private.connect_sessions e
      where e.expires_at <= now() - interval '1 day' order by e.expires_at limit 1000 for update skip locked
    );
  get diagnostics v_count = row_count;
  return v_count = 1000;
end
$$;

comment on function private.clean_up_connect_sessions() is
  'Deletes up to 1,000 connect sessions that ended more than a day ago. Until then their backends can read how they ended. Returns whether '
  'there may be more.';
-- What a service key may read: a view for each table and view that users read, with the same columns. The worker names the key in a
-- header, which PostgREST passes on; without it a view is empty.
create view private.requesting_key as
  select k.organization_id from private.service_keys k
  where k.id = (nullif(current_setting('request.headers', true), '')::jsonb ->> 'x-service-key-id')::uuid
    and k.revoked_at is null and coalesce(k.expires_at > now(), true);

comment on view private.requesting_key is 'The valid service key that the request names.';

revoke all on table private.requesting_key from public, anon, authenticated, service_role;

do $$
declare
  v_name text;
  v_columns text;
  v_source text;
begin
  foreach v_name in array array[
    'integrations', 'credential_events', 'assessments', 'assessment_checks', 'finding_list', 'muted_finding_list', 'assessment_findings',
    'finding_events', 'mute_list', 'webhook_endpoints', 'webhook_deliveries'
  ] loop
    select string_agg(a.attname, ', ' order by a.attnum) into v_columns from pg_attribute a
      where a.attrelid = ('public.' || v_name)::regclass and a.attnum > 0 and not a.attisdropped
        and has_column_privilege('authenticated', a.attrelid, a.attnum, 'select');
    -- A view that runs with its reader's rights is repeated, so that it runs with those of this view's owner. So is the view within a view.
    select
      case c.relkind
        when 'v' then '(' || replace(
          rtrim(pg_get_viewdef(c.oid), ';'), ' finding_list l', ' (' || rtrim(pg_get_viewdef('public.finding_list'::regclass), ';') || ') l'
        ) || ') v'
        else case v_name
          when 'webhook_endpoints' then '(select * from public.webhook_endpoints e where e.deleted_at is null) v'
          when 'webhook_deliveries' then
            '(select d.* from public.webhook_deliveries d join public.webhook_endpoints e on e.id = d.endpoint_id where e.deleted_at is null) v'
          else 'public.' || v_name
        end
      end
      into v_source
      from pg_class c where c.oid = ('public.' || v_name)::regclass;
    -- Scalar subqueries, which the planner evaluates once and not for each row.
    execute format(
      'create view public.service_%s as select %s from %s where (select k.organization_id is null from private.requesting_key k) '
      'or organization_id = (select k.organization_id from private.requesting_key k)',
      v_name, v_columns, v_source
    );
    execute format('comment on view public.service_%s is %L', v_name, 'What the service key of the request may see of ' || v_name || '.');
    execute format('revoke all on table public.service_%s from public, anon, authenticated, service_role', v_name);
    execute format('grant select on table public.service_%s to service_role', v_name);
  end loop;
end
$$;

-- The list over all organizations, the newest first.
create index integrations_created_at on public.integrations (created_at desc, id);

revoke all on function
  private.shown_service_key(private.service_keys),
  private.service_key_covers(uuid, text, uuid),
  private.service_key_covers_all(uuid, text),
  private.named_key(uuid),
  private.has_access(uuid, uuid, text, uuid),
  private.has_write_access(uuid, uuid, text, uuid),
  private.lock_access(uuid, uuid, text, uuid),
  private.clean_up_service_keys(integer),
  private.connect_session_state(private.connect_sessions),
  private.connect_session_is_open(uuid),
  private.extend_connect_session(uuid),
  private.external_user_of(uuid),
  private.tags_of_session(uuid),
  private.connected_by(uuid, uuid, uuid),
  private.return_of(uuid),
  private.connect_session_details(uuid),
  private.end_connect_session(uuid, uuid),
  private.shown_connect_session(private.connect_sessions),
  private.opened_connect_session(private.connect_sessions),
  private.clean_up_connect_sessions(),
  public.create_service_key(uuid, uuid, text, text, text, text[], timestamptz, integer),
  public.list_service_keys(uuid, uuid),
  public.revoke_service_key(uuid, uuid),
  public.authenticate_service_key(text, text),
  public.find_integration_of_type(uuid, uuid, text),
  public.create_connect_session(uuid, uuid, text, uuid, text, text, text[], uuid, text, text, text, jsonb, jsonb, jsonb, jsonb),
  public.find_connect_session(uuid, uuid),
  public.open_connect_session(text, text),
  public.find_opened_connect_session(uuid, text),
  public.park_connection(uuid, uuid, jsonb, text),
  public.fail_connect_session(uuid, text),
  public.admit_completion(uuid, uuid, text, text, text)
from public, anon, authenticated, service_role;

grant execute on function
  public.create_service_key(uuid, uuid, text, text, text, text[], timestamptz, integer),
  public.list_service_keys(uuid, uuid),
  public.revoke_service_key(uuid, uuid),
  public.authenticate_service_key(text, text),
  public.find_integration_of_type(uuid, uuid, text),
  public.create_connect_session(uuid, uuid, text, uuid, text, text, text[], uuid, text, text, text, jsonb, jsonb, jsonb, jsonb),
  public.find_connect_session(uuid, uuid),
  public.open_connect_session(text, text),
  public.find_opened_connect_session(uuid, text),
  public.park_connection(uuid, uuid, jsonb, text),
  public.fail_connect_session(uuid, text),
  public.admit_completion(uuid, uuid, text, text, text)
to service_role;

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
    -- An imported grant is the deployment's app's. The row would lose its own app.
    if v_row.oauth_app_id is not null then
      return jsonb_build_object('outcome', 'own_oauth_app');
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
  '(already_connected), and neither is a row with an organization''s own app, with or without p_replace (own_oauth_app). With p_replace, that row gets the credentials; the answer exists names it if it is not p_id, and the caller seals again. '
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
