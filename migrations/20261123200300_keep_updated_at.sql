-- updated_at follows every update, whoever writes, save a rotation's: it changes a row's sealing and nothing that a reader can tell.
-- The rotation says so for its own transaction (rewrap_apply sets integrations.rewrap). The condition stands in WHEN, so that a
-- rotation of many rows does not call a function for each.

create function private.set_updated_at() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  new.updated_at := now();
  return new;
end
$$;

revoke all on function private.set_updated_at() from public, anon, authenticated, service_role;

create trigger set_updated_at
  before update on public.integrations
  for each row
  when (current_setting('integrations.rewrap', true) is distinct from 'on')
  execute function private.set_updated_at();
