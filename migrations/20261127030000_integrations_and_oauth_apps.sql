-- What is added to the table of the first migration: columns, the rights to read them, and the triggers that maintain them.

alter table public.integrations
  add column external_account_id text check (char_length(external_account_id) between 1 and 200),
  add column name_is_custom boolean not null default false,
  add column token_expires_at timestamptz,
  add column granted_scopes text[],
  add column status_reason text check (char_length(status_reason) between 1 and 64),
  add column may_have_earlier_grant boolean not null default false,
  add column granted_at timestamptz,
  add column external_user_id text check (char_length(external_user_id) between 1 and 200),
  add column connected_by jsonb check (jsonb_typeof(connected_by) = 'object' and octet_length(connected_by::text) <= 4096),
  add column tags text[] not null default '{}' check (
    cardinality(tags) <= 20 and array_position(tags, null) is null and '' <> all (tags) and array_to_string(tags, E'\n') !~ '[^\n]{65}'
  );

revoke all on table public.integrations from public, anon, authenticated, service_role;

grant select, insert, update, delete on table public.integrations to service_role;

-- By column, so that no user can read config or a column that is added later.
grant select (
  id, organization_id, integration_type, name, status, scan_schedule, last_checked_at, next_check_at, created_at, updated_at,
  external_account_id, token_expires_at, status_reason, external_user_id, granted_scopes, connected_by, tags
) on table public.integrations to authenticated;

create policy "Members can read their organization's integrations"
  on public.integrations
  for select to authenticated
  using (private.can_access_organization(organization_id));

drop policy if exists "Users can manage their own integrations" on public.integrations;

comment on column public.integrations.external_account_id is
  'The account''s id at the provider. Null in rows whose writer does not know this column.';

create function private.adopt_external_accounts() returns bigint
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  with candidate as (
    select distinct on (i.organization_id, i.integration_type, i.config->>'project_id')
      i.id, i.config->>'project_id' as account
    from public.integrations i
    where i.external_account_id is null
      and jsonb_typeof(i.config) = 'object'
      and jsonb_typeof(i.config->'project_id') = 'string'
      and char_length(i.config->>'project_id') between 1 and 200
      and not exists (
        select from public.integrations taken
        where taken.organization_id = i.organization_id
          and taken.integration_type = i.integration_type
          and taken.external_account_id = i.config->>'project_id'
      )
    order by i.organization_id, i.integration_type, i.config->>'project_id', i.created_at desc, i.id desc
  ), adopted as (
    update public.integrations i
    set external_account_id = c.account
    from candidate c
    where i.id = c.id
    returning i.id
  )
  select count(*) from adopted;
$$;

comment on function private.adopt_external_accounts() is
  'Gives rows of an earlier application their account: the config''s project_id. Of several rows of one account the newest gets '
  'it; an account that already has a row keeps that one. Run it again when the earlier application no longer inserts.';

create function private.set_updated_at() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  new.updated_at := now();
  return new;
end
$$;

comment on function private.set_updated_at() is
  'Sets updated_at. A rewrap, which sets integrations.rewrap, leaves it unchanged.';

create trigger set_updated_at
  before update on public.integrations
  for each row
  when (current_setting('integrations.rewrap', true) is distinct from 'on')
  execute function private.set_updated_at();

comment on column public.integrations.name_is_custom is
  'A user chose the name, so connecting the account again keeps it. Otherwise the name follows the provider''s.';

create function private.lock_names(p_organization_id uuid, p_integration_type text) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  select pg_advisory_xact_lock(hashtextextended('names ' || p_organization_id || ' ' || p_integration_type, 0));
$$;

comment on function private.lock_names(uuid, text) is
  'Serializes the choice of a name within an organization and type. It is called before any row lock. There is no unique index '
  'because an earlier application may have used a name twice.';

create function private.unique_name(
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

comment on function private.unique_name(uuid, text, uuid, text, text) is
  'The first name that no other integration of the type uses in the organization: the name, the name with the account in '
  'brackets, the name with a number.';

create function private.account_of(p_row public.integrations) returns text
language sql immutable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(
    p_row.external_account_id,
    case when jsonb_typeof(p_row.config->'project_id') = 'string' then p_row.config->>'project_id' end
  );
$$;

comment on function private.account_of(integrations) is
  'The provider account of a row: external_account_id, or the config''s project_id if an earlier application stored it only '
  'there.';

comment on column public.integrations.token_expires_at is
  'A trigger copies it from the config''s plaintext expires_at. Null if the config has none, or none that is a timestamp.';

comment on column public.integrations.granted_scopes is
  'A trigger copies it from the config''s plaintext scope. Null: nobody knows which scopes the grant has.';

comment on column public.integrations.status_reason is
  'A short code: why the status is not active. Null while it is active.';

create function private.expiry_of(p_config jsonb) returns timestamptz
language plpgsql immutable security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set datestyle = 'ISO' as $$
begin
  if jsonb_typeof(p_config->'expires_at') is distinct from 'string'
    or p_config->>'expires_at' !~ '^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$'
  then
    return null;
  end if;
  return (p_config->>'expires_at')::timestamptz;
exception when data_exception then
  return null;
end
$$;

comment on function private.expiry_of(jsonb) is
  'The config''s expires_at, if it is an RFC 3339 timestamp with an offset; null otherwise. Depends on its argument only, not on '
  'the session''s settings.';

create function private.scopes_of(p_config jsonb) returns text[]
language sql immutable security definer set search_path = pg_catalog, pg_temp as $$
  select case
    when jsonb_typeof(p_config->'scope') = 'string' and octet_length(p_config->>'scope') between 1 and 8192
      then string_to_array(p_config->>'scope', ' ')
  end;
$$;

comment on function private.scopes_of(jsonb) is
  'The config''s scope (RFC 6749, 3.3), if it is a text within bounds; null otherwise.';

create function private.copy_from_config() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  new.token_expires_at := private.expiry_of(new.config);
  new.granted_scopes := private.scopes_of(new.config);
  return new;
end
$$;

comment on function private.copy_from_config() is
  'Keeps token_expires_at and granted_scopes equal to the config''s expires_at and scope.';

create function private.clear_status_reason() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  new.status_reason := null;
  return new;
end
$$;

comment on function private.clear_status_reason() is
  'Clears status_reason when a row becomes active, whoever writes it.';

-- A rotation changes only how a config is sealed, so this trigger does not fire then, nor does set_updated_at.
create trigger copy_from_config
  before insert or update of config, token_expires_at, granted_scopes on public.integrations
  for each row
  when (current_setting('integrations.rewrap', true) is distinct from 'on')
  execute function private.copy_from_config();

-- For every writer that sets a row active, also one that does not know the column.
create trigger clear_status_reason
  before update of status on public.integrations
  for each row
  when (new.status = 'active' and new.status_reason is not null)
  execute function private.clear_status_reason();

create function private.tags_of(p_list jsonb) returns text[]
language sql immutable security definer set search_path = pg_catalog, pg_temp as $$
  select array(select distinct t.tag from jsonb_array_elements_text(p_list) t (tag) order by t.tag);
$$;

comment on function private.tags_of(jsonb) is
  'Tags as a row has them: each once, in order.';

comment on column public.integrations.tags is
  'What the operator''s programs and the organization''s admins sort integrations by: at most 20, of 1 to 64 characters.';

comment on column public.integrations.connected_by is
  'Who last connected the account, in the words of its event: actor, with user_id, or with service_key, name, connect_session and '
  'external_user_id. Null: another application wrote the row.';

-- For a list over all organizations. Within one, its own index comes first.
create index integrations_tags on public.integrations using gin (tags);

create function public.change_integration(
  p_id uuid, p_user_id uuid, p_changes jsonb, p_request_id text default null, p_service_key uuid default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row public.integrations;
  v_tags text[];
begin
  if jsonb_typeof(p_changes) is distinct from 'object'
    or p_changes - array['name', 'scan_schedule', 'next_check_at', 'tags'] <> '{}'
    or (p_changes ? 'tags' and jsonb_typeof(p_changes->'tags') <> 'array')
    or (p_changes ? 'name' and char_length(coalesce(p_changes->>'name', '')) not between 1 and 200)
    or char_length(p_changes->>'scan_schedule') > 200
  then
    raise exception 'p_changes holds something else, or out of bounds' using
      errcode = 'invalid_parameter_value',
      hint = 'name of 1 to 200 characters, scan_schedule of at most 200, next_check_at, a list of tags';
  end if;

  select * into v_row from public.integrations i where i.id = p_id;
  if not found or not private.lock_access(p_user_id, p_service_key, 'connections:write', v_row.organization_id) then
    return jsonb_build_object('outcome', 'unknown');
  end if;

  -- The organization again: it is the one whose membership is locked.
  perform private.lock_names(v_row.organization_id, v_row.integration_type);
  select * into v_row from public.integrations i
    where i.id = p_id and i.organization_id = v_row.organization_id and i.integration_type = v_row.integration_type
    for update;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;

  if p_changes ? 'name' and exists (
    select from public.integrations i
    where i.organization_id = v_row.organization_id and i.integration_type = v_row.integration_type
      and i.id <> p_id and i.name = p_changes->>'name'
  ) then
    return jsonb_build_object('outcome', 'name_taken');
  end if;

  v_tags := case when p_changes ? 'tags' then private.tags_of(p_changes->'tags') else v_row.tags end;
  update public.integrations i
    set name = coalesce(p_changes->>'name', i.name),
      tags = v_tags,
      name_is_custom = i.name_is_custom or p_changes ? 'name',
      scan_schedule = case when p_changes ? 'scan_schedule' then p_changes->>'scan_schedule' else i.scan_schedule end,
      next_check_at = case when p_changes ? 'next_check_at' then (p_changes->>'next_check_at')::timestamptz else i.next_check_at end
    where i.id = p_id;

  if p_changes->>'name' <> v_row.name then
    perform private.write_event(
      private.actor(p_user_id, p_service_key), p_user_id, v_row.organization_id, v_row.id, v_row.integration_type,
      v_row.external_account_id, 'renamed', p_request_id => p_request_id, p_details => private.named_key(p_service_key)
    );
  end if;
  if p_changes ? 'scan_schedule' and p_changes->>'scan_schedule' is distinct from v_row.scan_schedule then
    perform private.write_event(
      private.actor(p_user_id, p_service_key), p_user_id, v_row.organization_id, v_row.id, v_row.integration_type,
      v_row.external_account_id, 'rescheduled', p_request_id => p_request_id, p_details => private.named_key(p_service_key)
    );
  end if;
  if v_tags <> v_row.tags then
    perform private.write_event(
      private.actor(p_user_id, p_service_key), p_user_id, v_row.organization_id, v_row.id, v_row.integration_type,
      v_row.external_account_id, 'tagged', p_request_id => p_request_id, p_details => private.named_key(p_service_key)
    );
  end if;
  return jsonb_build_object('outcome', 'changed');
end
$$;

comment on function public.change_integration(uuid, uuid, jsonb, text, uuid) is
  'Renames an integration, or changes its schedule or its tags. p_changes holds name, scan_schedule, next_check_at and tags, each '
  'optional; a null schedule ends the checks. Returns changed, name_taken or unknown. A change to the current value writes no event.';

create function private.holds_secrets(p_config jsonb) returns boolean
language sql immutable security definer set search_path = pg_catalog, pg_temp as $$
  select exists (
    select
    from jsonb_path_query(p_config, 'strict $.** ? (@.type() == "object")') o
    cross join lateral jsonb_each(o) field
    where jsonb_typeof(field.value) <> 'null'
      and (
        field.key ~* '(^|[^a-z0-9])(token|key|secret|password)$'
        or field.key ~ '[^A-Z](T[Oo][Kk][Ee][Nn]|K[Ee][Yy]|S[Ee][Cc][Rr][Ee][Tt]|P[Aa][Ss][Ss][Ww][Oo][Rr][Dd])$'
        or field.key ~ '(To[Kk][Ee][Nn]|Ke[Yy]|Se[Cc][Rr][Ee][Tt]|Pa[Ss][Ss][Ww][Oo][Rr][Dd])$'
      )
  );
$$;

comment on function private.holds_secrets(jsonb) is
  'Whether a config without a key id holds a field with a sensitive name (docs/format.md) that is not null, at any depth.';

create function private.version_of(p_config jsonb) returns text
language sql immutable security definer set search_path = pg_catalog, pg_temp as $$
  select encode(sha256(convert_to(p_config::text, 'UTF8')), 'hex');
$$;

comment on function private.version_of(jsonb) is
  'A hash that identifies a config, for compare-and-swap.';

comment on column public.integrations.external_user_id is
  'The end user, in the words of the backend whose connect session last connected the account. Null: a user of the project connected it.';

create index integrations_external_user on public.integrations (organization_id, external_user_id) where external_user_id is not null;

comment on column public.integrations.granted_at is
  'When the grant was received, or when the user entered the credentials. Older ones that arrive later are not stored.';

comment on column public.integrations.may_have_earlier_grant is
  'A reconnection replaced a credential whose grant may still exist at the provider: what a second grant does to the first is not documented.';

revoke all on function 
  private.adopt_external_accounts(),
  private.set_updated_at(),
  private.lock_names(uuid, text),
  private.unique_name(uuid, text, uuid, text, text),
  private.account_of(integrations),
  private.expiry_of(jsonb),
  private.scopes_of(jsonb),
  private.copy_from_config(),
  private.clear_status_reason(),
  private.holds_secrets(jsonb),
  private.tags_of(jsonb),
  private.version_of(jsonb),
  public.change_integration(uuid, uuid, jsonb, text, uuid)
from public, anon, authenticated, service_role;
grant execute on function public.change_integration(uuid, uuid, jsonb, text, uuid) to service_role;

-- OAuth apps of an organization's own. A grant belongs to the client that it was issued to (RFC 6749, 6), so whatever holds a grant, or is about to
-- receive one, names its app. Null: the app of the deployment.

create table private.oauth_apps (
  -- Chosen by the worker, because the sealed secrets are bound to it.
  id uuid primary key,
  organization_id uuid not null,
  integration_type text not null check (char_length(integration_type) between 1 and 64),
  name text not null check (char_length(name) between 1 and 200),
  -- It never changes: tokens belong to a client.
  client_id text not null check (char_length(client_id) between 1 and 512),
  -- The part of the provider's URLs that each app configures, for the few types that have one.
  slug text check (slug ~ '^[A-Za-z0-9_-]{1,100}$'),
  -- client_secret, and while it is being changed fallback_client_secret, sealed as docs/format.md says for (organization, app).
  config jsonb not null check (jsonb_typeof(config) = 'object' and octet_length(config::text) <= 16384),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  -- So two apps are two clients, whose grants are separate.
  constraint oauth_apps_client unique (organization_id, integration_type, client_id),
  -- What a row refers to, so that an app serves its own organization and type alone.
  constraint oauth_apps_place unique (organization_id, integration_type, id)
);

alter table private.oauth_apps enable row level security;

revoke all on table private.oauth_apps from public, anon, authenticated, service_role;

alter table public.integrations
  add column oauth_app_id uuid,
  add constraint integrations_oauth_app foreign key (organization_id, integration_type, oauth_app_id)
    references private.oauth_apps (organization_id, integration_type, id);

comment on column public.integrations.oauth_app_id is
  'The OAuth app of the organization that the grant was issued to. Null: the deployment''s.';

grant select (oauth_app_id) on table public.integrations to authenticated;

create index integrations_oauth_app_id on public.integrations (oauth_app_id) where oauth_app_id is not null;

create function private.client_of(p_row public.integrations) returns text
language sql immutable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(p_row.oauth_app_id::text, p_row.integration_type);
$$;

comment on function private.client_of(integrations) is
  'The OAuth client of an integration, as the key of what is known about a client: the id of the organization''s own app, or the type, '
  'which stands for the deployment''s.';

create function private.same_client(p_one uuid, p_other uuid) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select p_one is not distinct from p_other or exists (
    select from private.oauth_apps a join private.oauth_apps b using (integration_type, client_id)
    where a.id = p_one and b.id = p_other
  );
$$;

comment on function private.same_client(uuid, uuid) is
  'Whether two apps are one client at the provider. Several organizations may have added the same client.';

create function private.oauth_app(p_id uuid) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(
    (
      select jsonb_build_object(
        'oauth_app', jsonb_build_object('id', a.id, 'client_id', a.client_id, 'slug', a.slug, 'config', a.config)
      )
      from private.oauth_apps a where a.id = p_id
    ),
    '{}'
  );
$$;

comment on function private.oauth_app(uuid) is
  'What an answer says of the app of a grant: the member oauth_app, as the worker needs it to authenticate as its client, with its sealed '
  'secrets; nothing for the deployment''s app.';

create function private.forget_oauth_app() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if private.brings_credentials(old.config, new.config) then
    new.oauth_app_id := null;
  end if;
  return new;
end
$$;

comment on function private.forget_oauth_app() is
  'A writer that does not know the column stores a grant of the deployment''s app.';

create trigger forget_oauth_app
  before update of config on public.integrations
  for each row
  when (
    old.oauth_app_id is not null and new.oauth_app_id is not distinct from old.oauth_app_id
    and current_setting('integrations.connect', true) is distinct from 'on'
    and current_setting('integrations.rewrap', true) is distinct from 'on'
    and current_setting('integrations.settle', true) is distinct from 'on'
  )
  execute function private.forget_oauth_app();

create function private.shown_oauth_app(p_row private.oauth_apps) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'id', p_row.id,
    'organization_id', p_row.organization_id,
    'integration_type', p_row.integration_type,
    'name', p_row.name,
    'client_id', p_row.client_id,
    'slug', p_row.slug,
    'has_fallback_secret', p_row.config ? 'fallback_client_secret',
    'connections', (select count(*) from public.integrations i where i.oauth_app_id = p_row.id),
    'created_at', p_row.created_at,
    'updated_at', p_row.updated_at
  );
$$;

comment on function private.shown_oauth_app(private.oauth_apps) is
  'An app as members of its organization see it: without its secrets.';

create function private.lock_oauth_app(p_id uuid, p_user_id uuid, p_service_key uuid) returns private.oauth_apps
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row private.oauth_apps;
begin
  select * into v_row from private.oauth_apps a where a.id = p_id;
  if not found or not private.lock_access(p_user_id, p_service_key, 'connections:write', v_row.organization_id) then
    return null;
  end if;
  select * into v_row from private.oauth_apps a where a.id = p_id for update;
  return v_row;
end
$$;

comment on function private.lock_oauth_app(uuid, uuid, uuid) is
  'Locks and returns an app if the caller may change what its organization has; null otherwise.';

create function public.create_oauth_app(
  p_id uuid, p_organization_id uuid, p_integration_type text, p_name text, p_client_id text, p_slug text, p_config jsonb,
  p_user_id uuid default null, p_service_key uuid default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row private.oauth_apps;
begin
  -- Concurrent calls of an organization queue here. If they counted at the same time, each would see room for one more.
  perform pg_advisory_xact_lock(hashtextextended('oauth_apps ' || p_organization_id, 0));

  if not private.lock_access(p_user_id, p_service_key, 'connections:write', p_organization_id) then
    return jsonb_build_object('outcome', 'not_a_member');
  end if;
  if (select count(*) from private.oauth_apps a where a.organization_id = p_organization_id) >= 20 then
    return jsonb_build_object('outcome', 'too_many');
  end if;

  insert into private.oauth_apps (id, organization_id, integration_type, name, client_id, slug, config)
    values (p_id, p_organization_id, p_integration_type, p_name, p_client_id, p_slug, p_config)
    on conflict on constraint oauth_apps_client do nothing
    returning * into v_row;
  if not found then
    return jsonb_build_object('outcome', 'client_taken');
  end if;
  return jsonb_build_object('outcome', 'created', 'oauth_app', private.shown_oauth_app(v_row));
end
$$;

comment on function public.create_oauth_app(uuid, uuid, text, text, text, text, jsonb, uuid, uuid) is
  'Adds an OAuth app of an organization''s own. Returns created, not_a_member, too_many (20 an organization) or client_taken (the organization '
  'has an app of this type with this client id).';

create function public.list_oauth_apps(p_organization_id uuid, p_user_id uuid default null, p_service_key uuid default null) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  if not private.has_access(p_user_id, p_service_key, 'connections:read', p_organization_id) then
    return jsonb_build_object('outcome', 'not_a_member');
  end if;
  return jsonb_build_object('outcome', 'listed', 'oauth_apps', coalesce(
    (
      select jsonb_agg(private.shown_oauth_app(a) order by a.integration_type, a.name, a.id)
      from private.oauth_apps a where a.organization_id = p_organization_id
    ),
    '[]'
  ));
end
$$;

comment on function public.list_oauth_apps(uuid, uuid, uuid) is
  'The OAuth apps of an organization, without their secrets. Returns listed or not_a_member.';

create function public.find_oauth_app(p_id uuid, p_user_id uuid default null, p_service_key uuid default null) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row private.oauth_apps := private.lock_oauth_app(p_id, p_user_id, p_service_key);
begin
  if v_row.id is null then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  return jsonb_build_object('outcome', 'found', 'organization_id', v_row.organization_id, 'config', v_row.config);
end
$$;

comment on function public.find_oauth_app(uuid, uuid, uuid) is
  'Reads an app''s sealed secrets for a change of them. Returns found or unknown.';

create function public.change_oauth_app(
  p_id uuid, p_name text, p_read jsonb, p_config jsonb, p_user_id uuid default null, p_service_key uuid default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row private.oauth_apps := private.lock_oauth_app(p_id, p_user_id, p_service_key);
begin
  if v_row.id is null then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  if p_config is not null and v_row.config is distinct from p_read then
    return jsonb_build_object('outcome', 'outdated');
  end if;
  update private.oauth_apps a
    set name = coalesce(p_name, a.name), config = coalesce(p_config, a.config), updated_at = now()
    where a.id = p_id
    returning * into v_row;
  return jsonb_build_object('outcome', 'changed', 'oauth_app', private.shown_oauth_app(v_row));
end
$$;

comment on function public.change_oauth_app(uuid, text, jsonb, jsonb, uuid, uuid) is
  'Renames an app (p_name, or null), and replaces the sealed secrets that were read (p_read) by p_config, or leaves them (null). Returns '
  'changed, outdated (other secrets are stored by now; nothing was written) or unknown.';

create function public.delete_oauth_app(p_id uuid, p_user_id uuid default null, p_service_key uuid default null) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row private.oauth_apps := private.lock_oauth_app(p_id, p_user_id, p_service_key);
  v_connections bigint;
  v_grants bigint;
begin
  if v_row.id is null then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  -- Who stores a row that names the app waits for the app's lock, or has it stored by now.
  select count(*) into v_connections from public.integrations i where i.oauth_app_id = p_id;
  select (select count(*) from public.pending_connections p where p.oauth_app_id = p_id)
    + (select count(*) from private.pending_revocations r where r.oauth_app_id = p_id)
    into v_grants;
  if v_connections + v_grants > 0 then
    return jsonb_build_object('outcome', 'in_use', 'connections', v_connections, 'grants', v_grants);
  end if;
  delete from private.oauth_apps a where a.id = p_id;
  delete from private.provider_pauses p where p.client = p_id::text;
  delete from private.provider_successes s where s.client = p_id::text;
  return jsonb_build_object('outcome', 'deleted');
end
$$;

comment on function public.delete_oauth_app(uuid, uuid, uuid) is
  'Deletes an app that nothing needs any more; what was started with it and has not returned ends. Returns deleted, unknown, or in_use '
  'with the number of connections, and of grants that are neither stored nor revoked yet.';

revoke all on function
  private.client_of(integrations),
  private.same_client(uuid, uuid),
  private.oauth_app(uuid),
  private.forget_oauth_app(),
  private.shown_oauth_app(private.oauth_apps),
  private.lock_oauth_app(uuid, uuid, uuid),
  public.create_oauth_app(uuid, uuid, text, text, text, text, jsonb, uuid, uuid),
  public.list_oauth_apps(uuid, uuid, uuid),
  public.find_oauth_app(uuid, uuid, uuid),
  public.change_oauth_app(uuid, text, jsonb, jsonb, uuid, uuid),
  public.delete_oauth_app(uuid, uuid, uuid)
from public, anon, authenticated, service_role;

grant execute on function
  public.create_oauth_app(uuid, uuid, text, text, text, text, jsonb, uuid, uuid),
  public.list_oauth_apps(uuid, uuid, uuid),
  public.find_oauth_app(uuid, uuid, uuid),
  public.change_oauth_app(uuid, text, jsonb, jsonb, uuid, uuid),
  public.delete_oauth_app(uuid, uuid, uuid)
to service_role;
