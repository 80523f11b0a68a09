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
