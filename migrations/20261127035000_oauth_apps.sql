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
