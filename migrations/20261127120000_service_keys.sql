-- Service keys, with which programs of the operator or of an organization call the API without a user.

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

create function private.is_owner(p_user_id uuid, p_organization_id uuid) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(p_organization_id = p_user_id, false) or exists (
    select from public.organization_members m
    where m.organization_id = p_organization_id and m.user_id = p_user_id and m.role = 'owner'
  );
$$;

comment on function private.is_owner(uuid, uuid) is
  'Whether a user owns an organization: the personal one, or one that has the user as its owner.';

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

create function private.service_key(p_id uuid, p_scope text, p_organization_id uuid) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object('service_key', k.id, 'name', k.name)
  from private.service_keys k
  where k.id = p_id and k.revoked_at is null and coalesce(k.expires_at > now(), true) and p_scope = any (k.scopes)
    and coalesce(k.organization_id = p_organization_id, true);
$$;

comment on function private.service_key(uuid, text, uuid) is
  'An event''s details about a service key that is valid, has the scope and may act for the organization; null otherwise.';

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
  if private.service_key(p_service_key, 'connections:credentials', p_organization_id) is null then
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

revoke all on function
  private.is_owner(uuid, uuid),
  private.shown_service_key(private.service_keys),
  private.service_key(uuid, text, uuid),
  private.clean_up_service_keys(integer),
  public.create_service_key(uuid, uuid, text, text, text, text[], timestamptz, integer),
  public.list_service_keys(uuid, uuid),
  public.revoke_service_key(uuid, uuid),
  public.authenticate_service_key(text, text),
  public.find_integration_of_type(uuid, uuid, text)
from public, anon, authenticated, service_role;

grant execute on function
  public.create_service_key(uuid, uuid, text, text, text, text[], timestamptz, integer),
  public.list_service_keys(uuid, uuid),
  public.revoke_service_key(uuid, uuid),
  public.authenticate_service_key(text, text),
  public.find_integration_of_type(uuid, uuid, text)
to service_role;
