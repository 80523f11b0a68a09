-- What was done to credentials, by whom. Rows are added by the functions and never change, whoever asks.

create table public.credential_events (
  id bigint generated always as identity primary key,
  occurred_at timestamptz not null default now(),
  user_id uuid not null,
  organization_id uuid not null,
  integration_id uuid not null,
  integration_type text not null,
  external_account_id text,
  action text not null check (action in ('connected', 'reconnected', 'disconnected')),
  outcome text not null check (outcome in ('succeeded', 'revoked', 'not_revoked', 'unsupported')),
  request_id text check (char_length(request_id) <= 200)
);

comment on table public.credential_events is
  'Append-only, until clean_up deletes what is older than the retention. Without foreign keys: an event outlives the integration it tells of.';
comment on column public.credential_events.outcome is
  'succeeded; of a disconnection what became of the grant at the provider: revoked, not_revoked, or unsupported there.';

create index credential_events_organization
  on public.credential_events (organization_id, occurred_at);

alter table public.credential_events enable row level security;
revoke all on table public.credential_events from public, anon, authenticated, service_role;
revoke all on sequence public.credential_events_id_seq from public, anon, authenticated, service_role;
grant select on table public.credential_events to service_role;

-- Privileges stop everyone but the owner. These stop the owner's slip as well. The one exception is private.delete_old_events, and what it
-- deletes is at least 30 days old.
create function private.refuse_change() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if tg_op = 'DELETE' and current_setting('integrations.deletes_old_events', true) = 'on' then
    return null;
  end if;
  raise exception '% is append-only', tg_table_name using errcode = 'insufficient_privilege';
end
$$;

create function private.refuse_young_deletions() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if exists (select from deleted d where d.occurred_at > now() - interval '30 days') then
    raise exception '% keeps everything for 30 days at least', tg_table_name using errcode = 'insufficient_privilege';
  end if;
  return null;
end
$$;

revoke all on function private.refuse_change() from public, anon, authenticated, service_role;
revoke all on function private.refuse_young_deletions() from public, anon, authenticated, service_role;

create trigger append_only
  before update or delete or truncate on public.credential_events
  for each statement
  execute function private.refuse_change();

create trigger keep_young
  after delete on public.credential_events
  referencing old table as deleted
  for each statement
  execute function private.refuse_young_deletions();
