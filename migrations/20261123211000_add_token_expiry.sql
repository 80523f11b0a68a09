-- When a row's access token ends, as a column that the schedule can ask for, and why a status is what it is.

alter table public.integrations
  add column token_expires_at timestamptz,
  add column status_reason text check (char_length(status_reason) between 1 and 64);

comment on column public.integrations.token_expires_at is
  'The config''s plaintext expires_at, kept by a trigger. Null where the config says nothing, or nothing that is a moment.';
comment on column public.integrations.status_reason is
  'A short code: why the status is not active. Null while it is.';

grant select (token_expires_at, status_reason) on table public.integrations to authenticated;

-- An RFC 3339 moment with its offset, and nothing else: what other writers left there may be any JSON. Without a look at the session's
-- settings, so the answer depends on the argument alone.
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

create function private.set_token_expiry() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  new.token_expires_at := private.expiry_of(new.config);
  return new;
end
$$;

create function private.clear_status_reason() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  new.status_reason := null;
  return new;
end
$$;

revoke all on function private.clear_status_reason() from public, anon, authenticated, service_role;
revoke all on function private.expiry_of(jsonb) from public, anon, authenticated, service_role;
revoke all on function private.set_token_expiry() from public, anon, authenticated, service_role;

-- A rotation changes a config's sealing only, so this stays quiet then, as set_updated_at does.
create trigger set_token_expiry
  before insert or update of config, token_expires_at on public.integrations
  for each row
  when (current_setting('integrations.rewrap', true) is distinct from 'on')
  execute function private.set_token_expiry();

-- Whoever sets a row active, also a writer that does not know the column.
create trigger clear_status_reason
  before update of status on public.integrations
  for each row
  when (new.status = 'active' and new.status_reason is not null)
  execute function private.clear_status_reason();
